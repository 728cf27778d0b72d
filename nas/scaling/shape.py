"""The best shape at each cost, and how width, depth and resolution should grow when the cost doubles.

Scaling laws for shapes follow Alabdulmohsin et al. 2023, "Getting ViT in Shape: Scaling Laws for Compute-Optimal Model
Design" (arXiv:2305.13035): at each cost there is a best value of every dimension, and it grows as a power of the cost.
Here the best shape is where the surface of error (``nas/scaling/surface.py``) is least among all shapes of one cost
that lie within what was tried. Every draw of the surface has its own, and the draws are the interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nas.architecture.space import COEFFICIENTS
from nas.errors import StudyError
from nas.fronts.geometry import Array
from nas.scaling.boxed import Box, least_on_plane
from nas.scaling.evidence import COSTS
from nas.scaling.intervals import Interval, Prediction, interval_of
from nas.scaling.surface import Surface, hessians
from nas.units import format_count

DETERMINED = 0.9
"""Share of the draws whose best value must lie inside what was tried, or there is no telling."""

_NEAR = 0.5
"""Octaves of the cost: networks as near as this tell what was tried at a cost."""
_FEWEST_NEAR = 4
_FARTHEST_COST, _FARTHEST_SHAPE = 1.0, 0.5
"""Octaves beyond what was tried, of the cost and of a dimension, up to which a rule's error is told."""
_ROUNDING = 1e-6


class Factors(Protocol):
    """What grows a network: factors of width, depth and resolution, of whatever step."""

    @property
    def width(self) -> float:
        """Factor of the width."""

    @property
    def depth(self) -> float:
        """Factor of the depth."""

    @property
    def resolution(self) -> float:
        """Factor of the resolution."""


class Penalty(NamedTuple):
    """What another rule costs.

    Attributes:
        points: Its error less that of the best shapes at the same cost, in 0 to 1; None where that is not told.
        reason: Why it is not told.
    """

    points: Interval | None
    reason: str = ""

    def told(self, rule: str, times: float) -> str:
        """Say it in words, with half of the interval after the sign."""
        if self.points is None:
            return f"what {rule} would cost at {times:g}× cannot be told ({self.reason})"
        return f"{rule} would {'cost' if self.points.value >= 0 else 'gain'} {self.points.points()} at {times:g}×"


@dataclass(frozen=True, slots=True)
class BestShape:
    """The best shapes and how they grow.

    Attributes:
        surface: From which they come.
        levels: Costs, rising.
        best: Of each dimension at each level.
        factors: Of each dimension for a doubling of the measured cost.
        reasons: Why a dimension cannot be told, by dimension; none are there where all is determined.
        lines: log2 of the best shapes over log2 of the cost: values at the first level and slopes, (draws, 2, 3). The
            first is that of the expected surface.
    """

    surface: Surface
    levels: tuple[float, ...]
    best: Mapping[str, tuple[Interval, ...]]
    factors: Mapping[str, Interval]
    reasons: Mapping[str, str]
    lines: Array

    @property
    def determined(self) -> Mapping[str, bool]:
        """Whether each dimension's best value lies inside what was tried."""
        return {name: name not in self.reasons for name in COEFFICIENTS}

    @property
    def reason(self) -> str:
        """What cannot be told, in short sentences; empty where all is determined."""
        return " ".join(f"{name}: {reason}." for name, reason in self.reasons.items())

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        return f"per doubling of {cost_name(self.surface.cost.name)}: {told(self.factors, self.reasons)}"

    def penalty(self, rule: Factors, *, times: float, start: tuple[float, float, float] | None = None) -> Penalty:
        """Return what error another rule costs at a multiple of the cost, both grown to the same measured cost.

        Args:
            rule: How it grows; how far it goes for one step does not matter.
            times: Multiple of the start's cost.
            start: Width, depth and resolution that the rule grows from; default: the best shape at the lowest level.

        Raises:
            StudyError: The rule does not raise the cost, or the multiple is not above zero.
        """
        cost = self.surface.cost
        origin = self.lines[0, 0] if start is None else np.log2(np.array(start, float))
        direction = np.log2([rule.width, rule.depth, rule.resolution])
        if not (times > 0 and direction @ cost.exponents > 0):
            raise StudyError(f"a rule that raises {cost.name} and a multiple above zero are needed")
        level = float(cost.log2(origin)) + float(np.log2(times))
        place = origin + direction * np.log2(times) / (direction @ cost.exponents)
        ours = self.place(level)
        if reason := self._too_far(level, place) or self._too_far(level, ours):
            return Penalty(None, reason)
        return Penalty(self.surface.difference(place, ours))

    def place(self, level: float) -> Array:
        """Return the log2 coefficients, (3,), of the best shape at a log2 cost, by the line through the levels."""
        value, slope = self.lines[0]
        found: Array = value + slope * (level - np.log2(self.levels[0]))
        return found

    def _too_far(self, level: float, place: Array) -> str:
        """Return why nothing is said of a place, or nothing."""
        surface = self.surface
        beyond = level - surface.costs.max()
        if beyond > _FARTHEST_COST:
            name = cost_name(surface.cost.name)
            return f"{format_count(2**level)} {name} are {2**beyond:.2g} times the largest tried"
        low, high = surface.places.min(axis=0), surface.places.max(axis=0)
        for name, value, least, most in zip(COEFFICIENTS, place, low, high, strict=True):
            if not least - _FARTHEST_SHAPE <= value <= most + _FARTHEST_SHAPE:
                return f"{name} {2**value:.3g} is too far outside what was tried, {2**least:.3g} to {2**most:.3g}"
        return ""


def best_shape(
    surface: Surface,
    *,
    levels: Sequence[float] = (),
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> BestShape:
    """Return the best shape at each cost and how it grows.

    Args:
        surface: Of error and cost.
        levels: Costs, at least two; default: three, evenly spread within what was tried.
        ranges: What the space allows of dimensions, so that nobody is told to try what there is not.

    Raises:
        StudyError: Fewer than two levels, or few networks were tried at one of them.
    """
    costs = tuple(sorted(set(levels))) or _spread(surface)
    if len(costs) < 2 or not costs[0] > 0:
        raise StudyError("how a network grows needs at least two costs, above zero")
    boxes = [_tried(surface, cost) for cost in costs]
    flat = np.any([box.high <= box.low for box in boxes], axis=0)
    found = [best_places(surface, float(np.log2(cost)), box) for cost, box in zip(costs, boxes, strict=True)]
    places, ends = np.stack([one.places for one in found], axis=1), np.stack([one.ends for one in found], axis=1)
    lines = _lines(np.log2(costs), places)  # the places have the levels' costs, so that the slopes double them
    best, factors, reasons = dict[str, tuple[Interval, ...]](), dict[str, Interval](), dict[str, str]()
    for index, name in enumerate(COEFFICIENTS):
        best[name] = tuple(map(interval_of, 2 ** places[:, :, index].T))
        factors[name] = interval_of(2 ** lines[:, 1, index])
        if flat[index]:
            reasons[name] = f"only {best[name][0].value:.3g} was tried"
        elif reason := _undetermined(name, ends[1:, :, index], best[name], ranges or {}):
            reasons[name] = reason
    if len(reasons) == 2:  # the cost says what is left for the third, whatever the errors are
        reasons |= {name: "it has what the others leave" for name in COEFFICIENTS if name not in reasons}
    return BestShape(surface, costs, best, factors, reasons, lines)


class Profile(NamedTuple):
    """Errors over a dimension at one cost: its values, (points,), and what is predicted there."""

    values: Array
    errors: Prediction


class Places(NamedTuple):
    """Best shapes as log2 coefficients, and which lie at an end; both (1 + draws, 3), the expected surface's first."""

    places: Array
    ends: npt.NDArray[np.int64]


def best_places(surface: Surface, level: float, box: Box) -> Places:
    """Return the best shapes of a log2 cost within a box, for the expected surface and for all draws.

    Raises:
        StudyError: No shape in the box has that cost.
    """
    found = _least(surface, np.vstack([surface.mean, surface.draws]), level, box)
    if np.isnan(found.places).any():
        raise StudyError(f"no shape that was tried costs {format_count(2**level)} {cost_name(surface.cost.name)}")
    return Places(found.places, found.ends)


def _least(surface: Surface, coefficients: Array, level: float, box: Box) -> Places:
    """Return the best shapes by quadratics of shape (quadratics, 10); not a number where none has that cost."""
    center, cost = surface.center, surface.cost
    about = Box(box.low - center, box.high - center)
    rest = level - float(cost.log2(center))
    found = least_on_plane(coefficients[:, 1:4], hessians(coefficients), cost.exponents, rest, about)
    return Places(found.places + center, found.ends)


def profile(surface: Surface, cost: float, dimension: str, *, points: int = 31) -> Profile:
    """Return the least error at a cost for each value of a dimension that was tried there, the others at their best.

    Raises:
        StudyError: Few networks of about that cost were tried.
    """
    index, box, places = COEFFICIENTS.index(dimension), _tried(surface, cost), []
    for value in np.linspace(box.low[index], box.high[index], points):
        ends = Box(box.low.copy(), box.high.copy())
        ends.low[index] = ends.high[index] = value
        place = _least(surface, surface.mean[None], float(np.log2(cost)), ends).places[0]
        if not np.isnan(place).any():  # else no shape that was tried has that value at that cost
            places.append(place)
    shapes = 2 ** np.array(places)
    return Profile(shapes[:, index], surface.predict(*shapes.T))


def cost_name(name: str) -> str:
    """Return a cost's name in a sentence."""
    return COSTS.get(name, name)


def told(factors: Mapping[str, Interval], reasons: Mapping[str, str]) -> str:
    """Return the factors of all dimensions in words, or why one cannot be told."""

    def one(name: str, factor: Interval) -> str:
        if name in reasons:
            return f"{name} cannot tell ({reasons[name]})"
        return f"{name} × {factor.value:.2f} [{factor.low:.2f}, {factor.high:.2f}]"

    return ", ".join(one(name, factors[name]) for name in COEFFICIENTS)


def _spread(surface: Surface) -> tuple[float, ...]:
    return tuple(float(2**cost) for cost in np.quantile(surface.costs, (0.2, 0.5, 0.8)))


def _tried(surface: Surface, cost: float) -> Box:
    """Return the least box around the networks of about a cost."""
    near = surface.places[np.abs(surface.costs - np.log2(cost)) <= _NEAR]
    if len(near) < _FEWEST_NEAR:
        some = f"{len(near)} network{'s' * (len(near) != 1)} of about {format_count(cost)}"
        raise StudyError(f"{some} {cost_name(surface.cost.name)} tell nothing of the best shape: train more there")
    return Box(near.min(axis=0), near.max(axis=0))


def _lines(levels: Array, places: Array) -> Array:
    """Return the lines through places of shape (draws, levels, 3): values at the first level, and slopes."""
    away = levels - levels.mean()
    slopes = np.einsum("l,dli->di", away / (away @ away), places)
    return np.stack([places.mean(axis=1) + slopes * away[0], slopes], axis=1)


def _undetermined(
    name: str, ends: npt.NDArray[np.int64], best: Sequence[Interval], ranges: Mapping[str, tuple[float, float]]
) -> str:
    """Return why the best value of a dimension cannot be told, given its ends in (draws, levels), or nothing."""
    low, high = (ends < 0).mean(axis=0), (ends > 0).mean(axis=0)
    if (low + high).max() <= 1 - DETERMINED:
        return ""
    smaller = low.max() >= high.max()
    shares = low if smaller else high
    border = best[int(shares.argmax())].value
    if shares.max() <= 0.5:
        return "its best value may lie outside what was tried; more trainings or a wider range would tell"
    way, beyond = ("smaller", "below") if smaller else ("larger", "above")
    least, most = ranges.get(name, (0.0, np.inf))
    if border <= least * (1 + _ROUNDING) if smaller else border >= most * (1 - _ROUNDING):
        return f"error still falls towards {way} {name}, and the space has none {beyond} {border:.3g}"
    return f"error still falls towards {way} {name}; try {beyond} {border:.3g}"
