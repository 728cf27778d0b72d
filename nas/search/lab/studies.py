"""Scaling studies: trainings beside a study, in its database, that tell how a network should grow.

Each is a study of its own with a plan in place of a search (``search.plan``). So it is run, continued, repeated and
looked at like any other, as ``STUDY:shape`` on the command line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from nas.architecture.point import Point
from nas.architecture.space import DIMENSIONS, SearchSpace
from nas.architecture.spec import Architecture
from nas.config.budget import Budget
from nas.config.search import Asked, PlannedNetwork, SearchConfig
from nas.data.sources import DataConfig
from nas.errors import StudyError
from nas.records import TrialRecord
from nas.scaling.evidence import TrainedNetwork
from nas.search.study import Study
from nas.training.recipe import Recipe


def baseline_of(study: Study, *, number: int | None = None, **coefficients: Any) -> Point:
    """Return the network from which a study's networks grow.

    Args:
        study: A study; it need not have been run where coefficients are given.
        number: Of the trial; default: one of the lower third of the front.
        **coefficients: ``width``, ``depth``, ``resolution`` and, where the study has several, ``space``: a network by
            these, of which those left out are 1, 1 and the space's base resolution.

    Raises:
        StudyError: There is no such trial, or nothing was trained yet and no coefficient is given.
        ConfigError: A coefficient lies outside the space's range.
    """
    given = {key: value for key, value in coefficients.items() if value is not None}
    if given and number is not None:
        raise StudyError(
            f"--baseline {number} and {', '.join(f'--{key}' for key in given)} name two networks; give one"
        )
    if given:
        return _made(study, given)
    trial = _trial(study, number) if number is not None else _small(study)
    return trial_point(study, trial)


def trial_point(study: Study, trial: TrialRecord, *, name: str = "") -> Point:
    """Return the space and the coefficients of a trial's network."""
    return replace(made_point(study.config.search, trial, study.architecture(trial)), name=name)


def made_point(search: SearchConfig, network: TrialRecord | TrainedNetwork, architecture: Architecture) -> Point:
    """Return the space and the coefficients of a network that a search, or a scaling study of it, has proposed."""
    name = " ".join((network.space, *(f"{key} {value}" for key, value in network.choices.items())))
    return Point(
        next(space for space in spaces_of(search) if space.name == name),
        network.width,
        network.depth,
        network.resolution,
        architecture.num_classes,
        architecture.in_channels,
    )


def spaces_of(search: SearchConfig) -> Iterator[SearchSpace]:
    """Yield the families of a search: each of its spaces with every combination of the choices that are open."""
    for space in search.spaces:
        for choices in search.choices(space.name):
            yield space.choose(**choices) if choices else space


def _made(study: Study, given: dict[str, Any]) -> Point:
    search = study.config.search
    name = given.get("space", search.spaces[0].name)
    if name not in (known := [space.name for space in search.spaces]):
        raise StudyError(f"--space: unknown space {name!r}; the study has {', '.join(known)}")
    space = search.space(name)
    fixed = {key: values[0] for key, values in search.dimensions(name).items()}
    space = space.choose(**fixed) if fixed else space
    width, depth = given.get("width", 1.0), given.get("depth", 1.0)
    resolution = given.get("resolution", space.base_resolution)
    space.require_in_range(width=width, depth=depth, resolution=resolution)
    return Point(space, width, depth, resolution, len(study.dataset.classes), study.dataset.channels)


def _trial(study: Study, number: int) -> TrialRecord:
    trials = {trial.number: trial for trial in study.trials()} if study.was_run() else {}
    if number not in trials:
        raise StudyError(f"study {study.name!r} has no trial {number}")
    return trials[number]


def _small(study: Study) -> TrialRecord:
    front = study.judgement().front if study.was_run() else []
    if not front:
        raise StudyError(
            f"study {study.name!r} has no trained network to grow yet: run it with nas search, or name a baseline by"
            " --width, --depth and --resolution"
        )
    return front[len(front) // 3]


def planned_study(
    study: Study,
    kind: str,
    points: Sequence[Point],
    *,
    seeds: int = 1,
    recipe: Recipe | None = None,
    data: DataConfig | None = None,
    asked: Asked | None = None,
) -> Study:
    """Return the scaling study that trains some networks; those that an earlier run planned stay in front.

    Args:
        study: Whose images, recipe and database it has.
        kind: Of the scaling study, such as ``shape``: it is called so, and by its family too where there are several.
        points: The networks, all of one space.
        seeds: Trainings of each.
        recipe: In place of the study's.
        data: In place of the study's.
        asked: What it is for, kept with it.
    """
    space = points[0].space
    ranges = {key: {"min": low, "max": high} for key, (low, high) in space.ranges.items()}
    name = part_name(study, kind, points[0])
    stored = study.beside(name, study.config).stored()
    plan = list(() if stored is None else stored[0].search.plan)
    known = {_digest(points[0], network) for network in plan}
    for network in map(planned, points):
        if (digest := _digest(points[0], network)) not in known:
            known.add(digest)
            plan.append(network)
    search = SearchConfig.model_validate(
        {
            **ranges,
            "spaces": [space],
            "plan": tuple(plan),
            "asked": asked,
            "trials": len(plan),
            "sampler": "planned",
            "seed": study.config.search.seed,
            "replicates": {"seeds": seeds, "of": "spread", "networks": len(plan)} if seeds > 1 else None,
        }
    )
    config = study.config.model_copy(
        update={
            "description": f"{name} of {study.name}",
            "budget": Budget(),
            "search": search,
            "recipe": recipe or study.config.recipe,
            "data": data or study.config.data,
        }
    )
    return study.beside(name, config)


def _digest(point: Point, network: PlannedNetwork) -> str:
    """Return the digest of a planned network of a point's space."""
    made = point.at(width=network.width, depth=network.depth, resolution=network.resolution)
    return made.architecture().digest


def planned(point: Point) -> PlannedNetwork:
    """Return a network as plans have it."""
    return PlannedNetwork(width=point.width, depth=point.depth, resolution=point.resolution)


def part_name(study: Study, kind: str, point: Point) -> str:
    """Return what a scaling study of a kind is called: where a study has several families each has its own."""
    if len(study.config.search.spaces) == 1 and not any(getattr(study.config.search, key) for key in DIMENSIONS):
        return kind
    words = "-".join("".join(c if c.isalnum() else " " for c in point.space.name.lower()).split())
    return f"{kind}-{words}"


def spread_points(points: Sequence[Point], costs: Sequence[float], count: int) -> list[Point]:
    """Return so many points, at most, that lie evenly over the logarithm of the cost."""
    order = sorted(range(len(points)), key=lambda index: costs[index])
    if len(order) <= count:
        return [points[index] for index in order]
    low, high = math.log(costs[order[0]]), math.log(costs[order[-1]])
    chosen = list[int]()
    for step in range(count):
        wanted = low + (high - low) * step / max(1, count - 1)
        free = [index for index in order if index not in chosen]
        chosen.append(min(free, key=lambda index: abs(math.log(costs[index]) - wanted)))
    return [points[index] for index in sorted(chosen, key=lambda index: costs[index])]
