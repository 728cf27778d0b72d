"""What is left aside of the images is told by every command that loads them, and other images are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Outcome
from PIL import Image

NOTE = "1 file left aside that cannot be read as images: 1 .heic (in cat 1)"


@pytest.fixture
def pets() -> Path:
    """Return a study file of two classes, one of which has a file that cannot be read."""
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        Path("pets", name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(generator.integers(0, 256, (8, 8), np.uint8)).save(f"pets/{name}/{number}.png")
    Path("pets/cat/12.heic").write_bytes(b"")
    document = {
        "data": {"folder": "pets"},
        "search": {"spaces": "resnet_small", "width": 0.25, "depth": 0.25, "resolution": 8, "trials": 1},
        "recipe": {"epochs": 1, "precision": "float32"},
    }
    path = Path("small.yaml")
    path.write_text(yaml.safe_dump(document))
    return path


def test_files_left_aside_are_told_and_other_images_refused(pets: Path, nas_command: Callable[..., Outcome]) -> None:
    trial = f"{pets}#0"
    for command in (["check", pets], ["search", pets], ["train", trial, "--seeds", 1, "-o", "out"]):
        done = nas_command(*command)
        assert done.code == 0 and NOTE in done.out.replace("\n", " "), done
    for old, new in (("cat", "x"), ("dog", "cat"), ("x", "dog")):
        Path("pets", old).rename(Path("pets", new))
    for command in (["search", pets], ["train", trial, "-o", "new"], ["export", pets, "--trial", 0, "-o", "new"]):
        done = nas_command(*command)
        assert done.code == 2 and "the images are the same, but their labels" in done.err, done
        assert done.err.count("\n") == 1
