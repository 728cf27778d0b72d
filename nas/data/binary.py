"""Readers of data sets that come as arrays: CIFAR's binary files, MNIST's idx files, NumPy's npz."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nas.data.boundary import decoding
from nas.data.types import Images, ImageSet, Source
from nas.errors import DataError

_PIXELS = 3 * 32 * 32


class _CifarFiles(NamedTuple):
    """Where a version of CIFAR keeps what; ``label_bytes`` stand before the pixels, the last is the label."""

    name: str
    names: str
    train: str
    test: str
    label_bytes: int


_CIFARS = (
    _CifarFiles("CIFAR-10", "batches.meta.txt", "data_batch_*.bin", "test_batch.bin", 1),
    _CifarFiles("CIFAR-100", "fine_label_names.txt", "train.bin", "test.bin", 2),
)


def read_cifar(folder: Path) -> Source:
    """Read the binary version of CIFAR-10 or CIFAR-100 (Krizhevsky 2009), whichever the folder holds.

    Raises:
        DataError: The folder holds neither, or a file is not what it should be (named).
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; cifar must name the folder of CIFAR's binary version")
    files = next((files for files in _CIFARS if (folder / files.names).is_file()), None)
    if files is None:
        known = " or ".join(f"{files.names} ({files.name})" for files in _CIFARS)
        raise DataError(f"{folder}: does not contain {known}; cifar must name the folder of CIFAR's binary version")
    batches, test = sorted(folder.glob(files.train)), folder / files.test
    if not batches or not test.is_file():
        missing = test if batches else folder / files.train
        raise DataError(f"{missing}: no such file; cifar must name the folder of {files.name}'s binary version")
    with decoding(folder / files.names, "cannot be read"):
        classes = tuple((folder / files.names).read_text(encoding="utf-8").split())
    parts = [_read_cifar_batch(path, files.label_bytes, len(classes)) for path in batches]
    train = ImageSet(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]))
    return Source(files.name, classes, True, train, test=_read_cifar_batch(test, files.label_bytes, len(classes)))


def _read_cifar_batch(path: Path, label_bytes: int, num_classes: int) -> ImageSet:
    """Read records of label bytes and 3,072 bytes of red, green and blue planes."""
    with decoding(path, "cannot be read"):
        raw = np.fromfile(path, np.uint8)
    record = label_bytes + _PIXELS
    if len(raw) == 0 or len(raw) % record:
        raise DataError(f"{path}: {len(raw)} bytes are not a whole number of records of {record} bytes")
    records = raw.reshape(-1, record)
    labels = records[:, label_bytes - 1].astype(np.int64)
    images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    _require_labels(labels, num_classes, source=path)
    return ImageSet(np.ascontiguousarray(images), labels)


_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_idx(folder: Path) -> Source:
    """Read a folder of MNIST's four idx files (LeCun et al. 1998), packed by gzip or not.

    Fashion-MNIST, KMNIST and EMNIST come so too. Classes are named by their numbers.

    Raises:
        DataError: A file is missing, damaged or not of unsigned bytes (named).
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; idx must name the folder that holds the four idx files")
    arrays = {part: [_read_idx_file(_find_idx(folder, stem)) for stem in stems] for part, stems in _IDX_FILES.items()}
    num_classes = int(max(labels.max() for _, labels in arrays.values())) + 1
    parts = {
        part: _image_set(
            images,
            labels,
            num_classes,
            source=_find_idx(folder, _IDX_FILES[part][0]),
            labels_source=_find_idx(folder, _IDX_FILES[part][1]),
        )
        for part, (images, labels) in arrays.items()
    }
    classes = tuple(str(label) for label in range(num_classes))
    return Source(folder.name, classes, False, parts["train"], test=parts["test"])


def _find_idx(folder: Path, stem: str) -> Path:
    # some distributions write train-images.idx3-ubyte
    names = [name + suffix for name in (stem, stem.replace("-idx", ".idx")) for suffix in ("", ".gz")]
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise DataError(f"{folder / stem}: no such file, with or without .gz; idx must name the folder of all four")
    return found


def _read_idx_file(path: Path) -> npt.NDArray[np.uint8]:
    """Read two zero bytes, the type, the number of dimensions, their sizes (big-endian), and the bytes."""
    with decoding(path, "cannot be read"):
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != 8 or not 1 <= raw[3] <= 3:
        raise DataError(f"{path}: is not an idx file of unsigned bytes")
    shape = np.frombuffer(raw, ">u4", raw[3], 4) if len(raw) >= 4 + 4 * raw[3] else np.zeros(1, ">u4")
    pixels = np.frombuffer(raw, np.uint8, offset=min(len(raw), 4 + 4 * raw[3]))
    if len(pixels) != int(np.prod(shape.astype(np.uint64))) or len(pixels) == 0:
        raise DataError(f"{path}: has {len(pixels)} values, but its header says {'x'.join(map(str, shape.tolist()))}")
    return pixels.reshape(shape.tolist())


def _npz_pairs(keys: set[str], *, source: Path) -> dict[str, tuple[str, str]]:
    """Return the names of images and labels by part."""
    found = {
        part: pair
        for part, pairs in _NPZ_KEYS.items()
        if (pair := next((pair for pair in pairs if keys.issuperset(pair)), None)) is not None
    }
    if "train" not in found:
        raise DataError(
            f"{source}: must contain images and labels, but contains {', '.join(sorted(keys)) or 'nothing'}"
        )
    return found


_NPZ_KEYS = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y")),
    "validation": (("x_val", "y_val"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}


def read_npz(path: Path, *, any_channels: bool = False) -> Source:
    """Read images and labels from NumPy's compressed or uncompressed archive; nothing in it is unpickled.

    Images are uint8 of shape (count, size, size) or (count, size, size, 1 or 3), labels whole numbers from 0 of shape
    (count,) or (count, 1). They are called ``x_train`` and ``y_train``, or ``train_images`` and ``train_labels``, or
    ``images`` and ``labels``, or ``x`` and ``y``; validation and test images likewise (``x_val``, ``x_test``) where
    there are any. ``classes`` may hold the names of the classes. What they show is not known, so they are not mirrored.

    Args:
        path: Of the archive.
        any_channels: Let images of some parts be gray and of others not, because they are converted.

    Raises:
        DataError: The file is missing, damaged, or its arrays are not those (says which and what they are).
    """
    with decoding(path, "cannot be read as npz"):
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DataError(f"{path}: is a single array; npz must name an archive of images and labels")
        with archive:
            found = _npz_pairs(set(archive.files), source=path)
            wanted = {key for pair in found.values() for key in pair} | ({"classes"} & set(archive.files))
            arrays = {key: archive[key] for key in wanted}
    labels = {part: _whole_numbers(arrays[pair[1]], f"{path}: {pair[1]}") for part, pair in found.items()}
    num_classes = max(int(given.max(initial=0)) for given in labels.values()) + 1
    if "classes" in arrays:
        classes = tuple(map(str, arrays["classes"].tolist()))
    else:
        classes = tuple(map(str, range(num_classes)))
    parts = {
        part: _image_set(
            arrays[pair[0]], labels[part], len(classes), source=f"{path}: {pair[0]}", labels_source=f"{path}: {pair[1]}"
        )
        for part, pair in found.items()
    }
    if not any_channels:
        _require_alike({found[part][0]: images for part, images in parts.items()}, source=path)
    return Source(path.stem, classes, False, parts["train"], parts.get("validation"), parts.get("test"))


def _require_alike(parts: dict[str, ImageSet], *, source: Path) -> None:
    """Require that the images of all parts have as many channels as the training images, which come first."""
    (first, train), *others = parts.items()
    for name, images in others:
        if images.channels != train.channels:
            raise DataError(
                f"{source}: {first} has {train.channels} channel{'s' * (train.channels > 1)}, but {name} has"
                f" {images.channels}; data.color: grayscale or rgb makes them alike"
            )


def _whole_numbers(labels: npt.NDArray[Any], source: object) -> npt.NDArray[np.int64]:
    if labels.dtype.kind not in "iu" or labels.size != len(labels):
        raise DataError(f"{source} must be whole numbers of shape (count,), but is {labels.dtype} of {labels.shape}")
    return labels.reshape(-1).astype(np.int64)


def _image_set(
    images: npt.NDArray[Any], labels: npt.NDArray[Any], num_classes: int, *, source: object, labels_source: object
) -> ImageSet:
    """Return images and labels that fit each other."""
    shaped: Images = images[..., None] if images.ndim == 3 else images
    fits = shaped.ndim == 4 and shaped.shape[1] == shaped.shape[2] and shaped.shape[3] in (1, 3) and shaped.size
    if not fits or shaped.dtype != np.uint8:
        raise DataError(
            f"{source} must be uint8 of shape (count, size, size) or (count, size, size, 1 or 3), but is"
            f" {images.dtype} of {images.shape}"
        )
    if len(shaped) != len(labels):
        raise DataError(f"{source} has {len(shaped)} images, but there are {len(labels)} labels")
    _require_labels(labels.astype(np.int64), num_classes, source=labels_source)
    return ImageSet(shaped, labels.astype(np.int64))


def _require_labels(labels: npt.NDArray[np.int64], num_classes: int, *, source: object) -> None:
    for label in (labels.min(initial=0), labels.max(initial=0)):
        if not 0 <= label < num_classes:
            raise DataError(
                f"{source}: has label {label}, but there are {num_classes} classes (0 to {num_classes - 1})"
            )
