"""How far seeds alone move an accuracy, and what that leaves of a front."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from nas.fronts.geometry import Array
from nas.records import Repeat, TrialRecord

_DRAWS = 4000
WORTH_REPEATING = 0.05
"""Probability of being on the front from which on a network counts as one that may be on it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A trained network, over all its seeds.

    Attributes:
        trial: That proposed it.
        accuracies: On the validation images, the trial's own first.
        standard_error: Of the mean: the noise of one training divided by the root of their number.
        probability: Of being on the front of the true means.
    """

    trial: TrialRecord
    accuracies: tuple[float, ...]
    standard_error: float
    probability: float

    @property
    def mean(self) -> float:
        """Accuracy over all seeds."""
        return mean(self.accuracies)

    @property
    def std(self) -> float | None:
        """Standard deviation over the seeds; None for a single one."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else None


@dataclass(frozen=True, slots=True)
class Noise:
    """How far the accuracy of one training moves with its seed.

    Attributes:
        std: Standard deviation, above zero.
        further: Number of further trainings that it was measured on; 0 where it is that of drawing the images.
        val_images: Number of validation images.
    """

    std: float
    further: int
    val_images: int

    def __str__(self) -> str:
        """Say how much it is, and from where that is known."""
        measured = f"pooled from {self.further} further training{'s' * (self.further > 1)}"
        assumed = f"binomial estimate for {self.val_images:,} validation images; search.replicates measures it"
        return f"Noise of one training: ± {100 * self.std:.2f} % ({measured if self.further else assumed})."


def mean(accuracies: Sequence[float]) -> float:
    """Return the mean of a network's accuracies; of a single one, itself to the bit."""
    return float(np.mean(accuracies))


def over_seeds(trials: Iterable[TrialRecord], repeats: Iterable[Repeat]) -> dict[TrialRecord, tuple[float, ...]]:
    """Return the accuracies of every trained network, its first trial's own first; cheapest first.

    Workers that propose the same network at the same moment both train it, from the same seed: that counts once.
    """
    trials = sorted(trials, key=lambda trial: (trial.flops, trial.number))
    digests = {trial.number: trial.digest for trial in trials}
    further = defaultdict[str, dict[int, float]](dict)
    for repeat in repeats:
        if repeat.accuracy is not None:
            further[digests[repeat.number]][repeat.repeat] = repeat.accuracy
    first = dict[str, TrialRecord]()
    for trial in trials:
        if trial.state == "trained":
            first.setdefault(trial.digest, trial)
    return {trial: (trial.accuracy or 0.0, *further[digest].values()) for digest, trial in first.items()}


def measured(trials: Sequence[TrialRecord], repeats: Sequence[Repeat], *, val_images: int) -> list[Measured]:
    """Return every trained network over all its seeds, cheapest first.

    Args:
        trials: Of a study.
        repeats: Of the study.
        val_images: Number of validation images.
    """
    networks = over_seeds(trials, repeats)
    noise = seed_noise(networks.values(), val_images=val_images)
    errors = np.array([noise.std / math.sqrt(len(values)) for values in networks.values()])
    means = np.array([mean(values) for values in networks.values()])
    chances = front_probabilities(np.array([trial.flops for trial in networks]), means, errors)
    return [
        Measured(trial, values, float(error), float(chance))
        for (trial, values), error, chance in zip(networks.items(), errors, chances, strict=True)
    ]


def seed_noise(accuracies: Collection[Sequence[float]], *, val_images: int) -> Noise:
    """Return the noise of one training, pooled over the networks that were trained from several seeds.

    Where none was, that of drawing the validation images (binomial, at the median accuracy) stands in for it. It is
    never less than that of counting whole images, so a few equal accuracies are no certainty.

    Args:
        accuracies: Of each network, from one seed or several.
        val_images: Number of validation images.
    """
    least = 1 / (val_images * math.sqrt(12))
    further = sum(len(values) - 1 for values in accuracies)
    if further:
        std = math.sqrt(sum(float(np.var(values)) * len(values) for values in accuracies) / further)
    else:
        share = float(np.median([values[0] for values in accuracies])) if accuracies else 0.5
        std = math.sqrt(share * (1 - share) / val_images)
    return Noise(max(std, least), further, val_images)


def fewest_images(accuracies: Iterable[float]) -> int:
    """Return the least number of images of which all accuracies can be shares."""
    return math.lcm(*(Fraction(accuracy).limit_denominator(1_000_000).denominator for accuracy in accuracies))


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
