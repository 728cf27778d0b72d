"""What the readers of all sources give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Images: TypeAlias = npt.NDArray[np.uint8]
Labels: TypeAlias = npt.NDArray[np.int64]
Part: TypeAlias = Literal["train", "validation", "test"]

PARTS: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What the parts of a source may be called."""


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images and their labels.

    Attributes:
        images: uint8 of shape (count, size, size, channels); may be memory-mapped.
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
    """

    name: str
    classes: tuple[str, ...]
    mirrors: bool
    train: ImageSet
    validation: ImageSet | None = None
    test: ImageSet | None = None
    skipped: int = 0
