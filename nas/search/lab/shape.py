"""Star sweeps and the triangle of shares on a study: what to train, and what it tells of the best shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from nas.architecture.cost import count_cost
from nas.architecture.point import Point
from nas.config.search import Asked
from nas.errors import ConfigError, StudyError
from nas.scaling.costs import FLOPS, CostKind
from nas.scaling.effective import Ruler
from nas.scaling.evidence import Evidence
from nas.scaling.realised import realised_networks
from nas.scaling.rules import Rule, compound, fast
from nas.scaling.shape import BestShape, best_shape
from nas.scaling.simplex import Simplex, simplex, simplex_points
from nas.scaling.star import LEVELS, Candidate, StarPlan, star_plan
from nas.scaling.surface import FEWEST, cost_plane, fit_surface
from nas.search.lab.source import Source
from nas.search.lab.studies import planned, planned_study
from nas.search.study import Study
from nas.units import format_count

WITHIN = 1.6
"""Networks count for a shape where their cost is within this factor of a level's, or between levels."""
SAME_COST = (0.02, 0.05, 0.1, 0.2, 0.3)
"""Shares by which networks of twice the cost may differ from it: the first that leaves enough is taken."""

TIMES = 8.0
"""Multiple of the cost at which other rules are judged."""
SLACK = 0.3
"""How far below 0 a share of theirs may be: without such networks a best share near 0 could not be told."""

Run = Callable[[Study], Study]
"""Runs a study, or continues it."""


class ShapeAnswer(NamedTuple):
    """What a star sweep tells.

    Attributes:
        baseline: From which it began.
        best: The best shapes, and how they grow.
        evidence: The trainings that it goes by.
        plan: What was to be trained; None for a table.
    """

    baseline: Point
    best: BestShape
    evidence: Evidence
    plan: StarPlan | None

    @property
    def sentence(self) -> str:
        """The answer in one sentence, with what EfficientNet's rule would cost."""
        return f"{self.best.sentence}; {self.best.penalty(compound(), times=TIMES).told('EfficientNet’s rule', TIMES)}"


def known_rules() -> dict[str, Rule]:
    """Return the rules that others have published, by what people call them."""
    return {"EfficientNet's rule": compound(), "fast scaling": fast()}


def plan_shape(baseline: Point, *, levels: Sequence[float] = LEVELS, kind: CostKind = FLOPS) -> StarPlan:
    """Return the networks of a star sweep from a baseline.

    Raises:
        ConfigError: The levels make no sense, or the space has no network on the star.
    """
    ruler = Ruler(baseline.width, baseline.depth, baseline.architecture())

    def networks_at(cost: float, tolerance: float) -> list[Candidate]:
        found = realised_networks(baseline, target=cost, tolerance=tolerance, kind=kind)
        return [_candidate(one.point, ruler, kind) for one in found]

    start = _candidate(baseline, ruler, kind)
    return star_plan(networks_at, start, ranges=baseline.space.ranges, exponents=kind.exponents, levels=levels)


def _candidate(point: Point, ruler: Ruler, kind: CostKind) -> Candidate:
    architecture = point.architecture()
    shape = ruler.width_of(architecture), ruler.depth_of(architecture)
    amount = kind.of(count_cost(architecture))
    return Candidate(point.width, point.depth, point.resolution, architecture.digest, amount, shape)


def points_of(plan: StarPlan, baseline: Point) -> list[Point]:
    """Return the networks of a plan."""
    networks = [point.network for point in plan.points]
    return [baseline.at(width=n.width, depth=n.depth, resolution=n.resolution) for n in networks]


def ask_shape(
    source: Source,
    baseline: Point,
    *,
    levels: Sequence[float] = (),
    seeds: int = 1,
    kind: CostKind = FLOPS,
    run: Run | None = None,
) -> ShapeAnswer:
    """Train a star sweep where that is wanted, and return the best shapes by all trainings about its costs.

    Args:
        source: A study, or a table.
        baseline: From which the star begins.
        levels: Multiples of the baseline's cost, at least two; default: 1, 2 and 4 where something is trained, and else
            what was tried.
        seeds: Trainings of each network.
        kind: The cost that a level fixes.
        run: Trains what the study has not; None goes by what it has.

    Raises:
        UserError: The plan cannot be made, or what was trained does not tell.
    """
    plan = None
    if run is not None:
        levels = levels or LEVELS
        plan = plan_shape(baseline, levels=levels, kind=kind)
        asked = Asked(baseline=planned(baseline), cost=kind.name, levels=tuple(levels))
        run(planned_study(source.opened, "shape", points_of(plan, baseline), seeds=seeds, asked=asked))
    first, family = kind.of(count_cost(baseline.architecture())), source.family(baseline)
    if levels:
        low, high = first * min(levels) / WITHIN, first * max(levels) * WITHIN
        family = family.only(n for n in family.networks if low <= getattr(n, column_of(kind)) <= high)
    surface = fit_surface(family, cost=column_of(kind))
    best = best_shape(surface, levels=[first * level for level in levels], ranges=baseline.space.ranges)
    return ShapeAnswer(baseline, best, family, plan)


def column_of(kind: CostKind) -> str:
    """Return what a cost is called among trainings.

    Raises:
        StudyError: Trainings do not keep it.
    """
    if kind.name not in ("flops", "params", "activations"):
        raise StudyError(f"--cost {kind.name}: trainings keep flops, params and activations")
    return kind.name


def doubled_networks(baseline: Point, *, count: int, kind: CostKind = FLOPS) -> list[Point]:
    """Return networks of twice a baseline's cost that are much smaller in no dimension, spread over the shares.

    A space may have few networks of a cost to within 2 %. Then those that are up to 10 % off are taken too, and up to
    30 % where there would be fewer than 16: the surface knows what each of them costs. Each next one is the farthest
    from all before.

    Raises:
        ConfigError: There are fewer than a surface needs.
    """
    ruler = Ruler(baseline.width, baseline.depth, baseline.architecture())
    start, target = _candidate(baseline, ruler, kind), 2 * kind.of(count_cost(baseline.architecture()))
    found: list[Candidate] = []
    for tolerance in SAME_COST:
        near = realised_networks(baseline, target=target, tolerance=tolerance, kind=kind)
        candidates = [_candidate(one.point, ruler, kind) for one in near]
        found = simplex_points(candidates, start, exponents=kind.exponents, slack=SLACK)
        if len(found) >= (count if tolerance < 0.1 else min(count, 2 * FEWEST)):
            break
    if len(found) < FEWEST:
        raise ConfigError(
            f"{baseline.space.name} has {len(found)} networks of about {format_count(target)} {kind.label} that grow"
            f" from {baseline.architecture().name}, and {FEWEST} are needed; a space file of your own may have wider"
            " ranges"
        )
    places = np.array([network.place for network in found]) * kind.exponents
    chosen = [int(((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    while len(chosen) < min(count, len(found)):
        away = ((places[:, None] - places[chosen]) ** 2).sum(axis=2).min(axis=1)
        chosen.append(int(away.argmax()))
    return [baseline.at(width=n.width, depth=n.depth, resolution=n.resolution) for n in (found[i] for i in chosen)]


def ask_doubling(
    source: Source,
    baseline: Point,
    *,
    networks: int = 30,
    seeds: int = 1,
    run: Run | None = None,
) -> Simplex:
    """Train networks of twice a baseline's FLOPs where that is wanted, and return how error follows the shares.

    Raises:
        UserError: There are no such networks, or what was trained does not tell.
    """
    if run is not None:
        points = doubled_networks(baseline, count=networks)
        asked = Asked(baseline=planned(baseline))
        run(planned_study(source.opened, "search", points, seeds=seeds, asked=asked))
    flops = 2 * count_cost(baseline.architecture()).flops
    family = source.family(baseline)
    near = family.only(n for n in family.networks if flops / WITHIN <= n.flops <= flops * WITHIN)
    surface = fit_surface(near, exponents=_exponents(baseline, FLOPS))
    return simplex(surface, (baseline.width, baseline.depth, baseline.resolution))


def _exponents(baseline: Point, kind: CostKind) -> list[float]:
    """Return how a cost follows width, depth and resolution about a baseline, by networks of half to eight times it."""
    ruler = Ruler(baseline.width, baseline.depth, baseline.architecture())
    first = kind.of(count_cost(baseline.architecture()))
    near = [
        _candidate(one.point, ruler, kind)
        for times in (0.5, 1, 2, 4, 8)
        for one in realised_networks(baseline, target=times * first, tolerance=0.05, kind=kind)
    ]
    places, costs = np.array([one.place for one in near]), np.log2([one.cost for one in near])
    return [float(power) for power in cost_plane(kind.name, places, costs).exponents]
