"""Geometry of fronts in the plane of cost and error: who is beaten, and the hypervolume of what is not."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]


class Steps(NamedTuple):
    """A front as steps: up to ``ends`` of the cost, from where the step before ends, the least error is ``levels``.

    The first step reaches from minus infinity to the cheapest member and has the reference's error; the last ends at
    the reference's cost. Both have the shape (members + 1,).
    """

    ends: Array
    levels: Array


def front_steps(costs: Array, errors: Array, *, reference_cost: float, reference_error: float) -> Steps:
    """Return the steps of the points that no other beats, below the reference.

    Args:
        costs: Of shape (points,), to be minimised.
        errors: Of shape (points,), to be minimised.
        reference_cost: Costs from here on count for nothing.
        reference_error: Errors from here on count for nothing.
    """
    counted = (costs < reference_cost) & (errors < reference_error)
    costs, errors = costs[counted], errors[counted]
    members = front_members(costs, errors)
    return Steps(np.append(costs[members], reference_cost), np.insert(errors[members], 0, reference_error))


def front_members(costs: Array, errors: Array) -> list[int]:
    """Return the indices of points that no other beats, cheapest first."""
    found: list[int] = []
    for index in np.lexsort((errors, costs)):
        if not found or errors[index] < errors[found[-1]]:
            found.append(int(index))
    return found


def hypervolume(costs: Array, errors: Array, *, reference_cost: float, reference_error: float) -> float:
    """Return the area between the front of some points and the reference, measured from the cheapest point."""
    steps = front_steps(costs, errors, reference_cost=reference_cost, reference_error=reference_error)
    return float((np.diff(steps.ends) * (reference_error - steps.levels[1:])).sum())


def hypervolumes(costs: Array, errors: Array, *, reference_cost: float, reference_error: float) -> Array:
    """Return the hypervolume, as ``hypervolume`` does, of the same points with each of several sets of errors.

    Args:
        costs: Of shape (points,).
        errors: Of shape (sets, points).
        reference_cost: Costs from here on count for nothing.
        reference_error: Errors from here on count for nothing.

    Returns:
        Array of shape (sets,).
    """
    order = np.argsort(costs, kind="stable")
    order = order[costs[order] < reference_cost]
    widths = np.diff(np.append(costs[order], reference_cost))
    best = np.minimum.accumulate(errors[:, order], axis=1)
    areas: Array = np.maximum(reference_error - best, 0) @ widths
    return areas


class Reference(NamedTuple):
    """Where cost and error of a front begin to count for nothing."""

    reference_cost: float
    reference_error: float


def front_reference(costs: Array, errors: Array) -> Reference:
    """Return the reference that the front of some points sets: a tenth of its extent beyond both its ends.

    Points that others beat do not move it. Where the front has no extent, it lies one beyond.
    """
    members = front_members(costs, errors)
    return Reference(_beyond(costs[members]), _beyond(errors[members]))


def _beyond(values: Array) -> float:
    return float(values.max() + (0.1 * np.ptp(values) or 1.0)) if len(values) else 0.0
