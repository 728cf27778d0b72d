"""Sources of images, and how they are split.

``load_data`` gives what a search may see: training and validation images. The test images are another function,
``load_test``, so that a search cannot touch them by accident.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from nas.data.binary import read_cifar, read_idx, read_npz
from nas.data.boundary import warnings_told
from nas.data.digests import equal_images, identity_of, with_digests
from nas.data.extras import require_extra
from nas.data.folder import read_folder
from nas.data.hub import read_hub
from nas.data.shapes import make_shapes
from nas.data.split import SPLIT_SEED, TEST_SHARE, Minimum, at_most, carve, missing_classes, nested, require_images
from nas.data.types import Color, ImageSet, Indices, Part, Source, Space, StoredColor
from nas.errors import DataError
from nas.records import ImageDigests
from nas.schema import Strict, did_you_mean

PATHS = ("folder", "cifar", "idx", "npz")
"""Sources that are named by where they lie; a study's definition leaves that out."""

_APPLY_TO = {
    "size": ("folder", "hf"),
    "skip_broken": ("folder", "hf"),
    "image": ("hf",),
    "label": ("hf",),
}
"""Keys that apply to some sources only."""


class DataConfig(Strict):
    """The ``data`` section of a study: one source, and how it is split.

    Attributes:
        digits: ``true`` for scikit-learn's 1,797 handwritten digits of 8x8 px.
        folder: Path of a folder with one sub-folder of images per class, or with folders ``train``, ``val`` and
            ``test`` that are made that way.
        cifar: Path of the folder with the binary version of CIFAR-10 or CIFAR-100.
        idx: Path of the folder with the four idx files of MNIST or a similar data set, compressed with gzip or not.
        hf: Name of a data set on Hugging Face's hub, or the path of one on disk, which must begin with ``.`` or ``/``.
            Needs the extra ``hf``.
        npz: Path of a NumPy archive of images and labels. ``nas/data/binary.py`` lists the array names it may have.
        shapes: Number of images to generate whose right answer is known (see ``nas/data/shapes.py``).
        validation: Share of the training images, taken from each class, that networks are compared on instead; default
            0.2. A source that has its own validation images keeps those.
        every_class: Whether each class has at least one image for training, for validation and for testing where it has
            the images for it, however small the shares; default true.
        limit: Largest number of images to train and validate on, taken from each class in proportion; default: all.
        train_images: Largest number of images to train on, after validation images were taken: those of a smaller
            number are among those of a larger one. Default: all.
        classes: Names of the classes to keep, in this order; default: all.
        color: ``rgb``, ``grayscale``, ``hsv`` or ``ycbcr``; default: as the images are. The last two are converted from
            RGB on the device, after augmentation, and need the extra ``augment``.
        size: Height and width in pixels at which images of ``folder`` or ``hf`` are stored; default: the median of
            their shorter sides.
        skip_broken: Leave out images of ``folder`` or ``hf`` that cannot be read, instead of stopping with an error.
        image: Name of the column of images of ``hf``; default: the first that holds images.
        label: Name of the column of classes of ``hf``; default: the first that holds class labels.
        seed: Random seed of the validation split and of the images that ``limit`` keeps; default 0.
    """

    digits: Literal[True] | None = None
    folder: Path | None = None
    cifar: Path | None = None
    idx: Path | None = None
    npz: Path | None = None
    hf: str | None = Field(None, min_length=1)
    shapes: PositiveInt | None = None
    validation: float = Field(0.2, gt=0, lt=1)
    every_class: bool = True
    limit: PositiveInt | None = None
    train_images: PositiveInt | None = None
    classes: tuple[str, ...] | None = Field(None, min_length=2)
    color: Color | None = None
    size: PositiveInt | None = None
    skip_broken: bool = False
    image: str | None = Field(None, min_length=1)
    label: str | None = Field(None, min_length=1)
    seed: int = 0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [key for key in SOURCES if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one source of {', '.join(SOURCES)}; given: {', '.join(given) or 'none'}")
        for key, sources in _APPLY_TO.items():
            if getattr(self, key) not in (None, False) and given[0] not in sources:
                raise ValueError(f"{key} applies only to {' and '.join(sources)}, but the source is {given[0]}")
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError(f"a class is given twice: {', '.join(self.classes)}")
        return self

    def relative_to(self, folder: Path) -> DataConfig:
        """Return the same section with a relative path joined to ``folder``."""
        paths: dict[str, Path | str] = {
            key: Path(os.path.normpath(folder / path)) for key in PATHS if (path := getattr(self, key)) is not None
        }
        if self.hf is not None and self.hf.startswith("."):
            paths["hf"] = os.path.normpath(folder / self.hf)
        return self.model_copy(update=paths)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """The images of a source that a search may see.

    Attributes:
        name: Name of the source, for people.
        classes: Names of the classes, in the order of the labels.
        mirrors: Whether a mirrored image still shows its class (digits do not).
        train: Images to fit weights on.
        validation: Images to compare networks on.
        skipped: Number of broken images that were left out.
        space: Colour space that the images are converted to on the device.
        notes: What was left aside, guessed or not known of the images, one line each.
        identity: What tells the images of the source, those for testing too, from others.
    """

    name: str
    classes: tuple[str, ...]
    mirrors: bool
    train: ImageSet
    validation: ImageSet
    skipped: int = 0
    space: Space = "stored"
    notes: tuple[str, ...] = ()
    identity: ImageDigests = ImageDigests("")

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return self.train.channels

    @property
    def color(self) -> Color:
        """Colour space of the images as networks see them."""
        stored: Color = "grayscale" if self.channels == 1 else "rgb"
        return stored if self.space == "stored" else self.space

    @property
    def native_size(self) -> int:
        """Height and width of a stored image in pixels."""
        return self.train.size

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of classes, sizes and labels: a study refuses to go on with other data."""
        counts = [np.bincount(part.labels, minlength=len(self.classes)).tolist() for part in self._parts]
        facts = json.dumps([self.classes, self.native_size, self.channels, counts])
        return hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()

    def content_digest(self) -> str:
        """Return sixteen hexadecimal digits of all labels and of the pixels of some images, evenly spaced."""
        content = hashlib.blake2b(json.dumps(self.classes).encode(), digest_size=8)
        for part in self._parts:
            content.update(part.labels.tobytes())
            some = np.linspace(0, len(part) - 1, min(len(part), 200)).astype(np.intp)
            content.update(np.ascontiguousarray(part.pixels(some)).tobytes())
        return content.hexdigest()

    @property
    def _parts(self) -> tuple[ImageSet, ImageSet]:
        return self.train, self.validation


def load_data(config: DataConfig) -> Dataset:
    """Load the training and validation images of a source.

    Args:
        config: The source and its split. A relative path starts from the working directory.

    Raises:
        DataError: The images are missing, too few for the split, or unreadable.
    """
    source = _open(config)
    given, classes = source.validation, source.classes
    kept, tested = _apart_from_test(source, config)
    total = len(kept) + (0 if given is None else len(given))
    limit = total if config.limit is None else min(config.limit, total)
    if limit < total and limit < 2 * len(classes):
        raise DataError(f"data.limit {limit} is too small for {len(classes)} classes")
    if given is None:
        kept = at_most(kept, source.train, limit, config.seed, classes, least=2 if config.every_class else None)
        minimum = Minimum(1, 1) if config.every_class else None
        kept, carved = carve(kept, source.train, config.validation, config.seed, classes, minimum=minimum)
        validation = source.train.take(carved)
    else:
        least = 1 if config.every_class else None
        apart = max(len(classes), round(config.validation * limit)) if limit < total else len(given)
        validation = given.take(at_most(np.arange(len(given)), given, apart, config.seed, classes, least=least))
        kept = at_most(kept, source.train, limit - len(validation), config.seed, classes, least=least)
    if config.train_images is not None:
        kept = nested(kept, source.train, config.train_images, config.seed)
    train = source.train.take(kept)
    test = source.train.take(tested) if source.test is None else source.test
    parts: dict[Part, ImageSet] = {"train": train, "validation": validation, "test": test}
    require_images(parts, classes, source=source.name)
    dataset = Dataset(
        source.name,
        classes,
        source.mirrors,
        train,
        validation,
        skipped=source.skipped,
        space=_space_of(config.color),
        notes=(*source.notes, *missing_classes(parts, classes), *equal_images(parts, classes)),
    )
    identity = identity_of(source.parts(), fingerprint=dataset.fingerprint, decoders=source.decoders)
    return replace(dataset, identity=identity)


def load_test(config: DataConfig) -> ImageSet:
    """Load the test images of a source. Use them once, for the network that you chose.

    Raises:
        DataError: As ``load_data`` does.
    """
    source = _open(config)
    return source.test if source.test is not None else source.train.take(_apart_from_test(source, config)[1])


def _open(config: DataConfig) -> Source:
    with warnings_told() as told:
        source = next(read(config) for key, read in SOURCES.items() if getattr(config, key) is not None)
    source = replace(source, notes=(*source.notes, *told.lines())).changed(with_digests)
    return _in_color(_of_classes(source, config.classes), config.color)


def _apart_from_test(source: Source, config: DataConfig) -> tuple[Indices, Indices]:
    """Return which of a source's training images are to train on, and which to test on where it has no others."""
    everything = np.arange(len(source.train))
    if source.test is not None:
        return everything, everything[:0]
    minimum = Minimum(2 if source.validation is None else 1, 1) if config.every_class else None
    return carve(everything, source.train, TEST_SHARE, SPLIT_SEED, source.classes, minimum=minimum)


def _of_classes(source: Source, names: tuple[str, ...] | None) -> Source:
    """Return a source with the named classes only."""
    if names is None:
        return source
    for name in names:
        if name not in source.classes:
            raise DataError(f"data.classes: {source.name} has no class {name!r}{did_you_mean(name, source.classes)}")
    wanted = np.array([source.classes.index(name) for name in names])

    def keep(images: ImageSet) -> ImageSet:
        kept = images.take(np.flatnonzero(np.isin(images.labels, wanted)))
        order = np.argsort(wanted)
        return replace(kept, labels=order[np.searchsorted(wanted, kept.labels, sorter=order)].astype(np.int64))

    return replace(source.changed(keep), classes=names)


def _in_color(source: Source, color: Color | None) -> Source:
    """Return a source whose images have the channels that a colour space is made from."""
    channels = None if color is None else 1 if color == "grayscale" else 3

    def convert(images: ImageSet) -> ImageSet:
        if channels in (None, images.channels):
            return images
        if channels == 3:
            return ImageSet(np.repeat(images.images, 3, axis=-1), images.labels, digests=images.digests)
        # ITU-R BT.601, as Pillow weighs the colours
        weights = np.array([0.299, 0.587, 0.114], np.float32)
        gray = [np.rint(chunk @ weights).astype(np.uint8) for chunk in images.chunks(4096)]
        return ImageSet(np.concatenate(gray)[..., None], images.labels, digests=images.digests)

    return source.changed(convert)


def _stored_color(color: Color | None) -> StoredColor | None:
    """Return what images of a colour space are stored in."""
    return "rgb" if color == "hsv" or color == "ycbcr" else color


def _space_of(color: Color | None) -> Space:
    """Return what images of a colour space are converted to on the device."""
    if color != "hsv" and color != "ycbcr":
        return "stored"
    require_extra("kornia", extra="augment", what=f"data.color {color}")
    return color


def _read_digits(config: DataConfig) -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    everything = ImageSet(images, digits.target.astype(np.int64))
    return Source("digits", tuple(map(str, digits.target_names)), False, everything)


def _read_folder(config: DataConfig) -> Source:
    assert config.folder is not None
    return read_folder(
        config.folder, size=config.size, color=_stored_color(config.color), skip_broken=config.skip_broken
    )


SOURCES: dict[str, Callable[[DataConfig], Source]] = {
    "digits": _read_digits,
    "folder": _read_folder,
    "cifar": lambda config: read_cifar(config.cifar or Path()),
    "idx": lambda config: read_idx(config.idx or Path()),
    "npz": lambda config: read_npz(config.npz or Path(), any_channels=config.color is not None),
    "hf": lambda config: read_hub(
        config.hf or "",
        size=config.size,
        color=_stored_color(config.color),
        skip_broken=config.skip_broken,
        image=config.image,
        label=config.label,
    ),
    "shapes": lambda config: make_shapes(config.shapes or 0),
}
