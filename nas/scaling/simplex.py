"""EfficientNet's own question: of the first doubling of the cost, which share should width, depth and resolution get?

From a baseline to a network of twice its measured cost, each dimension takes a share of the logarithm of the cost's
growth; the three shares add up to 1, so all rules are the points of a triangle (Tan & Le 2019, arXiv:1905.11946,
section 3.3, whose alpha, beta and gamma are one point of it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas.architecture.space import COEFFICIENTS
from nas.errors import StudyError
from nas.fronts.geometry import Array
from nas.scaling.boxed import Box
from nas.scaling.intervals import LEVEL, Interval, interval_of
from nas.scaling.shape import DETERMINED, Factors, best_places, cost_name, told
from nas.scaling.star import Candidate
from nas.scaling.surface import CostPlane, Surface

CELLS = 20
"""Parts into which a side of the triangle is divided."""

_NONE = 1e-6


class OnSimplex(NamedTuple):
    """A rule as a point of the triangle.

    Attributes:
        shares: Of width, depth and resolution; they add up to 1.
        penalty: Its expected error less that of the best shares, in 0 to 1, and its interval.
        likely: Whether it lies in the region in which the best shares are with a probability of 90 %.
    """

    shares: tuple[float, float, float]
    penalty: Interval
    likely: bool


@dataclass(frozen=True, slots=True)
class Simplex:
    """How error depends on the three shares at a multiple of the baseline's cost.

    Attributes:
        surface: From which it comes.
        start: log2 coefficients of the baseline, (3,).
        times: Multiple of the baseline's cost.
        shares: Cells of the triangle, (cells, 3).
        errors: Expected error in each cell, (cells,).
        chances: Probability that the best shares lie in it, (cells,).
        best: The best share of each dimension.
        factors: The best factor of each dimension for this multiple: EfficientNet's alpha, beta and gamma.
        reasons: Why a dimension's share cannot be told, by dimension.
    """

    surface: Surface
    start: Array
    times: float
    shares: Array
    errors: Array
    chances: Array
    best: Mapping[str, Interval]
    factors: Mapping[str, Interval]
    reasons: Mapping[str, str]

    @property
    def region(self) -> npt.NDArray[np.bool_]:
        """The fewest cells that hold the best shares with a probability of 90 %, (cells,)."""
        order = np.argsort(-self.chances, kind="stable")
        before = np.cumsum(self.chances[order]) - self.chances[order]
        inside = np.zeros(len(order), np.bool_)
        inside[order[before < LEVEL]] = True
        return inside

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        cost = cost_name(self.surface.cost.name)
        return f"for {self.times:g} times the {cost}: {told(self.factors, self.reasons)}"

    @property
    def log2_cost(self) -> float:
        """The log2 of the cost that is shared out, by the plane through the networks' costs."""
        return float(self.surface.cost.log2(self.start)) + float(np.log2(self.times))

    def place(self, rule: Factors) -> OnSimplex:
        """Return where a rule lies.

        Raises:
            StudyError: It makes a dimension smaller, or nothing larger.
        """
        growth = self.surface.cost.exponents * np.log2([rule.width, rule.depth, rule.resolution])
        if growth.min() < 0 or growth.sum() <= 0:
            raise StudyError("only a rule that makes no dimension smaller lies on the triangle")
        shares = growth / growth.sum()
        best = np.array([self.best[name].value for name in COEFFICIENTS])
        places = _places(self.surface.cost, self.start, self.times, np.stack([shares, best]))
        penalty = self.surface.difference(*places)
        cell = int(_cells(self.shares, shares[None])[0])
        width, depth, resolution = map(float, shares)
        return OnSimplex((width, depth, resolution), penalty, bool(self.region[cell]))


def simplex(surface: Surface, start: Sequence[float], *, times: float = 2.0, cells: int = CELLS) -> Simplex:
    """Return how error depends on the shares of the cost's growth.

    Args:
        surface: Fitted to networks of about that cost.
        start: Width, depth and resolution of the baseline.
        times: Multiple of its cost, above 1.
        cells: Parts of a side of the triangle.

    Raises:
        StudyError: The multiple is no growth, or the cost does not rise with all three dimensions.
    """
    cost, origin = surface.cost, np.log2(np.array(start, float))
    if not times > 1:
        raise StudyError(f"only growth has shares: a multiple above 1 is needed, but is {times:g}")
    if flat := [name for name, power in zip(COEFFICIENTS, cost.exponents, strict=True) if power <= 0]:
        raise StudyError(
            f"{cost_name(cost.name)} do not rise with {' and '.join(flat)}, so it has no share of their growth"
        )
    growth = float(np.log2(times))
    found = best_places(surface, float(cost.log2(origin)) + growth, Box(origin, origin + growth / cost.exponents))
    ratios = 2 ** (found.places - origin)
    shares = np.maximum((found.places - origin) * cost.exponents / growth, 0.0)  # rounding leaves less than nothing
    triangle = _triangle(cells)
    return Simplex(
        surface=surface,
        start=origin,
        times=times,
        shares=triangle,
        errors=np.exp(surface.mean_log_errors(_places(cost, origin, times, triangle))),
        chances=np.bincount(_cells(triangle, shares[1:]), minlength=len(triangle)) / (len(shares) - 1),
        best={name: interval_of(shares[:, index]) for index, name in enumerate(COEFFICIENTS)},
        factors={name: interval_of(ratios[:, index]) for index, name in enumerate(COEFFICIENTS)},
        reasons=_reasons(shares[1:]),
    )


def _reasons(shares: Array) -> dict[str, str]:
    """Return why dimensions cannot be told, given the best shares in draws, (draws, 3)."""
    none = (shares < _NONE).mean(axis=0)
    reason = "its best share may be none or less: networks in which it shrinks would tell"
    return {name: reason for name, share in zip(COEFFICIENTS, none, strict=True) if share > 1 - DETERMINED}


def simplex_points(
    networks: Iterable[Candidate],
    baseline: Candidate,
    *,
    exponents: Sequence[float] = (2.0, 1.0, 2.0),
    slack: float = 0.05,
) -> list[Candidate]:
    """Return the networks that grow from a baseline without shrinking in any dimension, in a fixed order.

    Args:
        networks: Of about a multiple of the baseline's cost.
        baseline: From which they grow.
        exponents: Of width, depth and resolution in the cost, on paper.
        slack: How far below 0 a share may be, as rounding has it.
    """
    kept = []
    for network in sorted(networks, key=lambda network: network.digest):
        growth = np.array(exponents) * (network.place - baseline.place)
        if growth.sum() > 0 and growth.min() >= -slack * growth.sum():
            kept.append(network)
    return kept


def _triangle(cells: int) -> Array:
    """Return the points of a triangular grid, (cells, 3)."""
    parts = [(one, two, cells - one - two) for one in range(cells + 1) for two in range(cells + 1 - one)]
    return np.array(parts, float) / cells


def _cells(triangle: Array, shares: Array) -> npt.NDArray[np.int64]:
    """Return the index of the nearest cell for shares of shape (points, 3)."""
    found: npt.NDArray[np.int64] = ((shares[:, None] - triangle) ** 2).sum(axis=2).argmin(axis=1)
    return found


def _places(cost: CostPlane, start: Array, times: float, shares: Array) -> Array:
    """Return the log2 coefficients of shares of shape (points, 3)."""
    found: Array = start + shares * np.log2(times) / cost.exponents
    return found
