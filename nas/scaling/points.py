"""What laws are fitted to, checked: causes, errors and weights, in an order of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.errors import UserError
from nas.fronts.geometry import Array


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Networks as points; a law is fitted to logarithms about their mean, so that units of cost make no difference.

    Attributes:
        causes: Cost, or cost and number of images, above zero, of shape (causes, points).
        errors: Above zero, of shape (points,).
        weights: Above zero, (points,).
        chance: Error of guessing; infinite where it is not known.
    """

    causes: Array
    errors: Array
    weights: Array
    chance: float = np.inf

    @property
    def units(self) -> Array:
        """Mean logarithms of the causes, of shape (causes,)."""
        units: Array = np.log(self.causes).mean(axis=1)
        return units


def read_points(
    causes: dict[str, npt.ArrayLike], error: npt.ArrayLike, weights: npt.ArrayLike | None, chance: float | None = None
) -> Points:
    """Return points; those of weight zero are left out.

    Args:
        causes: By name, each of shape (points,).
        error: Of shape (points,), in any unit.
        weights: Of shape (points,); only their ratios matter. None for equal ones.
        chance: Error of guessing, in the same unit.

    Raises:
        UserError: Something is no number, not positive, or not as long as the rest.
    """
    given = {**causes, "error": error, "weights": np.ones(np.shape(error)) if weights is None else weights}
    arrays = {name: _numbers(name, values) for name, values in given.items()}
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"{len(array)} of {name}" for name, array in arrays.items())
        raise UserError(f"there must be as many numbers of each, not {lengths}")
    kept = arrays["weights"] > 0
    if not kept.any():
        raise UserError("there are no points to fit a law to")
    table = np.array([array[kept] for array in arrays.values()])
    *ordered, errors, weighted = table[:, np.lexsort(table[::-1])]
    if chance is not None and not errors.max() < chance < np.inf:
        raise UserError(
            f"chance: {chance:g} is the error of guessing and must be above all errors, up to {errors.max():g}"
        )
    return Points(np.array(ordered), errors, weighted / weighted.mean(), np.inf if chance is None else chance)


def positive(name: str, values: npt.ArrayLike) -> Array:
    """Return numbers above zero, of any shape.

    Raises:
        UserError: They are not all that.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name}: must be numbers") from None
    if not (bad := array[~(np.isfinite(array) & (array > 0))]).size:
        return array
    raise UserError(f"{name}: {bad[0]:g} is not a number above zero")


def _numbers(name: str, values: npt.ArrayLike) -> Array:
    """Return a column of numbers above zero; weights may be zero."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name}: must be numbers") from None
    if array.ndim != 1:
        raise UserError(f"{name}: must be a list of numbers, not of shape {array.shape}")
    zero = name == "weights"
    bad = np.flatnonzero(~np.isfinite(array) | (array < 0) | ((array == 0) & (not zero)))
    if len(bad):
        raise UserError(
            f"{name}: {array[bad[0]]:g} (point {bad[0] + 1}) is not a number {'from' if zero else 'above'} zero"
        )
    return array
