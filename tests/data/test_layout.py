"""However an archive was unpacked, its parts and classes are found, or refused with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.folder import read_folder
from nas.data.tree import endings
from nas.errors import DataError

GENERATOR = np.random.default_rng(0)


def write(*folders: str, count: int = 2, ending: str = "png") -> None:
    for folder in folders:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(GENERATOR.integers(0, 256, (4, 4), np.uint8)).save(f"{folder}/{number}.{ending}")


def refused(message: str, root: str = "root") -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_folder(Path(root))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inside", ["", "archive/Cap/", "data/"])
@pytest.mark.parametrize(
    "names",
    [
        ("Training", "Testing"),
        ("TRAIN", "TEST"),
        ("train_set", "test_set"),
        ("TrainImages", "test images"),
        ("train/train", "test/test"),
    ],
)
def test_split_folders_are_found_at_any_level_and_by_any_common_name(inside: str, names: tuple[str, str]) -> None:
    train, test = names
    write(*(f"root/{inside}{part}/{name}" for part in (train, test) for name in ("cat", "dog")))
    write(f"root/{inside}Valid/cat", f"root/{inside}Valid/dog", count=3)
    Path("root/__MACOSX/cat").mkdir(parents=True)
    Path("root/__MACOSX/cat/._0.png").write_bytes(b"no image")
    for leftover in ("Thumbs.db", ".DS_Store", "desktop.ini", ".git"):
        Path("root", leftover).write_bytes(b"")
    source = read_folder(Path("root"))
    assert source.classes == ("cat", "dog") and source.notes == ()
    assert source.validation is not None and source.test is not None
    assert (len(source.train), len(source.validation), len(source.test)) == (4, 6, 4)


def test_single_folders_around_the_classes_are_passed() -> None:
    write("root/archive/pets/cat", "root/archive/pets/dog")
    assert read_folder(Path("root")).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train/a", "train/b", "training/a", "training/b"], "root: 'train' and 'training' are both names of training"),
        (["train/a", "train/b", "eval/a", "val/a"], "'eval' and 'val' are both names of validation images"),
        (["Testing/a", "Testing/b"], "Testing: holds test images by its name, but there is no folder of training"),
        (["Testing/a", "Testing/b", "a", "b"], "no folder of training images, beside 'a', 'b'; name that one train"),
        (["train/a", "train/b", "car"], "train: holds training images by its name, but 'car' beside it has images too"),
        (["train/a", "train/b", "test/a", "a", "b"], "but 'a', 'b' beside it have images too"),
        (
            ["Training", "Testing"],
            "holds images without a folder for each class, but its name is that of test",
        ),
        (["a", "b", "Testing"], "Testing: holds images without a folder for each class"),
        (["seg_train/a", "seg_train/b", "seg_test/a"], "seg_test: looks like test images .* rename it to test"),
        (["cat/train", "cat/test", "dog/train", "dog/test"], "cat: has 'test' and 'train' inside a class; .* test/cat"),
        (["train/Cat", "train/dog", "test/cat"], "has a class 'cat' that root/train does not have; it has 'Cat'"),
    ],
)
def test_what_can_be_meant_in_two_ways_is_refused(folders: list[str], message: str) -> None:
    write(*(f"root/{folder}" for folder in folders))
    refused(message)


@pytest.mark.parametrize("names", [("car", "train"), ("invalid", "valid")])
def test_some_names_of_parts_are_names_of_classes_too(names: tuple[str, str]) -> None:
    write(*(f"root/{name}" for name in names))
    source = read_folder(Path("root"))
    assert source.classes == names and source.notes == (f"root: {names[1]!r} is taken for a class",)


def test_folders_beside_the_parts_are_told() -> None:
    write("root/train/a", "root/train/b", "root/test/a", "root/test/b", "root/unlabeled")
    write("root/train", count=1)
    told = read_folder(Path("root")).notes
    assert "root/train: left aside beside the class folders: 1 .png" in told
    assert "root: 'unlabeled' left aside: by name no training, validation or test images" in told


def test_folders_inside_classes_are_told() -> None:
    write(*(f"root/{outer}/{inner}" for outer in ("images", "masks") for inner in ("crow", "owl")))
    source = read_folder(Path("root"))
    assert source.classes == ("images", "masks")
    assert source.notes == ("root: the 4 folders inside 'images', 'masks' are taken for no classes",)


def test_files_left_aside_are_told_by_number_ending_and_class() -> None:
    write("root/cat", "root/dog")
    for number in range(3):
        Path(f"root/cat/{number}.heic").write_bytes(b"")
    Path("root/dog/notes.txt").write_text("")
    Path("root/dog/.secret.png").write_bytes(b"")
    Path("root/dog/gone.png").symlink_to("nowhere.png")
    Path("root/bird").mkdir()
    assert read_folder(Path("root")).notes == (
        "root: no images in 'bird', which is no class",
        "4 files left aside that cannot be read as images: 3 .heic, 1 .txt (in cat 3, dog 1)",
        "1 hidden file or folder left aside",
        "1 link left aside that leads nowhere",
    )


def test_a_class_that_loses_all_its_files_is_refused() -> None:
    write("root/cat", "root/dog")
    Path("root/bird").mkdir()
    Path("root/bird/0.heic").write_bytes(b"")
    refused(r"root/bird: none of its files can be read as an image \(1 .heic\)")
    Path("root/bird/0.heic").rename("root/bird/labels.csv")
    assert read_folder(Path("root")).classes == ("cat", "dog")


def test_links_to_folders_are_followed_and_circles_refused() -> None:
    write("root/cat", "elsewhere/dog")
    Path("root/dog").symlink_to(Path("elsewhere/dog").resolve())
    Path("root/cat/more").symlink_to(Path("elsewhere").resolve())
    source = read_folder(Path("root"))
    assert np.bincount(source.train.labels).tolist() == [4, 2]
    Path("root/cat/back").symlink_to(Path("root").resolve())
    refused("root/cat/back: is a link that leads back to a folder above it")


def test_what_pillow_decodes_is_read() -> None:
    assert {".png", ".jpg", ".jfif", ".jp2", ".tga", ".webp", ".pgm", ".ico"} <= endings()
    assert not {".pdf", ".mpg", ".h5", ".eps", ".heic"} & endings()
    write("root/cat", "root/dog")
    write("root/dog", count=3, ending="PGM")
    assert len(read_folder(Path("root")).train) == 7


def test_a_file_replaced_with_the_same_size_and_time_is_read_again() -> None:
    write("root/cat", "root/dog")
    path = Path("root/cat/0.png")
    for pixel in (10, 200):  # of equal length when encoded
        Image.fromarray(np.full((4, 4), pixel, np.uint8)).save("other.bmp")
        os.replace("other.bmp", path)
        os.utime(path, ns=(10**18, 10**18))
        assert read_folder(Path("root")).train.images[0].max() == pixel
