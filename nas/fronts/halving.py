"""Which trainings go on from a rung: asynchronous successive halving for two objectives, one of them known.

At each rung, a number of epochs, a trial has a cost, which is known, and an accuracy so far. The trials that reached a
rung are ranked by non-dominated sorting, within a front so that those kept are spread over it (Schmucker et al. 2021,
arXiv:2106.12639, and Li et al. 2020, arXiv:1810.05934, for a single objective). One in ``factor`` goes on. A trial that
pauses may be among them later, when more have come, and goes on then. Nothing here knows of databases or trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nas.fronts.geometry import Array, front_members


class Reached(NamedTuple):
    """How far a trial has come.

    Attributes:
        number: Of the trial.
        cost: Known, above zero, to be minimised.
        accuracies: At the rungs that it reached, the first first.
        paused: Whether it waits at the last of them.
    """

    number: int
    cost: float
    accuracies: tuple[float, ...]
    paused: bool


def promotable(trials: Sequence[Reached], *, factor: int) -> int | None:
    """Return the number of the paused trial that should go on next, or None: the one furthest on, then the best."""
    paused = {trial.number: len(trial.accuracies) for trial in trials if trial.paused}
    for rung in sorted(set(paused.values()), reverse=True):
        for number in survivors(trials, rung=rung, factor=factor):
            if paused.get(number) == rung:
                return number
    return None


def goes_on(trials: Sequence[Reached], number: int, *, factor: int) -> bool:
    """Tell whether a trial that has just come to a rung is the one to go on next, as if it had paused there.

    One rule for those that arrive and those that wait makes the order of trainings the same after an interruption.
    """
    there = [trial._replace(paused=True) if trial.number == number else trial for trial in trials]
    return promotable(there, factor=factor) == number


def survivors(trials: Sequence[Reached], *, rung: int, factor: int) -> list[int]:
    """Return the numbers of the trials that go on from a rung, counted from 1, best first."""
    here = [trial for trial in trials if len(trial.accuracies) >= rung]
    costs = np.array([trial.cost for trial in here])
    errors = np.array([1 - trial.accuracies[rung - 1] for trial in here])
    return [here[index].number for index in ranked(costs, errors, count=len(here) // factor)]


def ranked(costs: Array, errors: Array, *, count: int | None = None) -> list[int]:
    """Return indices from the best to the worst by non-dominated sorting.

    Within a front the next is the one farthest from all before it, in the plane of the logarithm of the cost and the
    error, so that wherever the ranking is cut, what is kept is spread out. A first front begins with its least error.

    Args:
        costs: Of shape (trials,), above zero, to be minimised.
        errors: Of shape (trials,), to be minimised.
        count: How many to return, at most; default: all.
    """
    wanted = len(costs) if count is None else min(count, len(costs))
    if not wanted:
        return []
    plane = np.column_stack([_scaled(np.log(costs)), _scaled(errors)])
    left, order, apart = np.arange(len(costs)), list[int](), np.full(len(costs), np.inf)
    while len(order) < wanted:
        members = left[front_members(costs[left], errors[left])]
        left, front = np.setdiff1d(left, members, assume_unique=True), members.tolist()
        while front and len(order) < wanted:
            chosen = front.pop(int(apart[front].argmax()) if order else -1)
            apart = np.minimum(apart, np.linalg.norm(plane - plane[chosen], axis=-1))
            order.append(chosen)
    return order


def _scaled(values: Array) -> Array:
    scaled: Array = (values - values.min()) / (np.ptp(values) or 1.0)
    return scaled
