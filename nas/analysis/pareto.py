"""The Pareto front of accuracy against FLOPs, and how far the noise of training lets you trust it."""

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
    """A trained network, and where it stands with respect to the front.

    Attributes:
        trial: The trial that proposed the network.
        mean_accuracy: Mean accuracy on the validation images over all its seeds, in 0 to 1.
        std_accuracy: Standard deviation over the seeds; None if there is only one.
        seeds: Number of trainings of the network.
        standard_error: Standard error of the mean: the noise of one training, pooled over all networks, divided by the
            square root of ``seeds``.
        front_probability: Probability, given the errors of all networks, that no other network with the same FLOPs or
            fewer is as accurate.
        within_noise_of: Number of the trial before it on the front, if the two means differ by less than two standard
            errors of their difference; else None.
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
    """The front of the mean accuracies, and how far the noise lets you trust it.

    Attributes:
        points: Networks on the front, cheapest first.
        others: Trained networks off the front, cheapest first.
        noise: Noise of one training.
    """

    points: tuple[FrontPoint, ...]
    others: tuple[FrontPoint, ...]
    noise: Noise

    @property
    def contenders(self) -> tuple[FrontPoint, ...]:
        """Networks off the front that are on the true front with a probability of 5 % or more, the likeliest first."""
        likely = [point for point in self.others if point.front_probability >= WORTH_REPEATING]
        return tuple(sorted(likely, key=lambda point: -point.front_probability))


def pareto_front(study: Study) -> list[TrialRecord]:
    """Return the Pareto front, cheapest first: the networks for which no other is as accurate with fewer FLOPs.

    The accuracy of a network that was trained with several seeds is their mean.
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
    """Return the Pareto front of a study, and how far the noise of training lets you trust it."""
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
    """Return trials as a table: one row each, with the attributes of ``TrialRecord`` as columns.

    ``choices`` is replaced by one column for each dimension that a trial has a choice for.
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
