"""Sources that are files: archives, idx, CIFAR-100, folders with splits, odd and broken images, the cache."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data import cache, decode, folder
from nas.data.sources import DataConfig, load_data, load_test
from nas.data.types import Images
from nas.errors import DataError

GENERATOR = np.random.default_rng(0)


def pixels(*shape: int) -> Images:
    return GENERATOR.integers(0, 256, shape, np.uint8)


def labels(count: int, classes: int) -> np.ndarray:
    return np.arange(count) % classes


def write_idx(path: Path, array: np.ndarray, *, packed: bool) -> None:
    raw = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()
    path.parent.mkdir(exist_ok=True)
    target = path.with_name(path.name + ".gz" * packed)
    target.write_bytes(gzip.compress(raw) if packed else raw)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read_packed_or_not(packed: bool) -> None:
    train, test = pixels(60, 9, 9), pixels(20, 9, 9)
    write_idx(Path("mnist/train-images-idx3-ubyte"), train, packed=packed)
    write_idx(Path("mnist/train-labels-idx1-ubyte"), labels(60, 3), packed=packed)
    write_idx(Path("mnist/t10k-images-idx3-ubyte"), test, packed=packed)
    write_idx(Path("mnist/t10k-labels-idx1-ubyte"), labels(20, 3), packed=packed)
    config = DataConfig(idx=Path("mnist"))
    dataset, held_out = load_data(config), load_test(config)
    assert (dataset.classes, dataset.channels, dataset.native_size) == (("0", "1", "2"), 1, 9)
    assert (len(dataset.train), len(dataset.validation), len(held_out)) == (48, 12, 20)
    assert np.array_equal(held_out.images[..., 0], test)
    known = {image.tobytes(): label for image, label in zip(train, labels(60, 3), strict=True)}
    assert all(known[i.tobytes()] == k for i, k in zip(dataset.train.images, dataset.train.labels, strict=True))


def test_broken_idx_files_are_named() -> None:
    def refused(message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load_data(DataConfig(idx=Path("mnist")))
        assert "\n" not in str(caught.value)

    refused("mnist: no such folder; idx must name")
    for name, array in {
        "train-images-idx3-ubyte": pixels(30, 5, 5),
        "train-labels-idx1-ubyte": labels(30, 3),
        "t10k-images-idx3-ubyte": pixels(6, 5, 5),
    }.items():
        write_idx(Path("mnist") / name, array, packed=False)
    refused("t10k-labels-idx1-ubyte: no such file, with or without .gz")
    write_idx(Path("mnist/t10k-labels-idx1-ubyte"), labels(5, 3), packed=False)
    refused("t10k-images-idx3-ubyte has 6 images, but there are 5 labels")
    path = Path("mnist/t10k-labels-idx1-ubyte")
    path.write_bytes(path.read_bytes()[:-1])
    refused("t10k-labels-idx1-ubyte: has 4 values, but its header says 5")
    path.write_bytes(b"text")
    refused("t10k-labels-idx1-ubyte: is not an idx file of unsigned bytes")
    path.unlink()
    path.with_name(path.name + ".gz").write_bytes(b"not packed")
    refused("t10k-labels-idx1-ubyte.gz: cannot be read")


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        (("x_train", "y_train", "x_test", "y_test"), (8, 8)),
        (("train_images", "train_labels", "test_images", "test_labels"), (8, 8, 1)),
    ],
)
def test_npz_with_a_test_split(names: tuple[str, ...], shape: tuple[int, ...]) -> None:
    arrays = (pixels(40, *shape), labels(40, 4)[:, None], pixels(8, *shape), labels(8, 4).astype(np.uint8))
    np.savez_compressed("data.npz", **dict(zip(names, arrays, strict=True)), classes=np.array(["a", "b", "c", "d"]))
    config = DataConfig(npz=Path("data.npz"))
    dataset, test = load_data(config), load_test(config)
    assert (dataset.classes, dataset.channels, len(test)) == (("a", "b", "c", "d"), 1, 8)
    assert np.array_equal(test.images.reshape(8, 8, 8), arrays[2].reshape(8, 8, 8))


def test_npz_with_validation_images_of_its_own() -> None:
    arrays = {"x_train": pixels(40, 6, 6, 3), "y_train": labels(40, 2), "x_val": pixels(10, 6, 6, 3)}
    np.savez("data.npz", **arrays, y_val=labels(10, 2))
    dataset = load_data(DataConfig(npz=Path("data.npz")))
    assert np.array_equal(dataset.validation.images, arrays["x_val"])
    assert len(dataset.train) == 34  # less the test images
    limited = load_data(DataConfig(npz=Path("data.npz"), limit=20, validation=0.25))
    assert (len(limited.train), len(limited.validation)) == (15, 5)


def test_npz_parts_of_other_channels_are_refused_or_converted() -> None:
    arrays = {"x_train": pixels(40, 6, 6), "y_train": labels(40, 2), "x_test": pixels(10, 6, 6, 3)}
    np.savez("data.npz", **arrays, y_test=labels(10, 2))
    with pytest.raises(DataError) as caught:
        load_data(DataConfig(npz=Path("data.npz")))
    assert str(caught.value) == (
        "data.npz: x_train has 1 channel, but x_test has 3; data.color: grayscale or rgb makes them alike"
    )
    for color, channels in (("grayscale", 1), ("rgb", 3)):
        config = DataConfig(npz=Path("data.npz"), color=color)
        assert load_data(config).channels == load_test(config).channels == channels


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": pixels(4, 5, 5)}, "must contain images and labels, but contains x"),
        ({"x": pixels(4, 5, 6), "y": labels(4, 2)}, r"x must be uint8 of shape .* but is uint8 of \(4, 5, 6\)"),
        ({"x": pixels(4, 5, 5, 4), "y": labels(4, 2)}, r"x must be uint8 .* but is uint8 of \(4, 5, 5, 4\)"),
        ({"x": np.zeros((4, 5, 5)), "y": labels(4, 2)}, "x must be uint8 .* but is float64"),
        ({"x": pixels(4, 5, 5), "y": np.zeros(4)}, "y must be whole numbers .* but is float64"),
        ({"x": pixels(4, 5, 5), "y": labels(3, 2)}, "x has 4 images, but there are 3 labels"),
        ({"x": pixels(4, 5, 5), "y": np.array([0, 1, 2, -1])}, "y: has label -1, but there are 3 classes"),
        ({"x": pixels(4, 5, 5), "y": labels(4, 4), "classes": np.array(["a", "b"])}, "has label 3, but there are 2"),
        ({"x": np.array([{}]), "y": labels(1, 1)}, "cannot be read as npz .*allow_pickle"),
    ],
)
def test_wrong_archives_are_refused(arrays: dict[str, Any], message: str) -> None:
    np.savez("wrong.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load_data(DataConfig(npz=Path("wrong.npz")))
    assert str(caught.value).startswith("wrong.npz") and "\n" not in str(caught.value)


def test_files_that_are_no_archive_are_refused() -> None:
    Path("text.npz").write_text("text")
    np.save("one.npy", pixels(3, 3))
    for name, message in (
        ("text.npz", "cannot be read as npz"),
        ("no.npz", "no such file"),
        ("one.npy", "is a single array"),
    ):
        with pytest.raises(DataError, match=f"{name}: {message}"):
            load_data(DataConfig(npz=Path(name)))


def test_cifar_100_has_fine_labels() -> None:
    Path("cifar").mkdir()
    Path("cifar/fine_label_names.txt").write_text("\n".join(f"fine{i}" for i in range(100)))
    for name, count in (("train", 400), ("test", 200)):
        rows = np.zeros((count, 2 + 3072), np.uint8)
        rows[:, 0], rows[:, 1] = 19, labels(count, 100)
        rows[:, 2] = rows[:, 1]
        rows.tofile(f"cifar/{name}.bin")
    config = DataConfig(cifar=Path("cifar"), validation=0.5)
    dataset, test = load_data(config), load_test(config)
    assert (dataset.name, len(dataset.classes), len(dataset.train), len(test)) == ("CIFAR-100", 100, 200, 200)
    assert np.array_equal(test.images[:, 0, 0, 0], test.labels)


def save(path: str, image: Image.Image, **options: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def two_classes(root: str, *, per_class: int = 8, make: Callable[[int], Image.Image]) -> None:
    for name in ("a", "b"):
        for index in range(per_class):
            save(f"{root}/{name}/{index}.png", make(index))


def test_a_folder_keeps_its_splits() -> None:
    for part, count in (("train", 10), ("val", 4), ("test", 3)):
        for name in ("cat", "dog"):
            for index in range(count):
                save(f"pets/{part}/{name}/{index}.png", Image.fromarray(pixels(6, 6, 3)))
    config = DataConfig(folder=Path("pets"))
    dataset, test = load_data(config), load_test(config)
    assert dataset.classes == ("cat", "dog")
    assert (len(dataset.train), len(dataset.validation), len(test)) == (20, 8, 6)
    expected = np.asarray(Image.open("pets/val/dog/1.png"))
    assert np.array_equal(dataset.validation.images[5], expected) and dataset.validation.labels[5] == 1
    save("pets/val/fox/0.png", Image.fromarray(pixels(6, 6, 3)))
    with pytest.raises(DataError, match="pets/val: has a class 'fox' that pets/train does not have"):
        load_data(config)


def test_a_class_may_be_named_train() -> None:
    for name in ("car", "train"):
        for index in range(10):
            save(f"vehicles/{name}/{index}.png", Image.fromarray(pixels(6, 6, 3)))
    assert load_data(DataConfig(folder=Path("vehicles"))).classes == ("car", "train")


def test_odd_images_become_eight_bits_in_three_channels() -> None:
    two_classes("odd", make=lambda index: Image.fromarray(pixels(4, 4, 3)))
    half = np.full((4, 4), 0x8000, np.uint16)
    save("odd/a/0.png", Image.fromarray(half))
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[:2] = (200, 100, 50, 255)
    save("odd/a/1.png", Image.fromarray(clear))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    save("odd/a/2.png", palette)
    save("odd/a/3.png", Image.fromarray(np.full((4, 4), 77, np.uint8)))
    save("odd/a/4.png", Image.new("LA", (4, 4), (90, 255)))
    save("odd/a/5.png", Image.new("1", (4, 4), 1))
    source = folder.read_folder(Path("odd"))
    first = source.train.images[:6]
    assert source.train.images.shape == (16, 4, 4, 3)
    assert np.all(first[0] == 128)
    assert np.all(first[1, :2] == (200, 100, 50)) and np.all(first[1, 2:] == 255)
    assert np.all(first[2] == (10, 20, 30)) and np.all(first[3] == 77) and np.all(first[4] == 90)
    assert np.all(first[5] == 255)


def test_sixteen_bit_grayscale_alone_has_one_channel() -> None:
    two_classes("scans", make=lambda index: Image.fromarray(np.full((4, 4), 257 * index, np.uint16)))
    source = folder.read_folder(Path("scans"))
    assert source.train.images.shape == (16, 4, 4, 1)
    assert source.train.images[:8, 0, 0, 0].tolist() == list(range(8))


def test_broken_images_are_skipped_only_where_the_study_says_so() -> None:
    two_classes("some", per_class=12, make=lambda index: Image.fromarray(pixels(40, 40, 3)))
    cut = Path("some/a/3.png")
    cut.write_bytes(cut.read_bytes()[:-600])  # the header is whole
    Path("some/b/5.png").write_text("text")
    for config in (DataConfig(folder=Path("some")), DataConfig(folder=Path("some"), size=20)):
        with pytest.raises(DataError, match=r"some/(a/3|b/5)\.png: not an image that can be read"):
            load_data(config)
    config = DataConfig(folder=Path("some"), skip_broken=True)
    for _ in range(2):  # decoded, and from the cache
        dataset = load_data(config)
        assert dataset.skipped == 2
        assert len(dataset.train) + len(dataset.validation) + len(load_test(config)) == 22
    expected = np.asarray(Image.open("some/b/6.png"))
    everything = [*dataset.train.images, *dataset.validation.images, *load_test(config).images]
    assert sum(np.array_equal(image, expected) for image in everything) == 1
    for index in range(12):
        Path(f"some/a/{index}.png").write_text("text")
    with pytest.raises(DataError, match="some: class 'a' has no images left after the broken ones are skipped"):
        load_data(config)


def test_size_color_and_classes_are_as_asked_for() -> None:
    two_classes("photos", make=lambda index: Image.fromarray(pixels(12, 16, 3)))
    gray = load_data(DataConfig(folder=Path("photos"), size=6, color="grayscale"))
    assert (gray.native_size, gray.channels) == (6, 1)
    digits = load_data(DataConfig(digits=True, color="rgb", classes=("7", "1")))
    assert (digits.classes, digits.channels) == (("7", "1"), 3)
    plain = load_data(DataConfig(digits=True, classes=("1", "7")))
    assert np.bincount(digits.train.labels).tolist() == np.bincount(plain.train.labels)[::-1].tolist()
    ones = {image[..., 0].tobytes() for image in digits.train.images[digits.train.labels == 1]}
    all_ones = load_data(DataConfig(digits=True, validation=0.01)).train
    known = {image[..., 0].tobytes() for image in all_ones.images[all_ones.labels == 1]}
    assert len(ones & known) > 0.7 * len(ones)
    with pytest.raises(DataError, match="data.classes: digits has no class 'seven'; known: 0, 1"):
        load_data(DataConfig(digits=True, classes=("seven", "1")))


def test_colour_becomes_gray_as_pillow_has_it() -> None:
    colored = pixels(30, 6, 6, 3)
    np.savez("data.npz", x=colored, y=labels(30, 2))
    dataset = load_data(DataConfig(npz=Path("data.npz"), color="grayscale"))
    expected = {np.asarray(Image.fromarray(image).convert("L")).astype(int).sum() for image in colored}
    for image in dataset.train.images:
        assert min(abs(int(image.astype(int).sum()) - total) for total in expected) <= 18  # half a level a pixel


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"digits": True, "size": 8}, "size applies only to folder and hf, but the source is digits"),
        ({"digits": True, "skip_broken": True}, "skip_broken applies only to folder and hf"),
        ({"digits": True, "classes": ["1", "1"]}, "a class is given twice: 1, 1"),
        ({"digits": True, "classes": ["1"]}, "classes"),
        ({"digits": True, "color": "cmyk"}, "color"),
        ({"shapes": 0}, "shapes"),
    ],
)
def test_options_that_do_not_fit_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig.model_validate(given)


def entries() -> list[Path]:
    return sorted(cache.cache_folder().iterdir()) if cache.cache_folder().exists() else []


def test_a_folder_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    two_classes("photos", make=lambda index: Image.fromarray(pixels(6, 6, 3)))
    first = folder.read_folder(Path("photos"))
    with monkeypatch.context() as patch:
        patch.setattr(decode, "_decode", None)
        again = folder.read_folder(Path("photos"))
    assert np.array_equal(first.train.images, again.train.images) and len(entries()) == 1
    assert isinstance(again.train.images, np.memmap) and not again.train.images.flags.writeable
    os.utime("photos/a/0.png", (1, 1))
    folder.read_folder(Path("photos"))
    folder.read_folder(Path("photos"), size=3)
    assert len(entries()) == 3


@pytest.mark.parametrize(
    "damage", [lambda e: (e / "images.npy").write_bytes(b"x"), lambda e: (e / "facts.json").unlink()]
)
def test_a_damaged_entry_is_made_again(damage: Callable[[Path], object]) -> None:
    two_classes("photos", make=lambda index: Image.fromarray(pixels(6, 6, 3)))
    first = np.array(folder.read_folder(Path("photos")).train.images)
    (entry,) = entries()
    damage(entry)
    assert np.array_equal(folder.read_folder(Path("photos")).train.images, first)
    assert entries() == [entry]


def test_a_full_disk_is_an_error_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    two_classes("photos", make=lambda index: Image.fromarray(pixels(6, 6, 3)))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(DataError, match="the cache cannot be written: No space left on device; set NAS_CACHE"):
        folder.read_folder(Path("photos"))
    assert entries() == []


def test_what_a_killed_process_left_is_removed_after_a_day() -> None:
    two_classes("photos", make=lambda index: Image.fromarray(pixels(6, 6, 3)))
    root = cache.cache_folder()
    old, new = root / ".key.1.2", root / ".key.3.4"
    for path in (old, new):
        path.mkdir(parents=True)
        (path / "images.npy").write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    folder.read_folder(Path("photos"))
    assert not old.exists() and new.exists()


def test_processes_that_write_at_the_same_moment_all_get_the_images() -> None:
    two_classes("photos", per_class=40, make=lambda index: Image.fromarray(pixels(30, 30, 3)))
    code = (
        "from pathlib import Path; from nas.data.folder import read_folder;"
        " print(int(read_folder(Path('photos')).train.images.astype(int).sum()))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    sums = {process.communicate(timeout=120)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert sums == {str(int(folder.read_folder(Path("photos")).train.images.astype(int).sum()))}
    assert len(entries()) == 1


def test_without_a_home_the_cache_asks_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(cls: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("NAS_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", classmethod(homeless))
    with pytest.raises(DataError, match="set NAS_CACHE to a folder"):
        cache.cache_folder()
