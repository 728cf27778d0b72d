"""How far seeds alone move an accuracy: what was measured of it, and what is assumed until it is.

``NoiseGuess`` is what fronts go by (``nas/fronts/shrinkage.py``). ``seed_noise`` and ``measured`` are plain figures, by
raw means, that decide when a search is stagnant and, in studies of earlier versions, who is trained again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from nas.fronts.geometry import Array
from nas.records import Repeat, TrialRecord

_DRAWS = 4000
_ASSUMED_WITHIN = 0.5
"""Standard deviation of the logarithm of the noise about that of the assumption."""
WORTH_REPEATING = 0.05
"""Probability of being on the front from which on a network counts as one that may be on it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A trained network, over all its seeds.

    Attributes:
        trial: That proposed it.
        accuracies: On the validation images, the trial's own first.
        standard_error: Standard deviation of what the true accuracy may be.
        probability: Of being on the front of the true means.
        shrunk: Expected true accuracy, on new images and over all seeds.
    """

    trial: TrialRecord
    accuracies: tuple[float, ...]
    standard_error: float
    probability: float
    shrunk: float

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
        further: Number of further trainings that it was measured on; 0 where it is assumed to be that of drawing the
            images.
        val_images: Number of validation images.
    """

    std: float
    further: int
    val_images: int

    @property
    def assumed(self) -> bool:
        """Whether no network was trained again."""
        return not self.further

    def __str__(self) -> str:
        """Say how much it is, and from where that is known."""
        measured = f"pooled from {self.further} further training{'s' * (self.further > 1)}"
        assumed = f"assumed: that of drawing {self.val_images:,} validation images; search.replicates measures it"
        return f"Noise of one training: ± {100 * self.std:.2f} % ({assumed if self.assumed else measured})."


@dataclass(frozen=True, slots=True)
class NoiseGuess:
    """What is known of the noise of one training.

    An assumption, log-normal and right within a factor of 1.6 two times in three, is multiplied by the likelihood of
    the further trainings (a scaled chi-squared distribution of their squares). So it goes for little once networks were
    trained again, and a few trainings that happen to agree are no certainty.

    Attributes:
        assumed: Standard deviation to expect before any network is trained twice, above zero.
        squares: Sum of the squared distances of trainings from the mean of their network.
        further: Number of further trainings.
    """

    assumed: float
    squares: float
    further: int

    @property
    def std(self) -> float:
        """Standard deviation to expect (the geometric mean of what is possible)."""
        low, high = self.range()
        logs = np.linspace(math.log(low), math.log(high), 500)
        density = self.log_density(np.exp(logs))
        weights = np.exp(density - density.max())
        away = float(weights @ (logs - math.log(self.assumed)) / weights.sum())
        return self.assumed * math.exp(away)

    def log_density(self, std: Array) -> Array:
        """Return the density of standard deviations, per logarithm, up to a constant."""
        away = np.log(std / self.assumed) / _ASSUMED_WITHIN
        density: Array = -0.5 * away**2 - self.further * np.log(std) - 0.5 * self.squares / std**2
        return density

    def range(self) -> tuple[float, float]:
        """Return standard deviations that the true one lies between, all but certainly."""
        far = math.exp(5 * _ASSUMED_WITHIN)
        seen = math.sqrt(self.squares / self.further) if self.further else 0.0
        return self.assumed / far, max(self.assumed * far, 3 * seen)


def mean(accuracies: Sequence[float]) -> float:
    """Return the mean of a network's accuracies; of a single one, itself to the bit."""
    return float(np.mean(accuracies)) if len(accuracies) > 1 else float(accuracies[0])


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
    """Return every trained network by its raw mean over seeds, cheapest first.

    So earlier versions chose the networks to train again (``search.repeat_by: raw``).

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
        Measured(trial, values, float(error), float(chance), mean(values))
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
    further = sum(len(values) - 1 for values in accuracies)
    if further:
        squares = sum(float(np.var(values)) * len(values) for values in accuracies if len(values) > 1)
        std = math.sqrt(squares / further)
    else:
        std = binomial_error([values[0] for values in accuracies], val_images=val_images)
    return Noise(max(std, least_error(val_images)), further, val_images)


def binomial_error(accuracies: Sequence[float], *, val_images: int) -> float:
    """Return the standard deviation that drawing the images gives to the median accuracy."""
    share = float(np.median(accuracies)) if accuracies else 0.5
    return math.sqrt(share * (1 - share) / val_images)


def least_error(val_images: int) -> float:
    """Return the standard deviation that counting whole images leaves."""
    return 1 / (val_images * math.sqrt(12))


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
    return chances_of(costs, means + errors * np.random.default_rng(0).standard_normal((_DRAWS, len(means))))


def chances_of(costs: Array, drawn: Array) -> Array:
    """Return in which share of draws no other point of at most its cost is as accurate, for each point.

    Args:
        costs: Of shape (points,), rising.
        drawn: Accuracies, (draws, points).
    """
    shares: Array = times_on_front(costs, drawn) / len(drawn)
    return shares


def times_on_front(costs: Array, drawn: Array) -> npt.NDArray[np.int64]:
    """Return in how many draws no other point of at most its cost is as accurate, for each point; as ``chances_of``."""
    new = np.diff(costs, prepend=-np.inf) > 0
    starts = np.flatnonzero(new)  # of points that cost the same
    ends = np.append(starts[1:], len(costs))
    best = np.maximum.accumulate(drawn, axis=1)
    risen = np.ones((len(drawn), len(starts)), np.bool_)
    risen[:, 1:] = best[:, ends[1:] - 1] > best[:, starts[1:] - 1]
    draws, groups = np.nonzero(risen)
    sizes = (ends - starts)[groups]
    points = np.arange(sizes.sum()) + np.repeat(starts[groups] - np.cumsum(sizes) + sizes, sizes)
    draws, highest = np.repeat(draws, sizes), np.repeat(best[draws, ends[groups] - 1], sizes)
    times: npt.NDArray[np.int64] = np.bincount(points[drawn[draws, points] == highest], minlength=len(costs))
    return times
