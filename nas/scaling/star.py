"""The plan of a star sweep: which networks to train to learn how width, depth and resolution should grow.

At each of a few levels of cost one dimension moves over a geometric range and the other two give way, so that the cost
stays what it is (the star sweep of Alabdulmohsin et al. 2023, arXiv:2305.13035, section 4). Each of the two that give
way carries the same share of the logarithm of the cost. The centers of the levels are the baseline, grown with equal
shares too. Real networks have whole channels and blocks, so the plan is made of networks that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from nas.architecture.space import COEFFICIENTS
from nas.errors import ConfigError
from nas.fronts.geometry import Array

TOLERANCE = 0.05
"""Share of a level's cost by which a network's may differ."""
LEVELS = (1.0, 2.0, 4.0)
STEP, ARM = 1.4, 2
"""Factor of a dimension between neighbours on its arm, and how many of them there are on each side of the center."""
CENTER = "center"

_UNWANTED, _NEVER = 10.0, 1e6
"""In squared octaves: no distance to a place outweighs a cost outside the tolerance, and nothing being far away."""
_WIDER = 0.2
"""Tolerance where there is no network within the usual one; what is taken then is marked."""
_FAR = 1.0
"""Steps: a network farther than this from a place does not stand for it."""


class Candidate(NamedTuple):
    """A network that could be trained.

    Attributes:
        width: Coefficient that makes it.
        depth: Coefficient that makes it.
        resolution: In pixels.
        digest: Of the network.
        cost: What it costs.
        shape: Width and depth that it really has (``nas/scaling/effective.py``); default: the coefficients.
    """

    width: float
    depth: float
    resolution: int
    digest: str
    cost: float
    shape: tuple[float, float] | None = None

    @property
    def place(self) -> Array:
        """The log2 of what it really has of width, depth and resolution, (3,)."""
        return np.log2([*(self.shape or (self.width, self.depth)), self.resolution])


class StarPoint(NamedTuple):
    """A network of the plan.

    Attributes:
        network: To train.
        level: Multiple of the baseline's cost that is meant.
        dimension: On whose arm it lies; ``center`` for none.
        step: Its place on the arm, from -2 to 2.
        off: By which share its cost differs from the level's.
    """

    network: Candidate
    level: float
    dimension: str
    step: int
    off: float

    @property
    def near(self) -> bool:
        """Whether the cost is within the tolerance."""
        return abs(self.off) <= TOLERANCE


@dataclass(frozen=True, slots=True)
class StarPlan:
    """What to train.

    Attributes:
        points: Distinct networks, by level and arm.
        missing: Places for which there is no network, in short sentences.
    """

    points: tuple[StarPoint, ...]
    missing: tuple[str, ...]


Ranges = Mapping[str, tuple[float, float]]
NetworksAt = Callable[[float, float], Iterable[Candidate]]
"""Returns all networks of a space within a tolerance (a share) of a cost."""


def star_plan(
    networks_at: NetworksAt,
    baseline: Candidate,
    *,
    ranges: Ranges,
    exponents: Sequence[float] = (2.0, 1.0, 2.0),
    levels: Sequence[float] = LEVELS,
    step: float = STEP,
) -> StarPlan:
    """Return the networks to train.

    Args:
        networks_at: Finds the networks of a cost.
        baseline: From which the levels grow.
        ranges: What the space allows of each dimension.
        exponents: Of width, depth and resolution in the cost, on paper; what counts in the end is the measured cost.
        levels: Multiples of the baseline's cost.
        step: Factor of a dimension between neighbours on its arm.

    Raises:
        ConfigError: A level, the step or an exponent makes no sense, or no network was found at any place.
    """
    powers = np.array(exponents, float)
    if not (levels and min(levels) > 0 and step > 1 and powers.shape == (3,) and (powers > 0).all()):
        raise ConfigError("a star needs levels above zero, a step above 1 and costs that rise with all dimensions")
    points = [StarPoint(baseline, 1.0, CENTER, 0, 0.0)]
    missing = list[str]()
    for level in sorted(set(levels)):
        places = list(_places(baseline.place + np.log2(level) / 3 / powers, powers, step))
        places = places[1:] if level == 1 else places  # of which the baseline is the center
        taken = {point.network.digest for point in points}
        others = [network for network in networks_at(level * baseline.cost, _WIDER) if network.digest not in taken]
        for place, point in _matched(places, others, level, level * baseline.cost, _FAR * float(np.log2(step))):
            if point:
                points.append(point)
            else:
                missing.append(_complaint(level, place, ranges))
    if len(points) < 2:
        raise ConfigError(f"no network of the space lies on the star; {missing[0]}")
    return StarPlan(tuple(points), tuple(missing))


class _Place(NamedTuple):
    """Where a network is wanted, as log2 of width, depth and resolution."""

    dimension: str
    step: int
    wanted: Array


def _places(center: Array, powers: Array, step: float) -> Iterator[_Place]:
    """Yield the places of a level, the center first, then the arms from the inside out."""
    yield _Place(CENTER, 0, center)
    for number in sorted(range(-ARM, ARM + 1), key=abs)[1:]:
        for index, dimension in enumerate(COEFFICIENTS):
            direction = -powers[index] / 2 / powers
            direction[index] = 1.0
            yield _Place(dimension, number, center + number * np.log2(step) * direction)


def _matched(
    places: Sequence[_Place], networks: Sequence[Candidate], level: float, cost: float, far: float
) -> Iterator[tuple[_Place, StarPoint | None]]:
    """Yield the places of a level, each with a network of its own, so that all are as near as can be."""
    networks = sorted(networks, key=lambda network: network.digest)
    at = np.array([network.place for network in networks]).reshape(-1, 3)
    away = np.array([place.wanted for place in places])[:, None] - at
    off = np.array([network.cost for network in networks]) / cost - 1
    distances = (away**2).sum(axis=2) + np.where(np.abs(off) > TOLERANCE, _UNWANTED, 0.0)
    distances[np.abs(away).max(axis=2) > far] = _NEVER
    rows, columns = linear_sum_assignment(distances)
    found = {row: column for row, column in zip(rows, columns, strict=True) if distances[row, column] < _NEVER}
    for row, place in enumerate(places):
        column = found.get(row)
        point = (
            None
            if column is None
            else StarPoint(networks[column], level, place.dimension, place.step, float(off[column]))
        )
        yield place, point


def _complaint(level: float, place: _Place, ranges: Ranges) -> str:
    """Say what there is no network for."""
    values = dict(zip(COEFFICIENTS, 2**place.wanted, strict=True))
    shape = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
    outside = [name for name, value in values.items() if not ranges[name][0] <= value <= ranges[name][1]]
    allowed = [f"{name} is {ranges[name][0]:g} to {ranges[name][1]:g} in this space" for name in outside]
    why = "; ".join(allowed) or "rounding leaves none of that cost"
    return f"at {level:g}× ({place.dimension}): no network near {shape} ({why})"
