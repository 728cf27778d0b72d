"""Star sweeps and the triangle of shares on a study: what to train, and what it tells of the best shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nas.architecture.cost import count_cost
from nas.architecture.point import Point
from nas.config.budget import Budget
from nas.config.search import COEFFICIENTS
from nas.errors import ConfigError, StudyError
from nas.scaling.costs import FLOPS, CostKind
from nas.scaling.effective import Ruler
from nas.scaling.evidence import Evidence
from nas.scaling.realised import realised_networks
from nas.scaling.shape import BestShape, best_shape
from nas.scaling.simplex import Simplex, simplex
from nas.scaling.star import LEVELS, Candidate, StarPlan, star_plan
from nas.scaling.surface import fit_surface
from nas.search.lab.source import Source
from nas.search.lab.studies import planned_study
from nas.search.study import Study, scaling_study
from nas.units import format_count

WITHIN = 1.6
"""Networks count for a shape where their cost is within this factor of a level's, or between levels."""
SAME_COST = 0.02
"""Share by which networks of twice the cost may differ from it."""

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


def plan_shape(baseline: Point, *, levels: Sequence[float] = LEVELS, kind: CostKind = FLOPS) -> StarPlan:
    """Return the networks of a star sweep from a baseline.

    Raises:
        ConfigError: The levels make no sense, or the space has no network on the star.
    """
    ruler = Ruler(baseline.width, baseline.depth, baseline.architecture())

    def networks_at(cost: float, tolerance: float) -> list[Candidate]:
        found = realised_networks(baseline, target=cost, tolerance=tolerance, kind=kind)
        return [_candidate(one.point, ruler, kind) for one in found]

    ranges = {key: (getattr(baseline.space, key).min, getattr(baseline.space, key).max) for key in COEFFICIENTS}
    return star_plan(
        networks_at, _candidate(baseline, ruler, kind), ranges=ranges, exponents=kind.exponents, levels=levels
    )


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
    name: str = "shape",
    levels: Sequence[float] = (),
    seeds: int = 1,
    kind: CostKind = FLOPS,
    run: Run | None = None,
) -> ShapeAnswer:
    """Train a star sweep where that is wanted, and return the best shapes by all trainings about its costs.

    Args:
        source: A study, or a table.
        baseline: From which the star begins.
        name: Of the scaling study.
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
        run(planned_study(source.opened, name, points_of(plan, baseline), seeds=seeds))
    first, family = kind.of(count_cost(baseline.architecture())), source.family(baseline)
    if levels:
        low, high = first * min(levels) / WITHIN, first * max(levels) * WITHIN
        family = family.only(n for n in family.networks if low <= getattr(n, column_of(kind)) <= high)
    ranges = {key: (getattr(baseline.space, key).min, getattr(baseline.space, key).max) for key in COEFFICIENTS}
    surface = fit_surface(family, cost=column_of(kind))
    best = best_shape(surface, levels=[first * level for level in levels], ranges=ranges)
    return ShapeAnswer(baseline, best, family, plan)


def column_of(kind: CostKind) -> str:
    """Return what a cost is called among trainings.

    Raises:
        StudyError: Trainings do not keep it.
    """
    if kind.name not in ("flops", "params", "activations"):
        raise StudyError(f"--cost {kind.name}: trainings keep flops, params and activations")
    return kind.name


def doubled_study(study: Study, name: str, baseline: Point, *, trials: int, seeds: int = 1) -> Study:
    """Return the study that searches the networks of twice a baseline's FLOPs that are smaller in no dimension."""
    flops = 2 * count_cost(baseline.architecture()).flops
    search = type(study.config.search).model_validate(
        {
            **_ranges_of(baseline, flops),
            "spaces": [baseline.space],
            "trials": trials,
            "seed": study.config.search.seed,
            "replicates": {"seeds": seeds, "of": "spread", "networks": trials} if seeds > 1 else None,
        }
    )
    bounds = {"min": round(flops * (1 - SAME_COST)), "max": round(flops * (1 + SAME_COST))}
    budget = Budget.model_validate({"flops": bounds})
    described = f"networks of twice the FLOPs for {study.name}"
    config = study.config.model_copy(update={"description": described, "budget": budget, "search": search})
    return scaling_study(study, name, config)


def _ranges_of(baseline: Point, flops: float) -> dict[str, dict[str, float]]:
    """Return the ranges in which the networks of some FLOPs lie that are smaller than a baseline in no dimension.

    Raises:
        ConfigError: There are none.
    """
    networks = [one.point for one in realised_networks(baseline, target=flops, tolerance=SAME_COST)]
    lows = {key: getattr(baseline, key) for key in COEFFICIENTS}
    larger = [point for point in networks if all(getattr(point, key) >= low for key, low in lows.items())]
    if not larger:
        raise ConfigError(
            f"{baseline.space.name} has no network of {format_count(flops)} FLOPs that grows from"
            f" {baseline.architecture().name}; its ranges end before, and a space file of your own may have wider ones"
        )
    return {key: {"min": low, "max": max(getattr(point, key) for point in larger)} for key, low in lows.items()}


def ask_doubling(
    source: Source,
    baseline: Point,
    *,
    name: str = "search",
    trials: int = 30,
    seeds: int = 1,
    run: Run | None = None,
) -> Simplex:
    """Search networks of twice a baseline's FLOPs where that is wanted, and return how error follows the shares.

    Raises:
        UserError: There are no such networks, or what was trained does not tell.
    """
    if run is not None:
        run(doubled_study(source.opened, name, baseline, trials=trials, seeds=seeds))
    flops = 2 * count_cost(baseline.architecture()).flops
    family = source.family(baseline)
    near = family.only(n for n in family.networks if flops / WITHIN <= n.flops <= flops * WITHIN)
    return simplex(fit_surface(near), (baseline.width, baseline.depth, baseline.resolution))
