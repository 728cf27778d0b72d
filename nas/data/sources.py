"""Sources of images: scikit-learn's digits, a folder of images, CIFAR-10's binary files.

``load_data`` gives what a search may see: training and validation images. The test images are another function,
``load_test``, so that a search cannot touch them by accident.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, PositiveInt, model_validator

from nas.data.folder import read_folder
from nas.errors import DataError
from nas.files import Strict

Images: TypeAlias = npt.NDArray[np.uint8]
Labels: TypeAlias = npt.NDArray[np.int64]

TEST_SHARE = 0.15
"""Share of the images kept for testing where a source has no test split of its own."""
_SPLIT_SEED = 20190528  # of the test split: part of the data, so no setting changes it
_CIFAR_RECORD = 1 + 3 * 32 * 32


class DataConfig(Strict):
    """The ``data`` section of a study: one source, and how it is split.

    Attributes:
        digits: ``true`` for the 1,797 handwritten digits of 8x8 px that scikit-learn carries.
        folder: A folder with one sub-folder of images per class.
        cifar: The folder of CIFAR-10's official binary files (``data_batch_1.bin`` ...).
        validation: Share of the training images that is carved off, class by class, to choose networks by.
        limit: Largest number of images to train and validate on, class by class; all without it.
        seed: Of the validation split and of the limit's choice.
    """

    digits: Literal[True] | None = None
    folder: Path | None = None
    cifar: Path | None = None
    validation: float = Field(0.2, gt=0, lt=1)
    limit: PositiveInt | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [key for key in _SOURCES if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one source of {', '.join(_SOURCES)} is needed, but {given or 'none'} given")
        return self

    def relative_to(self, folder: Path) -> DataConfig:
        """Return the same section with a relative path joined to ``folder``."""
        paths = {
            key: Path(os.path.normpath(folder / path))
            for key in ("folder", "cifar")
            if (path := getattr(self, key)) is not None
        }
        return self.model_copy(update=paths)


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images and their labels.

    Attributes:
        images: uint8 of shape (count, size, size, channels).
        labels: int64 of shape (count,), indices into the classes.
    """

    images: Images
    labels: Labels

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.intp]) -> ImageSet:
        """Return the images at the given indices."""
        return ImageSet(self.images[indices], self.labels[indices])


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a search may see of a source.

    Attributes:
        name: For people.
        classes: Names in the order of the labels.
        mirrors: Whether a mirrored image still shows its class (digits do not).
        train: Images to fit weights on.
        validation: Images to compare networks on.
    """

    name: str
    classes: tuple[str, ...]
    mirrors: bool
    train: ImageSet
    validation: ImageSet

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return int(self.train.images.shape[-1])

    @property
    def native_size(self) -> int:
        """Height and width of a stored image in pixels."""
        return int(self.train.images.shape[1])

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of classes, sizes and labels: a study refuses to go on with other data."""
        counts = [np.bincount(part.labels, minlength=len(self.classes)).tolist() for part in self._parts]
        facts = json.dumps([self.classes, self.native_size, self.channels, counts])
        return hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()

    @property
    def _parts(self) -> tuple[ImageSet, ImageSet]:
        return self.train, self.validation


@dataclass(frozen=True, slots=True)
class _Source:
    """A source as read: its training images, and its test images where it has a split of its own."""

    name: str
    classes: tuple[str, ...]
    mirrors: bool
    train: ImageSet
    test: ImageSet | None = None


def load_data(config: DataConfig) -> Dataset:
    """Load the training and validation images of a source.

    Args:
        config: The source and its split; a relative path is taken from the working directory.

    Raises:
        DataError: The images are missing, too few for the split, or unreadable.
    """
    source, rest, _ = _read(config)
    if config.limit is not None and config.limit < len(rest):
        if config.limit < 2 * len(source.classes):
            raise DataError(f"data.limit {config.limit} is too small for {len(source.classes)} classes")
        rest, _ = _split(rest, len(rest) - config.limit, config.seed, source.classes)
    train, validation = _split(rest, config.validation, config.seed, source.classes)
    return Dataset(source.name, source.classes, source.mirrors, train, validation)


def load_test(config: DataConfig) -> ImageSet:
    """Load the test images of a source: once, for the network that was chosen.

    Raises:
        DataError: As ``load_data`` does.
    """
    return _read(config)[2]


def _read(config: DataConfig) -> tuple[_Source, ImageSet, ImageSet]:
    """Return a source with its training and test images."""
    source = next(read(config) for key, read in _SOURCES.items() if getattr(config, key) is not None)
    if source.test is not None:
        return source, source.train, source.test
    return source, *_split(source.train, TEST_SHARE, _SPLIT_SEED, source.classes)


def _split(images: ImageSet, share: float, seed: int, classes: tuple[str, ...]) -> tuple[ImageSet, ImageSet]:
    """Carve a share, or a number, of the images off, class by class."""
    from sklearn.model_selection import train_test_split

    try:
        kept, carved = train_test_split(
            np.arange(len(images)), test_size=share, random_state=seed, stratify=images.labels
        )
    except ValueError:
        counts = np.bincount(images.labels, minlength=len(classes))
        least = int(counts.argmin())
        raise DataError(
            f"{len(images)} images of {len(classes)} classes are too few to split: class {classes[least]!r} has"
            f" {counts[least]} left, and training, validation and test each need one of every class"
        ) from None
    return images.take(np.sort(kept)), images.take(np.sort(carved))


def _read_digits(config: DataConfig) -> _Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    everything = ImageSet(images, digits.target.astype(np.int64))
    return _Source("digits", tuple(map(str, digits.target_names)), False, everything)


def _read_folder(config: DataConfig) -> _Source:
    assert config.folder is not None
    images, labels, classes = read_folder(config.folder)
    return _Source(config.folder.name, classes, True, ImageSet(images, labels))


def _read_cifar(config: DataConfig) -> _Source:
    assert config.cifar is not None
    names = config.cifar / "batches.meta.txt"
    batches = sorted(config.cifar.glob("data_batch_*.bin"))
    test = config.cifar / "test_batch.bin"
    for path in (names, test, *batches):
        if not path.is_file():
            raise DataError(f"{path}: no such file; cifar must name the folder of CIFAR-10's binary version")
    if not batches:
        raise DataError(f"{config.cifar}: holds no data_batch_*.bin; cifar must name CIFAR-10's binary version")
    classes = tuple(names.read_text(encoding="utf-8").split())
    parts = [_read_cifar_batch(path, len(classes)) for path in batches]
    train = ImageSet(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]))
    return _Source("CIFAR-10", classes, True, train, _read_cifar_batch(test, len(classes)))


def _read_cifar_batch(path: Path, num_classes: int) -> ImageSet:
    """Read records of one label byte and 3,072 bytes of red, green and blue planes."""
    raw = np.fromfile(path, np.uint8)
    if len(raw) == 0 or len(raw) % _CIFAR_RECORD:
        raise DataError(f"{path}: {len(raw)} bytes are no whole number of records of {_CIFAR_RECORD} bytes")
    records = raw.reshape(-1, _CIFAR_RECORD)
    if records[:, 0].max() >= num_classes:
        raise DataError(f"{path}: holds label {records[:, 0].max()}, but there are {num_classes} classes")
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return ImageSet(np.ascontiguousarray(images), records[:, 0].astype(np.int64))


_SOURCES: dict[str, Callable[[DataConfig], _Source]] = {
    "digits": _read_digits,
    "folder": _read_folder,
    "cifar": _read_cifar,
}
