"""Least squares of sums of powers: found on a grid of exponents, everything else by projection.

A law ``error = E + A / cost^alpha`` is linear in E and A once alpha is fixed. So only exponents are looked for, on a
grid and then ever closer, and no start can be a wrong one. That is the same work for any number of sets of errors at
once, which is what a bootstrap needs: a thousand fits in a twentieth of a second.

E and the factors are never negative. Of two factors and E that makes eight ways to leave some out; the best of those
whose solution is not negative is the solution.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas.fronts.geometry import Array

_TINY = 1e-300
_CHUNK = 2_000_000
"""Numbers in one array of the grid."""


class Fit(NamedTuple):
    """Laws, one for each of some sets of errors.

    Attributes:
        offset: E, of shape (sets,).
        factors: Of the columns, (sets, columns).
        exponents: That the columns were made with, (sets, exponents).
        loss: Weighted sum of squares, (sets,).
    """

    offset: Array
    factors: Array
    exponents: Array
    loss: Array


class Projection(NamedTuple):
    """Solution for given columns; its fields are those of a ``Fit`` with any leading shape."""

    offset: Array
    factors: Array
    loss: Array


Columns = Callable[[Array], Array]
"""Of exponents (sets or 1, tried, exponents) makes columns (sets or 1, tried, columns, points)."""


def fit_powers(
    columns: Columns,
    errors: Array,
    weights: Array,
    grids: Sequence[Array],
    *,
    start: Array | None = None,
    offset: bool = True,
    signed: bool = False,
    rounds: int = 12,
) -> Fit:
    """Return the law with the least weighted squares for each set of errors.

    Args:
        columns: What the factors multiply.
        errors: Of shape (sets, points).
        weights: Of shape (sets or 1, points).
        grids: Of each exponent, evenly spaced in its logarithm; results lie within.
        start: Exponents to begin with instead of the grid, of shape (exponents,).
        offset: Whether the law has an E.
        signed: Whether that may be negative.
        rounds: How often to look closer. A step around which nothing better lies is divided by four, or where there
            are several exponents by two.
    """

    def loss_of(exponents: Array) -> Array:
        made, (given, weighted) = columns(exponents), (errors[:, None], weights[:, None])
        return project(made, given, weighted, offset=offset, signed=signed).loss

    best = _best_of_grid(loss_of, errors, grids) if start is None else np.tile(start, (len(errors), 1))
    least, most = np.array([(grid[0], grid[-1]) for grid in grids]).T
    steps = np.tile([np.log(grid[1] / grid[0]) for grid in grids], (len(errors), 1))
    finer, marks = (4.0, np.linspace(-1, 1, 9)) if len(grids) == 1 else (2.0, np.linspace(-1, 1, 3))
    moves = np.array(sorted(itertools.product(marks, repeat=len(grids)), key=np.any))  # to stay comes first
    inside, sets = np.abs(moves).max(axis=1) < 1, np.arange(len(errors))
    for _ in range(rounds):
        tried = np.clip(best[:, None] * np.exp(steps[:, None] * moves), least, most)
        chosen = loss_of(tried).argmin(axis=1)
        best, steps = tried[sets, chosen], np.where(inside[chosen][:, None], steps / finer, steps)
    found = project(columns(best[:, None]), errors[:, None], weights[:, None], offset=offset, signed=signed)
    return Fit(found.offset[:, 0], found.factors[:, 0], best, found.loss[:, 0])


def _best_of_grid(loss_of: Callable[[Array], Array], errors: Array, grids: Sequence[Array]) -> Array:
    """Return the exponents of the grid that suit each set of errors best, of shape (sets, exponents)."""
    points = np.array(list(itertools.product(*grids)))
    at_once = max(1, _CHUNK // errors.size)
    parts = [points[None, first : first + at_once] for first in range(0, len(points), at_once)]
    best: Array = points[np.concatenate([loss_of(part) for part in parts], axis=1).argmin(axis=1)]
    return best


def project(columns: Array, errors: Array, weights: Array, *, offset: bool = True, signed: bool = False) -> Projection:
    """Return E and factors with the least weighted squares, none of them negative.

    Args:
        columns: None, one or two, of shape (..., columns, points).
        errors: Of shape (..., points).
        weights: Of shape (..., points).
        offset: Whether there is an E.
        signed: Whether it may be negative.
    """
    ways = _ways(columns.shape[-2], offset=offset)
    best = _solve(columns, ways[0][0], errors, weights, offset=ways[0][1])
    wrong: npt.NDArray[np.bool_] = np.logical_not(_allowed(best, signed=signed))
    if not wrong.any():  # nothing left out: no other way is better
        return best
    shape = best.loss.shape
    columns = np.broadcast_to(columns, (*shape, *columns.shape[-2:]))[wrong]
    errors, weights = (np.broadcast_to(values, (*shape, values.shape[-1]))[wrong] for values in (errors, weights))
    best.loss[wrong] = np.inf
    for active, has in ways[1:]:
        found = _solve(columns, active, errors, weights, offset=has)
        better = _allowed(found, signed=signed) & (found.loss < best.loss[wrong])
        for values, others in zip(best, found, strict=True):
            values[wrong] = np.where(better if values.ndim == wrong.ndim else better[:, None], others, values[wrong])
    return best


def _ways(count: int, *, offset: bool) -> list[tuple[tuple[int, ...], bool]]:
    """Return which columns to use and whether to have E, in all ways, the one that uses all first."""
    kept = [active for size in range(count, -1, -1) for active in itertools.combinations(range(count), size)]
    return [(active, has) for active in kept for has in ((True, False) if offset else (False,)) if active or has]


def _allowed(found: Projection, *, signed: bool) -> npt.NDArray[np.bool_]:
    """Tell which solutions are not negative."""
    lowest = found.factors.min(axis=-1, initial=0.0)
    allowed: npt.NDArray[np.bool_] = lowest >= 0
    return allowed if signed else allowed & (found.offset >= 0)


def _solve(columns: Array, active: tuple[int, ...], errors: Array, weights: Array, *, offset: bool) -> Projection:
    """Return the solution with some of the columns and with or without E, whatever its signs."""
    used, target, level = [columns[..., index, :] for index in active], errors, np.zeros(errors.shape[:-1])
    if offset:
        share = weights / weights.sum(axis=-1, keepdims=True)
        means = [(column * share).sum(axis=-1) for column in used]
        level = (errors * share).sum(axis=-1)
        used = [column - mean[..., None] for column, mean in zip(used, means, strict=True)]
        target = errors - level[..., None]
    left, factors = target, []
    for column, factor in zip(used, _normal_equations(used, target, weights), strict=True):
        left = left - factor[..., None] * column
        factors.append(factor)
    loss = (left**2 * weights).sum(axis=-1)
    if offset:
        level = level - sum(factor * mean for factor, mean in zip(factors, means, strict=True))
    whole = np.zeros((*loss.shape, columns.shape[-2]))
    for index, factor in zip(active, factors, strict=True):
        whole[..., index] = factor
    return Projection(np.array(np.broadcast_to(level, loss.shape)), whole, loss)


def _normal_equations(columns: list[Array], target: Array, weights: Array) -> list[Array]:
    """Return the factors of none, one or two columns; columns are scaled to length one, lest a square overflow."""
    lengths = [np.sqrt((column**2 * weights).sum(axis=-1)) + _TINY for column in columns]
    units = [column / length[..., None] for column, length in zip(columns, lengths, strict=True)]
    right = [(unit * target * weights).sum(axis=-1) for unit in units]
    if len(units) == 2:
        common = (units[0] * units[1] * weights).sum(axis=-1)
        rest = np.maximum(1 - common**2, 1e-14)
        right = [(right[0] - common * right[1]) / rest, (right[1] - common * right[0]) / rest]
    return [value / length for value, length in zip(right, lengths, strict=True)]
