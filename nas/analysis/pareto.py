"""The Pareto front of accuracy against FLOPs, and how far the noise of training lets you trust it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from nas.fronts.judged import Judged, Judgement
from nas.fronts.noise import WORTH_REPEATING, Noise
from nas.records import TrialRecord
from nas.search.study import Study


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A trained network, and where it stands with respect to the front.

    Attributes:
        trial: The trial that proposed the network.
        shrunk_accuracy: Accuracy to expect on new images and over all seeds, in 0 to 1: the mean, drawn towards what
            other networks of its cost have, as far as it is noise (``nas/fronts/shrinkage.py``). The front goes by it.
        mean_accuracy: Mean accuracy on the validation images over all its seeds, in 0 to 1. The luck of the networks
            that came to the front is still in it.
        std_accuracy: Standard deviation over the seeds; None if there is only one.
        seeds: Number of trainings of the network.
        standard_error: Standard deviation of what the true accuracy may be about ``shrunk_accuracy``, but for what
            drawing the validation images adds to all networks alike.
        front_probability: Probability, given all trainings of all networks, that no other network with the same FLOPs
            or fewer is truly as accurate.
        within_noise_of: Number of the trial before it on the front, if it is not 97.7 % sure (two standard deviations)
            which of the two is more accurate; else None.
    """

    trial: TrialRecord
    shrunk_accuracy: float
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
    """The front of the shrunk accuracies, and how far the noise lets you trust it.

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

    The accuracy of a network is the one to expect of it (``FrontPoint.shrunk_accuracy``).
    """
    return study.judgement().front


def front_with_noise(study: Study) -> NoisyFront:
    """Return the Pareto front of a study, and how far the noise of training lets you trust it."""
    return front_of(study.judgement())


def front_of(judgement: Judgement) -> NoisyFront:
    """Return the Pareto front of networks that have been judged."""
    points, others = ([_point(one) for one in judgement.networks if one.on_front is member] for member in (True, False))
    return NoisyFront(tuple(points), tuple(others), judgement.noise)


def _point(judged: Judged) -> FrontPoint:
    network = judged.network
    return FrontPoint(
        trial=network.trial,
        shrunk_accuracy=network.shrunk,
        mean_accuracy=network.mean,
        std_accuracy=network.std,
        seeds=len(network.accuracies),
        standard_error=network.standard_error,
        front_probability=network.probability,
        within_noise_of=judged.before if judged.near else None,
    )
