from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.sources import DataConfig, load_data, load_test
from nas.errors import DataError

RECORD = 3073


def write_images(folder: Path, classes: dict[str, int], *, mode: str = "RGB", size: tuple[int, int] = (10, 12)) -> None:
    generator = np.random.default_rng(0)
    for label, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
            pixels = generator.integers(0, 60, shape, np.uint8) + 60 * label
            Image.fromarray(pixels.astype(np.uint8), mode).save(folder / name / f"{i}.png")


def write_cifar(folder: Path, *, per_batch: int = 40) -> None:
    folder.mkdir()
    (folder / "batches.meta.txt").write_text("\n".join(f"class{i}" for i in range(10)) + "\n\n")
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        rows = np.zeros((per_batch, RECORD), np.uint8)
        rows[:, 0] = np.arange(per_batch) % 10
        rows[:, 1:1025], rows[:, 1025:2049], rows[:, 2049:] = rows[:, :1], rows[:, :1] + 100, rows[:, :1] + 200
        rows[:, 2] = 7  # red, first row, second column
        rows.tofile(folder / f"{name}.bin")


def test_digits_split_into_disjoint_classes_in_proportion() -> None:
    config = DataConfig(digits=True, validation=0.25)
    dataset, test = load_data(config), load_test(config)
    assert len(dataset.train) + len(dataset.validation) + len(test) == 1797
    assert len(dataset.validation) == pytest.approx(0.25 * (1797 - len(test)), abs=1)
    parts = [{image.tobytes() for image in part.images} for part in (dataset.train, dataset.validation, test)]
    assert len(parts[0] & parts[2]) == len(parts[1] & parts[2]) == len(parts[0] & parts[1]) == 0
    shares = np.bincount(dataset.train.labels) / len(dataset.train)
    np.testing.assert_allclose(np.bincount(test.labels) / len(test), shares, atol=0.01)
    assert (dataset.channels, dataset.native_size, dataset.mirrors) == (1, 8, False)
    assert dataset.train.images.max() == 255


def test_the_split_follows_its_seed_and_the_test_images_do_not() -> None:
    first, second = DataConfig(digits=True, seed=1), DataConfig(digits=True, seed=2)
    assert np.array_equal(load_data(first).train.images, load_data(first).train.images)
    assert not np.array_equal(load_data(first).train.labels, load_data(second).train.labels)
    assert np.array_equal(load_test(first).images, load_test(second).images)


def test_the_test_images_are_the_same_for_all_time() -> None:
    test = load_test(DataConfig(digits=True))
    assert len(test) == 270
    content = hashlib.blake2b(test.images.tobytes() + test.labels.tobytes(), digest_size=8).hexdigest()
    assert content == "9cf5b5e8667f2b81"  # accuracies on others could not be compared


def test_limit_keeps_the_classes_in_proportion() -> None:
    dataset = load_data(DataConfig(digits=True, limit=100, validation=0.2))
    assert (len(dataset.train), len(dataset.validation)) == (80, 20)
    assert set(np.bincount(dataset.train.labels)) == {8}


def test_fingerprint_tells_other_images() -> None:
    whole, part = load_data(DataConfig(digits=True)), load_data(DataConfig(digits=True, limit=500))
    assert whole.fingerprint == load_data(DataConfig(digits=True)).fingerprint != part.fingerprint


def test_a_folder_finds_classes_channels_and_size(tmp_path: Path) -> None:
    write_images(tmp_path / "animals", {"cat": 20, "ant": 20})
    (tmp_path / "animals" / ".cache").mkdir()
    (tmp_path / "animals" / "notes.txt").write_text("no image")
    config = DataConfig(folder=tmp_path / "animals")
    dataset, test = load_data(config), load_test(config)
    assert dataset.classes == ("ant", "cat")
    assert (dataset.native_size, dataset.channels, dataset.mirrors, len(test)) == (10, 3, True, 6)
    for part in (dataset.train, dataset.validation, test):
        bright = part.images.mean(axis=(1, 2, 3)) > 59
        assert np.array_equal(bright, part.labels == 0)  # "ant" was written second, and brighter


def test_a_grayscale_folder_has_one_channel(tmp_path: Path) -> None:
    write_images(tmp_path / "gray", {"a": 10, "b": 10}, mode="L")
    assert load_data(DataConfig(folder=tmp_path / "gray")).channels == 1


def test_images_of_other_sizes_are_cropped_to_the_middle(tmp_path: Path) -> None:
    write_images(tmp_path / "mixed", {"a": 8, "b": 8}, size=(16, 16))
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, 12:20] = 255
    Image.fromarray(wide).save(tmp_path / "mixed" / "a" / "wide.png")
    dataset = load_data(DataConfig(folder=tmp_path / "mixed"))
    assert dataset.native_size == 16
    everything = np.concatenate(
        [dataset.train.images, dataset.validation.images, load_test(DataConfig(folder=tmp_path / "mixed")).images]
    )
    assert any(image[:, 7:9].min() == 255 for image in everything)


def test_a_turned_photograph_is_set_upright(tmp_path: Path) -> None:
    write_images(tmp_path / "turned", {"a": 8, "b": 8}, size=(8, 8))
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    for i in range(8):
        Image.fromarray(pixels).save(tmp_path / "turned" / "a" / f"{i}.png", exif=exif)
    dataset = load_data(DataConfig(folder=tmp_path / "turned"))
    image = dataset.train.images[dataset.train.labels == 0][0]
    assert image[:4].max() == 0 and image[4:].min() == 255


def test_cifar_reads_planes_and_labels(tmp_path: Path) -> None:
    write_cifar(tmp_path / "cifar")
    config = DataConfig(cifar=tmp_path / "cifar")
    dataset, test = load_data(config), load_test(config)
    assert (len(dataset.train), len(dataset.validation), len(test)) == (160, 40, 40)
    assert dataset.classes == tuple(f"class{i}" for i in range(10))
    image, label = test.images[3], test.labels[3]
    assert image.shape == (32, 32, 3) and label == 3
    assert image[5, 5].tolist() == [3, 103, 203] and image[0, 1].tolist() == [7, 103, 203]


def test_broken_cifar_files_are_named(tmp_path: Path) -> None:
    write_cifar(tmp_path / "cifar")
    config = DataConfig(cifar=tmp_path / "cifar")
    batch = tmp_path / "cifar" / "data_batch_2.bin"
    whole = batch.read_bytes()
    batch.write_bytes(whole[:-1])
    with pytest.raises(DataError, match="data_batch_2.bin: 122919 bytes are not a whole number"):
        load_data(config)
    batch.write_bytes(b"\x0c" + whole[1:])
    with pytest.raises(DataError, match="data_batch_2.bin: has label 12, but there are 10 classes"):
        load_data(config)
    (tmp_path / "cifar" / "test_batch.bin").unlink()
    with pytest.raises(DataError, match="test_batch.bin: no such file"):
        load_data(config)
    with pytest.raises(DataError, match="nowhere: no such folder; cifar must name the folder of CIFAR"):
        load_data(DataConfig(cifar=Path("nowhere")))


def test_unusable_folders_are_refused(tmp_path: Path) -> None:
    def refused(folder: Path, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load_data(DataConfig(folder=folder, every_class=False))
        assert "\n" not in str(caught.value)

    refused(tmp_path / "nowhere", "nowhere: no such folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "has no images in sub-folders")
    write_images(tmp_path / "single", {"only": 5})
    refused(tmp_path / "single", r"has only one class \('only'\)")
    write_images(tmp_path / "lonely", {"a": 9, "b": 1})
    refused(tmp_path / "lonely", "class 'b' has 1 left")
    write_images(tmp_path / "parts" / "train", {"a": 9, "b": 9})
    for name in ("parts/val", "parts/val/a"):  # without classes, and with a class that is empty
        (tmp_path / name).mkdir()
        refused(tmp_path / "parts", "parts/val: has no images; delete this folder to take validation images")
    write_images(tmp_path / "broken", {"a": 9, "b": 9})
    image = tmp_path / "broken" / "b" / "4.png"
    image.write_bytes(image.read_bytes()[:100])
    refused(tmp_path / "broken", "broken/b/4.png: not an image that can be read")
    image.write_text("text")
    refused(tmp_path / "broken", "broken/b/4.png: not an image that can be read")


@pytest.mark.parametrize("given", [{}, {"digits": True, "folder": "x"}, {"digits": False}])
def test_exactly_one_source_is_needed(given: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        DataConfig.model_validate(given)
