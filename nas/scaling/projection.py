"""Least squares of sums of powers: found on a grid of exponents, everything else by projection.

A law ``error = E + A / cost^alpha`` is linear in E and A once alpha is fixed. So only exponents are looked for, on a
grid and then ever closer, and no start can be a wrong one. The grid and the projections are the same for any number of
errors at the same costs, which is what a bootstrap needs: a thousand fits at once.

E and the factors are never negative. Of two factors and E that makes eight ways to leave some out; the best of those
whose solution is not negative is the solution.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

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
"""Of exponents (..., exponents) makes columns (..., columns, points)."""


def fit_powers(
    columns: Columns,
    errors: Array,
    weights: Array,
    grids: Sequence[Array],
    *,
    start: Array | None = None,
    offset: bool = True,
    signed: bool = False,
    rounds: int = 24,
) -> Fit:
    """Return the law with the least weighted squares for each set of errors.

    Args:
        columns: What the factors multiply.
        errors: Of shape (sets, points).
        weights: Of shape (points,).
        grids: Of each exponent, evenly spaced in its logarithm; results lie within.
        start: Exponents to begin with instead of the grid, of shape (exponents,).
        offset: Whether the law has an E.
        signed: Whether that may be negative.
        rounds: How often to look closer; each halves the step of a set that finds nothing better around.
    """

    def loss_of(exponents: Array, errors: Array) -> Array:
        return project(columns(exponents), errors, weights, offset=offset, signed=signed).loss

    best = _best_of_grid(loss_of, errors, grids) if start is None else np.tile(start, (len(errors), 1))
    least, most = np.array([(grid[0], grid[-1]) for grid in grids]).T
    steps = np.tile([np.log(grid[1] / grid[0]) for grid in grids], (len(errors), 1))
    moves = np.array(sorted(itertools.product((-1.0, 0.0, 1.0), repeat=len(grids)), key=np.any))  # to stay comes first
    sets = np.arange(len(errors))
    for _ in range(rounds):
        tried = np.clip(best[:, None] * np.exp(steps[:, None] * moves), least, most)
        chosen = loss_of(tried, errors[:, None]).argmin(axis=1)
        best, steps = tried[sets, chosen], np.where(chosen[:, None] == 0, steps / 2, steps)
    found = project(columns(best), errors, weights, offset=offset, signed=signed)
    return Fit(found.offset, found.factors, best, found.loss)


def _best_of_grid(loss_of: Callable[[Array, Array], Array], errors: Array, grids: Sequence[Array]) -> Array:
    """Return the exponents of the grid that suit each set of errors best, of shape (sets, exponents)."""
    points = np.array(list(itertools.product(*grids)))
    at_once = max(1, _CHUNK // errors.size)
    parts = [points[first : first + at_once, None] for first in range(0, len(points), at_once)]
    best: Array = points[np.concatenate([loss_of(part, errors) for part in parts]).argmin(axis=0)]
    return best


def project(columns: Array, errors: Array, weights: Array, *, offset: bool = True, signed: bool = False) -> Projection:
    """Return E and factors with the least weighted squares, none of them negative.

    Args:
        columns: One or two, of shape (..., columns, points).
        errors: Of shape (..., points).
        weights: Of shape (points,).
        offset: Whether there is an E.
        signed: Whether it may be negative.
    """
    count = columns.shape[-2]
    kept = [active for size in range(count, -1, -1) for active in itertools.combinations(range(count), size)]
    ways = [(active, has) for active in kept for has in ((True, False) if offset else (False,)) if active or has]
    best: Projection | None = None
    for active, has in ways:
        found = _solve(columns, active, errors, weights, offset=has)
        allowed = (found.factors >= 0).all(axis=-1) & (signed or found.offset >= 0)
        loss = np.where(allowed, found.loss, np.inf)
        if best is None:
            best = Projection(found.offset, found.factors, loss)
            if allowed.all():  # nothing left out: none is better
                break
            continue
        better = loss < best.loss
        best = Projection(
            np.where(better, found.offset, best.offset),
            np.where(better[..., None], found.factors, best.factors),
            np.where(better, loss, best.loss),
        )
    assert best is not None
    return best


def _solve(columns: Array, active: tuple[int, ...], errors: Array, weights: Array, *, offset: bool) -> Projection:
    """Return the solution with some of the columns and with or without E, whatever its signs."""
    share = weights / weights.sum()
    used, target = [columns[..., index, :] for index in active], errors
    column_means = [column @ share if offset else np.zeros(()) for column in used]
    error_mean = errors @ share if offset else np.zeros(())
    used = [column - mean[..., None] for column, mean in zip(used, column_means, strict=True)]
    target = errors - error_mean[..., None]
    solved = _normal_equations(used, target, weights)
    shape = np.broadcast_shapes(columns.shape[:-2], errors.shape[:-1])
    left, level = np.broadcast_to(target, (*shape, errors.shape[-1])), np.broadcast_to(error_mean, shape)
    factors = np.zeros((*shape, columns.shape[-2]))
    for index, column, mean, factor in zip(active, used, column_means, solved, strict=True):
        left, level = left - factor[..., None] * column, level - factor * mean
        factors[..., index] = factor
    return Projection(level, factors, left**2 @ weights)


def _normal_equations(columns: list[Array], target: Array, weights: Array) -> list[Array]:
    """Return the factors of none, one or two columns; columns are scaled to length one, lest a square overflow."""
    lengths = [np.sqrt(column**2 @ weights) + _TINY for column in columns]
    units = [column / length[..., None] for column, length in zip(columns, lengths, strict=True)]
    right = [(unit * target) @ weights for unit in units]
    if len(units) == 2:
        common = (units[0] * units[1]) @ weights
        rest = np.maximum(1 - common**2, 1e-14)
        right = [(right[0] - common * right[1]) / rest, (right[1] - common * right[0]) / rest]
    return [value / length for value, length in zip(right, lengths, strict=True)]
