"""Data sets as Hugging Face's library has them, from disk: the hub itself is the library's own matter."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data import hub
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


@pytest.mark.parametrize("names", [("Train", "Dev", "TEST"), ("training", "valid", "test_set")])
def test_splits_are_known_by_their_common_names(names: tuple[str, str, str]) -> None:
    datasets.DatasetDict(
        {**dict(zip(names, (rows(20), rows(6), rows(4)), strict=True)), "extra": rows(2)}
    ).save_to_disk("saved")
    dataset, test = load_data(DataConfig(hf="./saved")), load_test(DataConfig(hf="./saved"))
    assert (len(dataset.train), len(dataset.validation), len(test)) == (20, 6, 4)
    assert "hf './saved': splits left aside: extra" in dataset.notes
    datasets.DatasetDict({"train": rows(4), "dev": rows(4), "validation": rows(4)}).save_to_disk("two")
    with pytest.raises(DataError, match="'dev' and 'validation' are both names of validation images"):
        load_data(DataConfig(hf="./two"))


def test_columns_are_those_that_are_named() -> None:
    both = datasets.concatenate_datasets(
        [
            rows(20),
            rows(20).select_columns(["picture"]).rename_column("picture", "other"),
            datasets.Dataset.from_dict(
                {"sort": [index // 10 for index in range(20)]},
                features=datasets.Features({"sort": datasets.ClassLabel(names=["old", "new"])}),
            ),
        ],
        axis=1,
    )
    both.save_to_disk("both")
    assert load_data(DataConfig(hf="./both")).classes == ("cat", "dog")
    assert load_data(DataConfig(hf="./both", image="other", label="sort")).classes == ("old", "new")
    for key, name, message in (
        ("label", "srot", "data.label: hf './both' has no column 'srot'; did you mean 'sort'"),
        ("image", "id", r"data.image: column 'id' of hf './both' does not hold images; it has id \(Value\)"),
    ):
        with pytest.raises(DataError, match=message):
            load_data(DataConfig.model_validate({"hf": "./both", key: name}))
    with pytest.raises(ValueError, match="image applies only to hf, but the source is digits"):
        DataConfig(digits=True, image="picture")


def test_images_in_the_cache_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rows(20).save_to_disk("one")
    first = load_data(DataConfig(hf="./one"))

    def read(*arguments: object) -> bytes:
        raise AssertionError("an image was read")

    monkeypatch.setattr(hub, "_content", read)
    again = load_data(DataConfig(hf="./one"))
    assert np.array_equal(first.train.images, again.train.images) and again.identity == first.identity


def test_a_replaced_file_beside_the_data_set_is_read_again() -> None:
    for index in range(20):
        path = Path(f"pictures/train/{'ab'[index % 2]}/{index}.bmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GENERATOR.integers(0, 256, (5, 5, 3), np.uint8)).save(path)
        os.utime(path, (10**9, 10**9))
    first = load_data(DataConfig(hf="./pictures"))
    assert load_data(DataConfig(hf="./pictures")).identity == first.identity
    Image.fromarray(GENERATOR.integers(0, 256, (5, 5, 3), np.uint8)).save(path)
    os.utime(path, (10**9, 10**9))
    assert load_data(DataConfig(hf="./pictures")).identity != first.identity


def test_a_class_without_images_is_named() -> None:
    features = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["a", "b", "c"])})
    pictures = [Image.fromarray(GENERATOR.integers(0, 256, (5, 5, 3), np.uint8)) for _ in range(20)]
    columns = {"picture": pictures, "kind": [index % 2 for index in range(20)]}
    datasets.Dataset.from_dict(columns, features=features).save_to_disk("three")
    assert "there are no training images of class 'c'" in load_data(DataConfig(hf="./three")).notes
