"""Where of two laws one overtakes the other."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from nas.fronts.geometry import Array
from nas.scaling.intervals import LEVEL, Interval, interval_about
from nas.scaling.laws import Law
from nas.scaling.refusal import HORIZON

_MARKS = 400
_SURE = (1 + LEVEL) / 2
_UNSURE = "needs laws that are surer, of more networks or seeds"


class Crossing(NamedTuple):
    """Whether and where one law overtakes another for good.

    Attributes:
        answer: ``crosses``, ``none`` within the range, or ``cannot tell``.
        reason: What is needed where it cannot be told.
        begin: Lower end of the range of costs.
        end: Upper end.
        ahead: Index of the law with the smaller error at ``end``, 0 or 1; None where that cannot be told.
        cost: Where it overtakes the other, with its 90 % interval; None where they do not cross, or it cannot be told.
    """

    answer: Literal["crosses", "none", "cannot tell"]
    reason: str
    begin: float
    end: float
    ahead: int | None = None
    cost: Interval | None = None


def crossing(first: Law, second: Law, *, within: tuple[float, float] | None = None) -> Crossing:
    """Return where of two laws one overtakes the other and stays ahead to the end of a range.

    Draws of one law are compared with draws of the other. One overtakes where it does in nine draws of ten, and they do
    not cross where in 95 draws of 100 the same one is ahead everywhere. A place that may be in more than half of the
    range (of its logarithm) is not known.

    Args:
        first: Of the same cost and unit of error as the second.
        second: Another law.
        within: Range of costs; from the cheapest point to ten times beyond the dearest where it is not given.
    """
    if within is None:
        costs = np.concatenate([first.points.causes[0], second.points.causes[0]])
        within = float(costs.min()), float(costs.max() * HORIZON)
    for place, law in (("first", first), ("second", second)):
        if not law.determined:
            return Crossing("cannot tell", f"the {place} {law.reason}", *within)
    marks = np.geomspace(*within, _MARKS)
    own, drawn = _signs(first, second, marks)
    everywhere = [float((drawn == sign).all(axis=1).mean()) for sign in (-1, 1)]
    if max(everywhere) >= _SURE:
        return Crossing("none", "", *within, ahead=int(np.argmax(everywhere)))
    overtaken = (drawn[:, -1] == own[0, -1]) & (drawn != drawn[:, -1:]).any(axis=1)
    if overtaken.mean() < LEVEL or (own == own[:, -1:]).all():
        return Crossing("cannot tell", _UNSURE, *within)
    place = _last_changes(own, marks)[0]
    low, high = interval_about(place, _last_changes(drawn[overtaken], marks))
    if high / low > math.sqrt(within[1] / within[0]):
        return Crossing("cannot tell", _UNSURE, *within)
    return Crossing("crosses", "", *within, int(own[0, -1] > 0), Interval(float(place), float(low), float(high)))


def _signs(first: Law, second: Law, marks: Array) -> tuple[Array, Array]:
    """Return which law has the larger error at each mark: of the laws, (1, marks), and of draws, (draws, marks)."""
    (curve, draws), (other, others) = first.known(), second.known()
    mixed = np.random.default_rng(0).permutation(len(others.offset))  # laws of one seed are drawn with the same noise
    drawn = draws.errors(marks[None]) - others.errors(marks[None])[mixed]
    return np.sign(curve.errors(marks[None]) - other.errors(marks[None])), np.sign(drawn)


def _last_changes(signs: Array, marks: Array) -> Array:
    """Return where each row's sign, which changes, is what it stays, of shape (rows,)."""
    other = signs[:, ::-1] != signs[:, -1:]
    found: Array = marks[::-1][other.argmax(axis=1) - 1]
    return found
