"""How the images of a source are parted into training, validation and test images, class by class.

Parts are drawn in proportion from each class. In a class of few images a share may come to none: ``Minimum`` says how
many images of every class are to be carved off and to be kept, where the class has them. Where a draw in proportion
alone gives that, it is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas.data.types import NAMES, ImageSet, Indices, Labels, Part
from nas.errors import DataError

TEST_SHARE = 0.15
"""Share of the images kept for testing where a source has no test split of its own."""

SPLIT_SEED = 20190528
"""Of the test split: part of the data, so no setting changes it."""

Counts = npt.NDArray[np.int64]


class Minimum(NamedTuple):
    """Least numbers of images of each class where it has them: first those to keep, then those to carve off."""

    kept: int
    carved: int


def carve(
    indices: Indices,
    images: ImageSet,
    share: float,
    seed: int,
    classes: tuple[str, ...],
    *,
    minimum: Minimum | None = None,
) -> tuple[Indices, Indices]:
    """Carve a share, or a number, of the images at some indices off, class by class; copies no image.

    Args:
        indices: Of the images to part.
        images: The images.
        share: In 0 to 1, or a whole number of images.
        seed: Of the draw.
        classes: Names of the classes.
        minimum: Of every class; without it, a class that is too small is refused.

    Returns:
        The indices that are kept and those that are carved off, both rising.

    Raises:
        DataError: There is no minimum, and a class has too few images.
    """
    labels = images.labels[indices]
    parted = _in_proportion(labels, share, seed)
    if minimum is None:
        if parted is None:
            raise _too_few(labels, classes)
        kept, carved = parted
    else:
        counts = np.bincount(labels, minlength=len(classes))
        least_kept = np.minimum(counts, minimum.kept)
        least_carved = np.minimum(counts - least_kept, minimum.carved)
        if parted is None or not (_has(labels[parted[0]], least_kept) and _has(labels[parted[1]], least_carved)):
            number = _numbers(counts, share, least=least_carved, most=counts - least_kept)
            parted = _drawn(labels, number, seed)
        kept, carved = parted
    return indices[np.sort(kept)], indices[np.sort(carved)]


def at_most(
    indices: Indices,
    images: ImageSet,
    limit: int,
    seed: int,
    classes: tuple[str, ...],
    *,
    least: int | None = None,
) -> Indices:
    """Return at most ``limit`` of the indices, class by class, and ``least`` of every class where it has them."""
    if limit >= len(indices):
        return indices
    minimum = None if least is None else Minimum(least, 0)
    return carve(indices, images, len(indices) - limit, seed, classes, minimum=minimum)[0]


def nested(indices: Indices, images: ImageSet, number: int, seed: int) -> Indices:
    """Return so many of the indices, in proportion from each class; those of a smaller number are among them."""
    order = np.random.default_rng(seed).permutation(len(indices))
    labels = images.labels[indices[order]]
    place = np.zeros(len(indices))  # of an image within its class, in 0 to 1
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    chosen: Indices = np.sort(indices[order[np.argsort(place, kind="stable")[:number]]])
    return chosen


def missing_classes(parts: Mapping[Part, ImageSet], classes: tuple[str, ...]) -> list[str]:
    """Return one line for each part that has no image of some classes."""
    notes = []
    for part, images in parts.items():
        names = [repr(classes[label]) for label in np.setdiff1d(np.arange(len(classes)), images.labels)]
        if names:
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            subject = f"class{'' if len(names) == 1 else 'es'} {', '.join(names[:10])}{more}"
            notes.append(f"there are no {NAMES[part]} images of {subject}")
    return notes


def require_images(parts: Mapping[Part, ImageSet], classes: tuple[str, ...], *, source: str) -> None:
    """Make sure that there is something to train on and something to measure by.

    Raises:
        DataError: Fewer than two classes have training images, or a part has none.
    """
    present = len(np.unique(parts["train"].labels))
    if present < 2:
        raise DataError(f"{source}: has training images of {present} of its {len(classes)} classes only")
    for part, images in parts.items():
        if not len(images):
            raise DataError(
                f"{source}: has too few images: there are no {NAMES[part]} images; three of a class give each part one"
            )


def _in_proportion(labels: Labels, share: float, seed: int) -> tuple[Indices, Indices] | None:
    """Return what scikit-learn keeps and carves off, or None where it finds a class too small."""
    from sklearn.model_selection import train_test_split

    try:
        kept, carved = train_test_split(np.arange(len(labels)), test_size=share, random_state=seed, stratify=labels)
    except ValueError:
        return None
    return kept, carved


def _too_few(labels: Labels, classes: tuple[str, ...]) -> DataError:
    counts = np.bincount(labels, minlength=len(classes))
    least = int(counts.argmin())
    return DataError(
        f"{len(labels)} images of {len(classes)} classes are too few to split: class {classes[least]!r} has"
        f" {counts[least]} left, but training, validation and test each need at least one image of every class"
    )


def _has(labels: Labels, least: Counts) -> bool:
    return bool(np.all(np.bincount(labels, minlength=len(least)) >= least))


def _numbers(counts: Counts, share: float, *, least: Counts, most: Counts) -> Counts:
    """Return how many images of each class to carve off: of a share the nearest, of a number exactly so many."""
    whole = isinstance(share, int)
    exact = counts * (share / counts.sum() if whole else share)
    numbers = np.clip(np.floor(exact + 0.5).astype(np.int64), least, most)
    missing = int(share - numbers.sum()) if whole else 0
    while missing:  # at most one for each class, unless the bounds hold many back
        step = 1 if missing > 0 else -1
        room = numbers < most if step > 0 else numbers > least
        away = np.where(room, step * (exact - numbers), -np.inf)
        chosen = np.argsort(-away, kind="stable")[: min(abs(missing), int(room.sum()))]
        if not len(chosen):
            break
        numbers[chosen] += step
        missing -= step * len(chosen)
    return numbers


def _drawn(labels: Labels, numbers: Counts, seed: int) -> tuple[Indices, Indices]:
    """Carve so many images of each class off, at random."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    carved = np.zeros(len(labels), bool)
    for label, number in enumerate(numbers):
        carved[order[labels[order] == label][:number]] = True
    return np.flatnonzero(~carved), np.flatnonzero(carved)
