"""The Pareto front of accuracy against FLOPs, and how far the noise of training lets one trust it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nas.architecture.space import DIMENSIONS
from nas.fronts.noise import WORTH_REPEATING, Measured, Noise, mean, measured, over_seeds, seed_noise
from nas.records import Repeat, TrialRecord
from nas.search.study import Study


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A trained network beside the front.

    Attributes:
        trial: That proposed it.
        mean_accuracy: On the validation images, over all its seeds, in 0 to 1.
        std_accuracy: Standard deviation over the seeds; None for a single one.
        seeds: Number of its trainings.
        standard_error: Of the mean: the noise of one training, pooled over all networks, by the root of ``seeds``.
        front_probability: That no other network of at most its FLOPs is as accurate, given the errors of all.
        within_noise_of: Number of the trial before it on the front, the dearest of at most its FLOPs, where the two
            means differ by less than two standard errors of their difference; else None.
    """

    trial: TrialRecord
    mean_accuracy: float
    std_accuracy: float | None
    seeds: int
    standard_error: float
    front_probability: float
    within_noise_of: int | None

    def facts(self) -> dict[str, Any]:
        """Return all of it but the trial, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "trial"}


@dataclass(frozen=True, slots=True)
class NoisyFront:
    """The front of the means over seeds, and what the noise leaves of it.

    Attributes:
        points: On the front, cheapest first.
        others: Trained networks off it, cheapest first.
        noise: Of one training.
    """

    points: tuple[FrontPoint, ...]
    others: tuple[FrontPoint, ...]
    noise: Noise

    @property
    def contenders(self) -> tuple[FrontPoint, ...]:
        """Networks off the front that are on that of the true means with 5 % or more, the likeliest first."""
        likely = [point for point in self.others if point.front_probability >= WORTH_REPEATING]
        return tuple(sorted(likely, key=lambda point: -point.front_probability))


def pareto_front(study: Study) -> list[TrialRecord]:
    """Return the trained networks that no other beats: none is as accurate for fewer FLOPs; cheapest first.

    Of a network that was trained from several seeds, the mean accuracy counts.
    """
    return front_of(study.trials(), study.repeats())


def front_of(trials: Iterable[TrialRecord], repeats: Iterable[Repeat] = ()) -> list[TrialRecord]:
    """Return the front of any trials, cheapest first; those that were not trained take no part.

    Of several trials equal in both objectives the first stands for all.

    Args:
        trials: Of a study.
        repeats: Further trainings of their networks; the mean over all seeds is a network's accuracy.
    """
    means = {trial: mean(values) for trial, values in over_seeds(trials, repeats).items()}
    front, best = list[TrialRecord](), 0.0
    for trial in sorted(means, key=lambda trial: (trial.flops, -means[trial], trial.number)):
        if means[trial] > best:
            front.append(trial)
            best = means[trial]
    return front


def front_with_noise(study: Study) -> NoisyFront:
    """Return a study's front, that of ``pareto_front``, with what the noise of training leaves of it."""
    trials, repeats, val_images = study.trials(), study.repeats(), study.val_images()
    members = {trial.number for trial in front_of(trials, repeats)}
    points, others, before = list[FrontPoint](), list[FrontPoint](), None
    networks = measured(trials, repeats, val_images=val_images)
    for network in sorted(networks, key=lambda network: (network.trial.flops, -network.mean, network.trial.number)):
        on_front = network.trial.number in members
        (points if on_front else others).append(_point(network, before))
        before = network if on_front else before
    noise = seed_noise(over_seeds(trials, repeats).values(), val_images=val_images)
    return NoisyFront(tuple(points), tuple(others), noise)


def _point(network: Measured, before: Measured | None) -> FrontPoint:
    """Return a network as a point, given the one before it on the front."""
    near = before is not None and (
        abs(network.mean - before.mean) < 2 * math.hypot(network.standard_error, before.standard_error)
    )
    return FrontPoint(
        trial=network.trial,
        mean_accuracy=network.mean,
        std_accuracy=network.std,
        seeds=len(network.accuracies),
        standard_error=network.standard_error,
        front_probability=network.probability,
        within_noise_of=before.trial.number if before is not None and near else None,
    )


def to_frame(trials: Iterable[TrialRecord]) -> pd.DataFrame:
    """Return trials as a table, one row each, columns named as the attributes of ``TrialRecord``.

    In place of ``choices`` stands a column for each dimension that some trial chose, named after it.
    """
    columns = [field.name for field in dataclasses.fields(TrialRecord) if field.name != "choices"]
    rows = [{**dataclasses.asdict(trial), **trial.choices} for trial in trials]
    chosen = [name for name in DIMENSIONS if any(name in row for row in rows)]
    frame = pd.DataFrame(rows, columns=[*columns, *chosen])
    whole = {name: "Int64" for name in ("kernel", "expansion", "cardinality") if name in chosen}
    return frame.astype(whole)


def points_to_frame(points: Iterable[FrontPoint]) -> pd.DataFrame:
    """Return points as a table: their trials as ``to_frame`` has them, then the attributes of ``FrontPoint``."""
    listed = list(points)
    columns = [field.name for field in dataclasses.fields(FrontPoint) if field.name != "trial"]
    facts = pd.DataFrame([point.facts() for point in listed], columns=columns).astype({"within_noise_of": "Int64"})
    return pd.concat([to_frame(point.trial for point in listed), facts], axis=1)
