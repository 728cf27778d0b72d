"""How good predictions are where the classes of the images are known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

BINS = 15


class Judged(NamedTuple):
    """An image's class, the one that it was taken for, and the probability of the latter."""

    label: str
    named: str
    probability: float


class Evaluation(NamedTuple):
    """How often a network is right, and how well its probabilities say so.

    Attributes:
        images: Number of images whose class is known.
        accuracy: Share of them that are named right, in 0 to 1.
        counts: How often an image of the first class was taken for the second.
        calibration_error: Expected calibration error (Guo et al., 2017, "On calibration of modern neural networks"):
            the mean distance of accuracy and probability over 15 bins of the latter, weighed by images; in 0 to 1.
        confidence: Mean probability of the class that is named, in 0 to 1.
    """

    images: int
    accuracy: float
    counts: Counter[tuple[str, str]]
    calibration_error: float
    confidence: float

    def confused(self) -> list[tuple[str, str, int]]:
        """Return what was taken for another class, for which and how often, the most frequent first."""
        return [(*pair, count) for pair, count in self.counts.most_common() if pair[0] != pair[1]]

    def confusion(self, classes: Sequence[str]) -> list[list[int]]:
        """Return how often an image of the class of the row was taken for the class of the column."""
        return [[self.counts[row, column] for column in classes] for row in classes]

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data; rows and columns of the confusion are the classes that occur, by name."""
        classes = sorted({name for pair in self.counts for name in pair})
        return {
            "images": self.images,
            "accuracy": self.accuracy,
            "calibration_error": self.calibration_error,
            "calibration_bins": BINS,
            "mean_probability": self.confidence,
            "classes": classes,
            "confusion": self.confusion(classes),
        }


def evaluate(judged: Iterable[Judged]) -> Evaluation | None:
    """Return how good predictions are; None where there are none."""
    given = list(judged)
    if not given:
        return None
    return Evaluation(
        len(given),
        sum(one.label == one.named for one in given) / len(given),
        Counter((one.label, one.named) for one in given),
        calibration_error(given),
        sum(one.probability for one in given) / len(given),
    )


def calibration_error(judged: Sequence[Judged]) -> float:
    """Return the expected calibration error over bins of equal width, each open below and closed above."""
    gaps = [0.0] * BINS
    for one in judged:
        place = min(max(math.ceil(one.probability * BINS) - 1, 0), BINS - 1)
        gaps[place] += (one.label == one.named) - one.probability
    return sum(map(abs, gaps)) / len(judged)
