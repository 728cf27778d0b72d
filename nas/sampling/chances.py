"""The chance that a trial neither fails nor misses a bound that only measuring tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from nas.fronts.geometry import Array
from nas.sampling.gaussian_process import GaussianProcess

_Fits = Callable[[Array, Array, npt.NDArray[np.bool_]], Array]

_FITTED_MOST = 150  # trials; all are predicted from
_LEAST = 1e-3  # so that nothing is impossible


class Chances:
    """The probability that a candidate ends with a value and meets every bound."""

    def __init__(self, categorical: npt.NDArray[np.bool_], fits: _Fits) -> None:
        """Begin with certainty.

        Args:
            categorical: Which dimensions of points have categories.
            fits: Returns the parameters of a kernel that is fitted to points, values and ``categorical``.
        """
        self._categorical = categorical
        self._fits = fits
        self._failing: GaussianProcess | None = None
        self._bounds: list[GaussianProcess] = []

    def learn_failures(self, points: Array, failed: npt.NDArray[np.bool_]) -> None:
        """Learn from which points, (trials, dimensions), a trial failed; nothing where none or all did."""
        if failed.any() and not failed.all():
            self._failing = self._fitted(points, np.where(failed, 1.0, 0.0))

    def learn_bound(self, points: Array, values: Array) -> None:
        """Learn a constraint, which is met at values of zero or less, from trials at points (trials, dimensions)."""
        if (values > 0).any():
            most = 3 * float(np.median(np.abs(values))) or 1.0
            self._bounds.append(self._fitted(points, np.clip(values, -most, most)))

    def _fitted(self, points: Array, values: Array) -> GaussianProcess:
        points = self._dimensions(points)
        process = GaussianProcess(points, values, categorical=self._categorical)
        some = slice(None, None, math.ceil(len(points) / _FITTED_MOST))
        process.parameters = self._fits(points[some], values[some], self._categorical)
        return process

    def __call__(self, points: Array) -> Array:
        """Return the probabilities at points of shape (points, dimensions and lines)."""
        points, chances = self._dimensions(points), np.ones(len(points))
        if self._failing is not None:
            # the mean of ones and zeros is a probability
            chances *= 1 - np.clip(self._failing.predict(points).mean, 0, 1)
        for process in self._bounds:
            prediction = process.predict(points)
            chances *= ndtr(-prediction.mean / np.hypot(prediction.std, process.noise))
        return np.maximum(chances, _LEAST)

    def _dimensions(self, points: Array) -> Array:
        """Leave lines out: a law says nothing of failures and bounds."""
        return points[:, : len(self._categorical)]


def bounds_of(constraints: list[Mapping[str, float]]) -> dict[str, list[int]]:
    """Return which trials, by index, have a value for each constraint that some of them miss, by its name."""
    missed = {key for values in constraints for key, value in values.items() if value > 0}
    return {key: [i for i, values in enumerate(constraints) if key in values] for key in sorted(missed)}
