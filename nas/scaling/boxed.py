"""The least of a quadratic where a plane cuts a box, exactly and for many quadratics at once.

There are three variables. At the least point each of them either lies at an end of the box or is free, and the free
ones solve a linear system (Karush, Kuhn and Tucker). Nineteen such choices are tried, and the best point that lies in
the box is taken; so a quadratic that bends downwards, whose least lies at an edge, is no special case.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas.fronts.geometry import Array

_TOLERANCE = 1e-9
_CHOICES = [ends for ends in itertools.product((0, -1, 1), repeat=3) if 0 in ends]
"""Of each variable: free, at the low end, at the high end; one must give way to reach the plane."""


class Box(NamedTuple):
    """Ends of the three variables, each of shape (3,)."""

    low: Array
    high: Array


class Least(NamedTuple):
    """Where quadratics are least.

    Attributes:
        places: Of shape (quadratics, 3); not a number where the plane does not meet the box.
        ends: Of each variable there: 0 inside, -1 at the low end, 1 at the high end, (quadratics, 3).
    """

    places: Array
    ends: npt.NDArray[np.int64]


def least_on_plane(gradients: Array, hessians: Array, normal: Array, level: float, box: Box) -> Least:
    """Return where quadratics are least.

    Args:
        gradients: First derivatives at the origin, (quadratics, 3).
        hessians: Second derivatives, (quadratics, 3, 3).
        normal: Of the plane: its points ``x`` have ``normal @ x == level``; (3,).
        level: Of the plane.
        box: Where the points must lie.
    """
    best = np.full(len(gradients), np.inf)
    flat = box.high <= box.low
    places, ends = np.full_like(gradients, np.nan), np.zeros(gradients.shape, np.int64)
    for choice in _CHOICES:
        free = np.array(choice) == 0
        if (free & flat).any() or np.abs(normal[free]).max() < _TOLERANCE:
            continue  # what cannot move is not free, and what is free must reach the plane
        points = _stationary(gradients, hessians, normal, level, np.where(np.array(choice) < 0, *box), free)
        inside = ((points >= box.low - _TOLERANCE) & (points <= box.high + _TOLERANCE)).all(axis=1)
        values = (gradients * points).sum(1) + 0.5 * np.einsum("qi,qij,qj->q", points, hessians, points)
        better = inside & (values < best)
        best[better], places[better], ends[better] = values[better], points[better], choice
    return Least(places, ends)


def _stationary(
    gradients: Array, hessians: Array, normal: Array, level: float, fixed: Array, free: npt.NDArray[np.bool_]
) -> Array:
    """Return the points of the plane at which quadratics are stationary while some variables are fixed."""
    held, count = ~free, int(free.sum())
    matrices = np.zeros((len(gradients), count + 1, count + 1))
    matrices[:, :count, :count] = hessians[:, free][:, :, free]
    matrices[:, :count, count] = matrices[:, count, :count] = normal[free]
    right = np.full((len(gradients), count + 1), level - normal[held] @ fixed[held])
    right[:, :count] = -gradients[:, free] - hessians[:, free][:, :, held] @ fixed[held]
    points = np.tile(fixed, (len(gradients), 1))
    points[:, free] = np.linalg.solve(matrices, right[..., None])[:, :count, 0]
    return points
