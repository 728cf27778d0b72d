"""The network to take at a budget that was never tried, what to expect of it, and what would make one surer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from nas.architecture.cost import count_cost
from nas.architecture.point import Point
from nas.errors import ConfigError, StudyError
from nas.fronts.geometry import Array
from nas.scaling.bands import told_by
from nas.scaling.costs import FLOPS, TRAIN_SECONDS, CostKind, train_seconds
from nas.scaling.effective import Ruler
from nas.scaling.evidence import Evidence
from nas.scaling.intervals import Interval
from nas.scaling.laws import Law, fit_law
from nas.scaling.realised import Realised, realised_networks
from nas.scaling.shape import BestShape, best_shape
from nas.scaling.surface import FEWEST, fit_surface
from nas.search.lab.shape import column_of
from nas.search.lab.source import Source
from nas.search.seconds import seconds_law
from nas.units import parse_count, parse_seconds

TOLERANCES = (0.02, 0.05, 0.1, 0.2)
"""Shares by which the cost of the network may miss the budget: the first that has a network is taken."""
_NEAR = 1.0
"""Octaves beyond the dearest trained network up to which the surface is believed where no law is determined."""


class Budget(NamedTuple):
    """A budget as it was typed: so many times the dearest trained network, FLOPs, or seconds of training."""

    amount: float
    unit: Literal["times", "flops", "seconds"]


class GrownNetwork(NamedTuple):
    """A network for a budget.

    Attributes:
        network: To take.
        cost: Name of the cost that was asked for.
        target: Cost that was asked for.
        times: Multiple of the dearest trained network's cost.
        error: Expected share of wrong answers and its interval; None where it cannot be told.
        why_not: Why it cannot be told; empty where it can.
        by: What tells it, in a few words.
        best: The shapes that it follows; None where too few networks tell of shapes.
        law: How the error of the family's best networks follows cost.
        advice: What to train to be surer, one line each.
    """

    network: Realised
    cost: str
    target: float
    times: float
    error: Interval | None
    why_not: str
    by: str
    best: BestShape | None
    law: Law
    advice: tuple[str, ...]


def parse_budget(text: str) -> Budget:
    """Read a budget such as ``4x``, ``20M`` or ``8h``.

    Raises:
        ValueError: It is none.
    """
    word = text.strip()
    try:
        if word.endswith(("x", "×")):
            times = float(word[:-1])
            if not 0 < times < 1e9:
                raise ValueError
            return Budget(times, "times")
        if word.endswith(("s", "m", "h")):
            return Budget(parse_seconds(word), "seconds")
        flops = parse_count(word)
    except ValueError:
        flops = 0
    if not flops:
        raise ValueError(f"{text!r} is no budget; write for example 4x (times the FLOPs), 20M (FLOPs) or 8h (training)")
    return Budget(float(flops), "flops")


def ask_budget(source: Source, budget: Budget, *, space: str | None = None) -> GrownNetwork:
    """Return the network for a budget.

    Args:
        source: A study that has been run, or a table.
        budget: What may be spent.
        space: Family to grow; default: that of the most accurate network.

    Raises:
        StudyError: Nothing was trained of that family, or nothing tells how long networks train.
        ConfigError: The space has no network of that cost.
    """
    family = family_to_grow(source, space)
    times = max(network.flops for network in family.networks) if budget.unit == "times" else 1.0
    return ask_growth(source, family, budget.amount * times, kind=_kind(source, budget))


def family_to_grow(source: Source, space: str | None) -> Evidence:
    """Return the trainings of the family that is to grow: the named one, or that of the most accurate network.

    Raises:
        StudyError: No network of that space was trained.
    """
    if space is not None:
        return source.named(space)
    return max(source.evidence().families.values(), key=lambda family: float(np.max(1 - told_by(family).error)))


def ask_growth(source: Source, family: Evidence, target: float, *, kind: CostKind = FLOPS) -> GrownNetwork:
    """Return the network of a family for a cost.

    Its shape lies on the line through the best shapes at the costs that were tried, as far as the space allows.

    Args:
        source: A study, or a table.
        family: Trainings of the family, as ``family_to_grow`` gives them.
        target: Wanted cost.
        kind: Of the cost.

    Raises:
        StudyError: Too few networks tell of shapes.
        ConfigError: The space has no network of that cost.
    """
    start = source.point(max(family.networks, key=lambda network: network.accuracy))
    measured = source.measured(family, start)
    best = _shapes(measured, start)
    place = _alike(start, target, kind) if best is None else best.place(_log_flops(start, target, kind))
    network = _nearest(start, place, target, kind)
    costs = [kind.of(count_cost(source.made(one))) for one in family.networks]
    law = _law(source, family, kind)
    error, by, why_not = _expected(law, measured, network, place, target / max(costs))
    return GrownNetwork(
        network, kind.name, target, target / max(costs), error, why_not, by, best, law, tuple(_advice(best, law, error))
    )


def _kind(source: Source, budget: Budget) -> CostKind:
    """Return the cost that a budget is in."""
    if budget.unit != "seconds":
        return FLOPS
    law = seconds_law(source.opened)
    if law is None:
        raise StudyError(
            f"--to: nothing tells yet how long networks of {source.name} train; run nas check, or give FLOPs"
        )
    return train_seconds(law)


def _shapes(measured: Evidence, start: Point) -> BestShape | None:
    if len(measured.networks) < FEWEST:
        return None
    try:
        return best_shape(fit_surface(measured), ranges=start.space.ranges)
    except StudyError:  # too few networks about a cost
        return None


def _log_flops(start: Point, target: float, kind: CostKind) -> float:
    """Return the log2 of the FLOPs that go with a cost: shapes are told by FLOPs."""
    if kind.name == FLOPS.name:
        return math.log2(target)
    cost = count_cost(start.architecture())
    growth = math.log2(target / kind.of(cost))
    exponents = np.array(kind.exponents)
    return float(math.log2(cost.flops) + growth * sum(FLOPS.exponents) / exponents.sum())


def _alike(start: Point, target: float, kind: CostKind) -> Array:
    """Return where equal shares of the growth lead from a network, as log2 coefficients."""
    growth = math.log2(target / kind.of(count_cost(start.architecture())))
    powers = np.maximum(np.array(kind.exponents), 1e-9)
    shares = np.array([power > 0 for power in kind.exponents], float)
    place = np.log2([start.width, start.depth, start.resolution])
    return np.asarray(place + growth * shares / shares.sum() / powers)


def _nearest(start: Point, place: Array, target: float, kind: CostKind) -> Realised:
    """Return the network of a cost whose shape is nearest to a place."""
    ruler = Ruler(start.width, start.depth, start.architecture())

    def away(one: Realised) -> float:
        shape = ruler.width_of(one.architecture), ruler.depth_of(one.architecture), one.point.resolution
        return float((np.array(kind.exponents) * np.abs(np.log2(shape) - place)).sum())

    for tolerance in TOLERANCES:
        if found := realised_networks(start, target=target, tolerance=tolerance, kind=kind):
            return min(found, key=away)
    space = start.space
    raise ConfigError(
        f"{space.name} has no network of about {target:,.4g} {kind.label}: its ranges are width {space.width}, depth"
        f" {space.depth}, resolution {space.resolution}; a space file of your own may have wider ones"
    )


def _law(source: Source, family: Evidence, kind: CostKind) -> Law:
    """Return how the error of the family's best networks follows the cost."""
    told = told_by(family, cost="seconds" if kind.name == TRAIN_SECONDS else column_of(kind))
    study = source.table.study if source.table is not None else source.opened.config
    classes = source.point(family.networks[0]).num_classes
    chance = 1 - 1 / classes if study.recipe.metric == "accuracy" else None
    return fit_law(told.cost, told.error, weights=told.weights, chance=chance)


def _expected(
    law: Law,
    measured: Evidence,
    network: Realised,
    place: Array,
    times: float,
) -> tuple[Interval | None, str, str]:
    """Return what to expect of a network, by what, and why it cannot be told."""
    if law.determined:
        mean, low, high = (float(value[0]) for value in law.predict([network.amount]))
        return Interval(mean, low, high), f"the law of the family's best networks ({law.form})", ""
    if times <= 2**_NEAR and len(measured.networks) >= FEWEST:
        width, depth, resolution = 2**place
        mean, low, high = (float(value[0]) for value in fit_surface(measured).predict([width], [depth], [resolution]))
        return Interval(mean, low, high), f"the surface of {len(measured.networks)} networks", ""
    return None, "", law.reason


def _advice(best: BestShape | None, law: Law, error: Interval | None) -> Iterator[str]:
    if best is None:
        yield "train networks of several widths, depths and resolutions: nas scale shape"
    elif best.reasons:
        yield f"the best shape is not known: {best.reason} nas scale shape tries shapes around a network"
    if not law.determined:
        yield f"the law of accuracy {law.reason}"
    elif error is not None and error.high - error.low > 0.02:
        yield "train larger networks along the same shapes: each halves what the law has to reach beyond"
