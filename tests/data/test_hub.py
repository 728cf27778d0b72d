"""Data sets as Hugging Face's library has them, from disk: the hub itself is the library's own matter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data.sources import DataConfig, load_data, load_test
from nas.errors import DataError

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
GENERATOR = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".hf")
    datasets.disable_progress_bars()


def rows(count: int, *, size: int = 6) -> Any:
    pixels = GENERATOR.integers(0, 256, (count, size, size, 3), np.uint8)
    columns = {
        "id": list(range(count)),
        "picture": [Image.fromarray(image) for image in pixels],
        "kind": [index % 2 for index in range(count)],
    }
    names = datasets.ClassLabel(names=["cat", "dog"])
    features = datasets.Features({"id": datasets.Value("int64"), "picture": datasets.Image(), "kind": names})
    return datasets.Dataset.from_dict(columns, features=features)


def test_columns_and_splits_are_found() -> None:
    parts = {"train": rows(20), "validation": rows(6), "test": rows(4)}
    datasets.DatasetDict(parts).save_to_disk("saved")
    config = DataConfig(hf="./saved")
    dataset, test = load_data(config), load_test(config)
    assert (dataset.name, dataset.classes, dataset.native_size) == ("saved", ("cat", "dog"), 6)
    assert (len(dataset.train), len(dataset.validation), len(test)) == (20, 6, 4)
    assert test.labels.tolist() == [0, 1, 0, 1]
    for index in range(4):
        assert np.array_equal(test.images[index], np.asarray(parts["test"][index]["picture"]))


def test_one_split_is_carved_and_an_image_folder_is_read() -> None:
    rows(40).save_to_disk("one")
    dataset = load_data(DataConfig(hf="./one", color="grayscale", size=3))
    assert (len(dataset.train), len(dataset.validation), dataset.channels, dataset.native_size) == (27, 7, 1, 3)
    for name in ("ant", "bee"):
        for index in range(10):
            path = Path(f"pictures/train/{name}/{index}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(GENERATOR.integers(0, 256, (5, 5, 3), np.uint8)).save(path)
    assert load_data(DataConfig(hf="./pictures")).classes == ("ant", "bee")


def test_a_path_is_taken_from_the_study_file_and_a_name_is_not() -> None:
    assert DataConfig(hf="./data/x").relative_to(Path("studies")).hf == "studies/data/x"
    assert DataConfig(hf="user/name").relative_to(Path("studies")).hf == "user/name"


def test_what_cannot_be_used_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load_data(DataConfig(hf=name))
        assert "\n" not in str(caught.value)

    refused("./nowhere", r"hf '\./nowhere': cannot be loaded")
    datasets.Dataset.from_dict({"text": ["a"], "kind": [1]}).save_to_disk("text")
    refused("./text", r"has no column of images; it has text \(Value\), kind \(Value\)")
    datasets.DatasetDict({"all": rows(4)}).save_to_disk("unsplit")
    refused("./unsplit", "has no training split; known: all")
    monkeypatch.setitem(sys.modules, "datasets", None)
    refused("./one", r"data.hf needs datasets, which is not installed: pip install 'nas-explorer\[hf\]'")
