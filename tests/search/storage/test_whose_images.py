"""A study goes on with the images that it began with, and with no others."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from nas.config.study import StudyConfig
from nas.data.sources import DataConfig, load_data
from nas.errors import StudyError
from nas.export.bundle import export_network
from nas.records import ImageDigests
from nas.report.page import render_report
from nas.search.opening import open_study
from nas.search.run.events import Noted
from nas.search.run.start import run_study
from nas.search.storage.images import require_same_images
from nas.search.storage.schema import STUDY
from nas.search.study import Study


def write_pets(root: Path, *, seed: int = 0, count: int = 12) -> None:
    generator = np.random.default_rng(seed)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(generator.integers(0, 256, (8, 8), np.uint8)).save(root / name / f"{number:02}.png")


def config_of(root: Path) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "pets",
            "data": {"folder": root},
            "search": {"spaces": "resnet_small", "width": 0.25, "depth": 0.25, "resolution": 8, "trials": 1},
            "recipe": {"epochs": 1},
        }
    )


@pytest.fixture
def pets() -> Study:
    """Return a study of twelve images in each of two classes that was run."""
    write_pets(Path("pets"))
    return run_study(config_of(Path("pets")))


def told_when_run_again(study: Study) -> list[str]:
    said = list[str]()
    run_study(study.config, trials=0, on_event=lambda e: said.append(e.text) if isinstance(e, Noted) else None)
    return said


def test_a_copy_elsewhere_is_the_same(pets: Study) -> None:
    shutil.copytree("pets", "moved/animals")
    here, there = (load_data(DataConfig(folder=Path(path))).identity for path in ("pets", "moved/animals"))
    assert here == there and len(here.content) == len(here.pixels) == 16
    assert set(here.decoders) == {"nas", "numpy", "pillow"}
    assert told_when_run_again(run_study(config_of(Path("moved/animals")), trials=0)) == []


def test_swapped_labels_and_other_images_are_refused(pets: Study) -> None:
    trial = pets.trials()[0]
    Path("pets/cat").rename("pets/bird")
    Path("pets/dog").rename("pets/cat")
    Path("pets/bird").rename("pets/dog")
    with pytest.raises(StudyError, match="'pets' have changed .* are the same, but their labels"):
        run_study(pets.config)
    with pytest.raises(StudyError, match="are the same, but their labels"), open_study(pets.config) as opened:
        export_network(opened, trial, "out")
    shutil.rmtree("pets")
    write_pets(Path("pets"), seed=1)
    with pytest.raises(StudyError, match="other images, in the same number"):
        run_study(pets.config)
    shutil.rmtree("pets")
    write_pets(Path("pets"), count=13)
    with pytest.raises(StudyError, match="their number are others"):
        run_study(pets.config)


def test_arrays_that_have_changed_are_refused() -> None:
    images, labels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 2
    np.savez("pets.npz", x=images, y=labels)
    config = config_of(Path("x")).model_copy(update={"data": DataConfig(npz=Path("pets.npz"))})
    run_study(config)
    np.savez("pets.npz", x=images, y=1 - labels)
    with pytest.raises(StudyError, match="are the same, but their labels"):
        run_study(config)


def test_a_study_of_an_earlier_version_is_verified_from_now_on(pets: Study) -> None:
    with pets.database.engine.begin() as connection:
        connection.execute(STUDY.update().values(content=None, pixels=None, decoders=None, image_notes=None))
    assert any("were not verified before" in line for line in open_study(pets.config).verified().notes)
    (line,) = (text for text in told_when_run_again(pets) if "images" in text)
    assert "were not verified before" in line
    assert told_when_run_again(pets) == []
    with pets.database.engine.connect() as connection:
        assert connection.execute(sa.select(STUDY.c.content)).scalar_one() == pets.dataset.identity.content


def test_other_pixels_of_the_same_files_are_told() -> None:
    then = ImageDigests("f", "c" * 16, "p" * 16, {"pillow": "10.0", "numpy": "2.0"})
    now = replace(then, pixels="q" * 16, decoders={"pillow": "13.0", "numpy": "2.0"})
    (line,) = require_same_images("pets", then=then, now=now)
    assert "pillow 10.0 then, 13.0 now" in line and "numpy" not in line
    assert require_same_images("pets", then=then, now=then) == []


def test_what_was_told_of_the_images_is_in_the_report() -> None:
    write_pets(Path("pets"))
    Path("pets/cat/notes.heic").write_bytes(b"no")
    study = run_study(config_of(Path("pets")))
    assert study.image_notes() == list(study.dataset.notes)
    assert "1 .heic" in render_report(study)
