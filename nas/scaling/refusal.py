"""What points must show before they determine a law. Each function returns what is needed, or nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy.special import fdtri

from nas.fronts.geometry import Array
from nas.scaling.curves import Curves, predict
from nas.scaling.points import Points
from nas.scaling.projection import Columns, fit_powers, project

LEAST_RANGE = 4.0
"""Dearest over cheapest cost, or most over fewest images."""
HORIZON = 10.0
"""So many times beyond the points a law must still say more than their own spread."""

_CHANCE = 0.002
_PERMUTATIONS = 500
_CERTAIN = 0.99
_OFFSET_PARAMETERS = 3
_NO_DIFFERENCE = 1e-5
"""Share of an error that is none."""


def lacks(points: Points, cause: int, *, name: str, fewest: int) -> str:
    """Ask for more or other values of one cause.

    Args:
        points: To fit to.
        cause: Its index.
        name: Of the values, in words.
        fewest: Distinct values that the law needs.
    """
    values = np.unique(points.causes[cause])
    if len(values) < fewest:
        return f"needs at least {fewest} different {name}; there {'is' if len(values) == 1 else 'are'} {len(values)}"
    if (ratio := values[-1] / values[0]) < LEAST_RANGE:
        return (
            f"needs a wider range of {name}: the largest is {ratio:.2g} times the smallest, not {LEAST_RANGE:g} times"
        )
    return ""


def may_be_chance(points: Points, cause: int, generator: np.random.Generator, *, name: str) -> str:
    """Ask for errors that fall with a cause, where permuted errors often follow it as closely as these.

    What the other cause explains is left in place and the rest is permuted (Freedman & Lane 1983, "A nonstochastic
    interpretation of reported significance levels"). With five points only one order of 120 is so clear.
    """
    others = [index for index in range(len(points.causes)) if index != cause]
    base = _explained(points, others)
    left = (points.errors - base) * np.sqrt(points.weights)
    orders = _orders(len(left), generator)
    errors = base + left[orders] / np.sqrt(points.weights)
    losses = _losses(points, range(len(points.causes)), errors) / np.maximum(_losses(points, others, errors), 1e-300)
    probability = float((losses <= losses[0] * (1 + 1e-9)).mean())
    if probability <= max(_CHANCE, 1 / len(orders)):
        return ""
    return f"needs errors that fall with {name}: so far that may be chance (p = {probability:.2g})"


def never_flattens(points: Points) -> str:
    """Ask for dearer networks where the errors fall ever faster, and no law that ends above zero is as close to them.

    Compared with are power laws that end below zero and those that have no end, by an F test on the 99 % level.
    """
    weights, freedom = (points.weights / points.errors)[None], len(points.errors) - _OFFSET_PARAMETERS
    columns, grid = _columns(points, [0]), _grid([0])

    def loss(errors: Array, columns: Columns, *, signed: bool) -> float:
        return float(fit_powers(columns, errors[None], weights, grid, signed=signed).loss[0])

    def endless(exponents: Array) -> Array:
        made: Array = 1 / columns(exponents)
        return made

    allowed = loss(points.errors, columns, signed=False)
    best = min(loss(points.errors, columns, signed=True), loss(-points.errors, endless, signed=True))
    least = freedom * _NO_DIFFERENCE**2 * points.errors.mean()
    if allowed - best <= fdtri(1, freedom, _CERTAIN) * (best + least) / freedom:
        return ""
    return "needs dearer networks, where the error begins to flatten: so far it falls faster than any power law"


def too_wide(points: Points, curve: Curves, draws: Curves, *, place: str) -> str:
    """Ask for more where the law, ten times beyond the points, is less sure than the points' own spread."""
    fitted = curve.errors(points.causes)[0]
    _, low, high = (float(value[0]) for value in predict(curve, draws, *far_beyond(points)))
    if high - low <= np.ptp(fitted):
        return ""
    return f"needs more networks, dearer ones, or more seeds: at {place} the error may be {low:.3g} or {high:.3g}"


def far_beyond(points: Points) -> Array:
    """Return ten times the largest of each cause, of shape (causes, 1)."""
    far: Array = HORIZON * points.causes.max(axis=1)[:, None]
    return far


def _orders(count: int, generator: np.random.Generator) -> Array:
    """Return orders of so many points, the given one first: all, or some where those are too many."""
    if math.factorial(count) <= _PERMUTATIONS:
        return np.array(list(itertools.permutations(range(count))))
    orders = generator.permuted(np.tile(np.arange(count), (_PERMUTATIONS, 1)), axis=1)
    orders[0] = np.arange(count)
    return orders


def _explained(points: Points, causes: Sequence[int]) -> Array:
    """Return the errors that a law of some causes gives to the points."""
    if not causes:
        return np.full(len(points.errors), np.average(points.errors, weights=points.weights))
    columns, grid = _columns(points, causes), _grid(causes)
    found = fit_powers(columns, points.errors[None], points.weights[None], grid)
    explained: Array = found.offset[0] + found.factors[0] @ columns(found.exponents[None])[0, 0]
    return explained


def _losses(points: Points, causes: Sequence[int], errors: Array) -> Array:
    """Return the squares that laws of some causes leave of each set of errors, by a grid of exponents."""
    if not causes:
        return project(np.empty((0, len(points.errors))), errors, points.weights[None]).loss
    return fit_powers(_columns(points, causes), errors, points.weights[None], _grid(causes), rounds=0).loss


def _columns(points: Points, causes: Sequence[int]) -> Columns:
    logs = (np.log(points.causes) - points.units[:, None])[list(causes)]
    return lambda exponents: np.exp(-exponents[..., None] * logs)


def _grid(causes: Sequence[int]) -> list[Array]:
    return [np.geomspace(0.02, 3.0, 31 if len(causes) == 1 else 7)] * len(causes)
