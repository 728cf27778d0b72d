"""What the readers of all sources give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Images: TypeAlias = npt.NDArray[np.uint8]
Labels: TypeAlias = npt.NDArray[np.int64]
Indices: TypeAlias = npt.NDArray[np.intp]
StoredColor: TypeAlias = Literal["rgb", "grayscale"]
"""What images are stored in."""

Color: TypeAlias = Literal["rgb", "grayscale", "hsv", "ycbcr"]
"""What a study may ask for."""

Space: TypeAlias = Literal["stored", "hsv", "ycbcr"]
"""What images are converted to on the device; ``stored`` is no conversion."""

Part: TypeAlias = Literal["train", "validation", "test"]

PARTS: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What the parts of a source may be called."""


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images and their labels; the images of a choice are copied only when they are asked for.

    Attributes:
        stored: uint8 of shape (at least count, size, size, channels); may be memory-mapped.
        labels: int64 of shape (count,), indices into the classes.
        indices: Which of the stored images these are, in this order; all of them without it.
    """

    stored: Images
    labels: Labels
    indices: Indices | None = None

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
        return ImageSet(self.stored, self.labels[indices], indices if self.indices is None else self.indices[indices])


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
        notes: What was left aside, guessed or not known of the images, one line each.
    """

    name: str
    classes: tuple[str, ...]
    mirrors: bool
    train: ImageSet
    validation: ImageSet | None = None
    test: ImageSet | None = None
    skipped: int = 0
    notes: tuple[str, ...] = ()
