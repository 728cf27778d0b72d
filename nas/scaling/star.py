"""The plan of a star sweep: which networks to train to learn how width, depth and resolution should grow.

At each of a few levels of cost one dimension moves over a geometric range and the other two give way, so that the cost
stays what it is (the star sweep of Alabdulmohsin et al. 2023, arXiv:2305.13035, section 4). Each of the two that give
way carries the same share of the logarithm of the cost. The centers of the levels are the baseline, grown with equal
shares too. Real networks have whole channels and blocks, so the plan is made of networks that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nas.errors import ConfigError
from nas.fronts.geometry import Array
from nas.scaling.surface import DIMENSIONS

TOLERANCE = 0.05
"""Share of a level's cost by which a network's may differ."""
LEVELS = (1.0, 2.0, 4.0)
STEP, ARM = 1.4, 2
"""Factor of a dimension between neighbours on its arm, and how many of them there are on each side of the center."""
CENTER = "center"

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
    def value(self) -> float:
        """What the network really has of the dimension whose arm it lies on; at a center, of the width."""
        return float(2 ** self.network.place[_index(self.dimension)])

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
    points = {baseline.digest: StarPoint(baseline, 1.0, CENTER, 0, 0.0)} if 1.0 in levels else {}
    missing = list[str]()
    for level in sorted(set(levels)):
        found = _Level(level, level * baseline.cost, networks_at, step)
        center = baseline.place + np.log2(level) / 3 / powers
        for place in _places(center, powers, step):
            point = found.nearest(place, points.keys())
            if point is None:
                missing.append(_complaint(level, place, ranges))
            elif not (level == 1 and place.dimension == CENTER):  # that is the baseline, which is there
                points[point.network.digest] = point
    if len(points) < 2:
        raise ConfigError(f"no network of the space lies on the star; {missing[0]}")
    return StarPlan(tuple(points.values()), tuple(missing))


class _Place(NamedTuple):
    """Where a network is wanted, as log2 of width, depth and resolution."""

    dimension: str
    step: int
    wanted: Array


def _places(center: Array, powers: Array, step: float) -> Iterator[_Place]:
    """Yield the places of a level, the center first, then the arms from the inside out."""
    yield _Place(CENTER, 0, center)
    for number in sorted(range(-ARM, ARM + 1), key=abs)[1:]:
        for index, dimension in enumerate(DIMENSIONS):
            direction = -powers[index] / 2 / powers
            direction[index] = 1.0
            yield _Place(dimension, number, center + number * np.log2(step) * direction)


class _Level:
    """The networks of a level's cost, and further off those for places that have none."""

    def __init__(self, level: float, cost: float, networks_at: NetworksAt, step: float) -> None:
        self._level, self._cost, self._far = level, cost, _FAR * np.log2(step)
        wider = sorted(networks_at(cost, _WIDER), key=lambda network: network.digest)
        near = [network for network in wider if abs(network.cost / cost - 1) <= TOLERANCE]
        self._choices = [(networks, np.array([one.place for one in networks])) for networks in (near, wider)]

    def nearest(self, place: _Place, taken: Collection[str]) -> StarPoint | None:
        """Return the network nearest to a place that is not taken yet, or None where none is near."""
        for networks, places in self._choices:
            if networks:
                away = places - place.wanted
                free = [network.digest not in taken for network in networks]
                best = int(np.argmin(np.where(free, (away**2).sum(axis=1), np.inf)))
                if free[best] and np.abs(away[best]).max() <= self._far:
                    off = networks[best].cost / self._cost - 1
                    return StarPoint(networks[best], self._level, place.dimension, place.step, off)
        return None


def _index(dimension: str) -> int:
    return DIMENSIONS.index(dimension) if dimension != CENTER else 0


def _complaint(level: float, place: _Place, ranges: Ranges) -> str:
    """Say what there is no network for."""
    values = dict(zip(DIMENSIONS, 2**place.wanted, strict=True))
    shape = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
    outside = [name for name, value in values.items() if not ranges[name][0] <= value <= ranges[name][1]]
    allowed = [f"{name} is {ranges[name][0]:g} to {ranges[name][1]:g} in this space" for name in outside]
    why = "; ".join(allowed) or "rounding leaves none of that cost"
    return f"at {level:g}× ({place.dimension}): no network near {shape} ({why})"
