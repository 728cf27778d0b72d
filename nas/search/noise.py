"""How far seeds alone move an accuracy, and what that leaves of a front."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.config import Replicates
from nas.search.gaussian_process import Array
from nas.search.store import Repeat, TrialRecord

_DRAWS = 4000
_WORTH_REPEATING = 0.05
"""Probability of being on the front from which on a network is trained once more."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A trained network, over all its seeds.

    Attributes:
        trial: That proposed it.
        accuracies: On the validation images, the trial's own first.
        error: Standard error of the mean: the noise of one training divided by the root of their number.
        probability: Of being on the front of the true means.
    """

    trial: TrialRecord
    accuracies: tuple[float, ...]
    error: float
    probability: float

    @property
    def mean(self) -> float:
        """Accuracy over all seeds."""
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float | None:
        """Standard deviation over the seeds; None for a single one."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else None


def measured(trials: Sequence[TrialRecord], repeats: Sequence[Repeat], *, val_images: int) -> list[Measured]:
    """Return every trained network over all its seeds, cheapest first.

    Args:
        trials: Of a study.
        repeats: Of the study.
        val_images: Number of validation images.
    """
    others = defaultdict[int, list[float]](list)
    for repeat in repeats:
        if repeat.accuracy is not None:
            others[repeat.number].append(repeat.accuracy)
    trained = sorted(
        (trial for trial in trials if trial.state == "trained"), key=lambda trial: (trial.flops, trial.number)
    )
    seen = {trial.number: (trial.accuracy or 0.0, *others[trial.number]) for trial in trained}
    noise = seed_noise(seen, val_images=val_images)
    errors = np.array([noise / math.sqrt(len(seen[trial.number])) for trial in trained])
    means = np.array([np.mean(seen[trial.number]) for trial in trained])
    chances = front_probabilities(np.array([trial.flops for trial in trained]), means, errors)
    return [
        Measured(trial, seen[trial.number], float(error), float(chance))
        for trial, error, chance in zip(trained, errors, chances, strict=True)
    ]


def seed_noise(accuracies: Mapping[int, Sequence[float]], *, val_images: int) -> float:
    """Return the standard deviation of one training's accuracy over seeds, pooled over the networks with several.

    Where none has several, that of drawing the validation images (binomial, at the median accuracy) stands in for it:
    seeds seldom move less.
    """
    several = [values for values in accuracies.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    if freedom:
        return math.sqrt(sum(float(np.var(values)) * len(values) for values in several) / freedom)
    share = float(np.median([values[0] for values in accuracies.values()])) if accuracies else 0.5
    return math.sqrt(share * (1 - share) / val_images)


def front_probabilities(costs: Array, means: Array, errors: Array) -> Array:
    """Return for each point the probability that no other of at most its cost is as accurate, by drawing.

    Args:
        costs: Of shape (points,), rising.
        means: Of the accuracies, (points,).
        errors: Standard errors of the means, (points,).
    """
    if not len(costs):
        return np.zeros(0)
    drawn = means + errors * np.random.default_rng(0).standard_normal((_DRAWS, len(means)))
    best_before = np.full(_DRAWS, -np.inf)
    chances = np.empty(len(costs))
    for start in (index for index in range(len(costs)) if index == 0 or costs[index] != costs[index - 1]):
        stop = start + int((costs[start:] == costs[start]).sum())
        same = drawn[:, start:stop]
        best = np.maximum(best_before, same.max(axis=1))
        chances[start:stop] = ((same >= best[:, None]) & (same > best_before[:, None])).mean(axis=0)
        best_before = best
    return chances


def wanted_repeats(
    asked: Replicates, trials: Sequence[TrialRecord], repeats: Sequence[Repeat], *, val_images: int
) -> list[tuple[TrialRecord, int]]:
    """Return the further trainings that a study asks for and that nobody has begun, the most wanted first."""
    begun = {(repeat.number, repeat.repeat) for repeat in repeats}
    known = measured(trials, repeats, val_images=val_images)
    if asked.of == "spread":
        chosen = _spread(known, asked.networks)
    else:
        likely = sorted(known, key=lambda network: -network.probability)
        chosen = [network for network in likely if network.probability >= _WORTH_REPEATING][: asked.networks]
    return [
        (network.trial, repeat)
        for repeat in range(1, asked.seeds)
        for network in chosen
        if (network.trial.number, repeat) not in begun
    ]


def _spread(networks: Sequence[Measured], count: int) -> list[Measured]:
    """Return networks spread evenly over the logarithm of the FLOPs; they must be sorted by FLOPs."""
    left, chosen = list(networks), list[Measured]()
    if not left:
        return []
    for wanted in np.linspace(math.log(left[0].trial.flops), math.log(left[-1].trial.flops), count):
        if left:
            nearest = min(left, key=lambda network: abs(math.log(network.trial.flops) - wanted))
            left.remove(nearest)
            chosen.append(nearest)
    return chosen
