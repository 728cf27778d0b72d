"""Intervals of what is uncertain, made of draws of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nas.fronts.geometry import Array

LEVEL = 0.9
"""Probability of all intervals."""


class Interval(NamedTuple):
    """A number and the interval in which it is with a probability of 90 %."""

    value: float
    low: float
    high: float

    def points(self) -> str:
        """Write the size of a share in points, with half of the interval after the sign."""
        half = 50 * (self.high - self.low)
        digits = 1 if half >= 0.05 else 2
        return f"{100 * abs(self.value):.{digits}f} ± {half:.{digits}f} points"


class Prediction(NamedTuple):
    """Expected errors of networks, as shares, and their 90 % intervals; each of the shape that was asked for."""

    mean: Array
    low: Array
    high: Array


def interval(values: Array) -> tuple[Array, Array]:
    """Return the ends of the central 90 % of draws, over their first axis."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def interval_about(mean: Array, values: Array) -> tuple[Array, Array]:
    """Return the same so that the mean is never outside."""
    low, high = interval(values)
    return np.minimum(low, mean), np.maximum(high, mean)


def interval_of(values: Array) -> Interval:
    """Return the first of some numbers, what is expected, with the interval of the others, draws of it."""
    low, high = interval(values[1:])
    return Interval(float(values[0]), float(low), float(high))
