"""What the readers of all sources give."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Images: TypeAlias = npt.NDArray[np.uint8]
Labels: TypeAlias = npt.NDArray[np.int64]
Indices: TypeAlias = npt.NDArray[np.intp]
Digests: TypeAlias = npt.NDArray[np.uint64]
StoredColor: TypeAlias = Literal["rgb", "grayscale"]
"""What images are stored in."""

Color: TypeAlias = Literal["rgb", "grayscale", "hsv", "ycbcr"]
"""What a study may ask for."""

Space: TypeAlias = Literal["stored", "hsv", "ycbcr"]
"""What images are converted to on the device; ``stored`` is no conversion."""

Part: TypeAlias = Literal["train", "validation", "test"]

PARTS: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "validate", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing"),
}
"""What the parts of a source may be called, in any capitals and with such words as ``set`` or ``images`` beside."""

NAMES: dict[Part, str] = {"train": "training", "validation": "validation", "test": "test"}
"""What the images of a part are, for people."""

_BESIDE = frozenset({"", "set", "split", "image", "images", "img", "imgs", "data", "dataset", "folder"})


def part_of(name: str) -> Part | None:
    """Return the part that a folder or a split is by its name, such as ``Training``, ``test_images`` or ``ValSet``."""
    words = [word for word in _words(name) if word not in _BESIDE]
    return next((part for part, names in PARTS.items() if len(words) == 1 and words[0] in names), None)


def resembles_part(name: str) -> Part | None:
    """Return the part that a name begins or ends with, such as ``seg_train``; it may be one or not."""
    words = [word for word in _words(name) if word not in _BESIDE]
    ends = {words[0], words[-1]} if words else set()
    return next((part for part, names in PARTS.items() if ends & set(names)), None)


def _words(name: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return [word if word == "dataset" else word.removesuffix("set") for word in re.findall("[a-z]+", parted)]


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images and their labels; the images of a choice are copied only when they are asked for.

    Attributes:
        stored: uint8 of shape (at least count, size, size, channels); may be memory-mapped.
        labels: int64 of shape (count,), indices into the classes.
        indices: Which of the stored images these are, in this order; all of them without it.
        digests: uint64 of shape (count, 2): of each image as it was stored by the source, and of its pixels.
    """

    stored: Images
    labels: Labels
    indices: Indices | None = None
    digests: Digests | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return int(self.stored.shape[1])

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return int(self.stored.shape[-1])

    @property
    def images(self) -> Images:
        """All images at once, uint8 of shape (count, size, size, channels)."""
        return self.stored if self.indices is None else self.stored[self.indices]

    def pixels(self, chosen: Indices) -> Images:
        """Return the images at the given indices, uint8 of shape (number of indices, size, size, channels)."""
        pixels: Images = self.stored[chosen if self.indices is None else self.indices[chosen]]
        return pixels

    def chunks(self, count: int) -> Iterator[Images]:
        """Yield all images in order, at most ``count`` at a time."""
        for start in range(0, len(self), count):
            yield self.pixels(np.arange(start, min(start + count, len(self))))

    def take(self, indices: Indices) -> ImageSet:
        """Return the images at the given indices, without copying them."""
        chosen = indices if self.indices is None else self.indices[indices]
        return ImageSet(
            self.stored, self.labels[indices], chosen, None if self.digests is None else self.digests[indices]
        )


@dataclass(frozen=True, slots=True)
class Source:
    """A source as read.

    Attributes:
        name: For people.
        classes: Names in the order of the labels.
        mirrors: Whether a mirrored image still shows its class (digits do not).
        train: Training images; all of them where the source has no splits.
        validation: Images to compare networks on, where the source has them apart.
        test: Test images, where the source has them apart.
        skipped: Number of broken images that were left out.
        notes: What was left aside or guessed, one line each.
        decoders: Versions of what has decoded the images, by name; none where nothing had to be decoded.
    """

    name: str
    classes: tuple[str, ...]
    mirrors: bool
    train: ImageSet
    validation: ImageSet | None = None
    test: ImageSet | None = None
    skipped: int = 0
    notes: tuple[str, ...] = ()
    decoders: Mapping[str, str] = field(default_factory=dict)

    def parts(self) -> dict[Part, ImageSet]:
        """Return the parts that the source has."""
        found: dict[Part, ImageSet | None] = {"train": self.train, "validation": self.validation, "test": self.test}
        return {part: images for part, images in found.items() if images is not None}

    def changed(self, change: Callable[[ImageSet], ImageSet]) -> Source:
        """Return the source with each part changed."""
        validation, test = (None if images is None else change(images) for images in (self.validation, self.test))
        return replace(self, train=change(self.train), validation=validation, test=test)
