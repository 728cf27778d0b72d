"""The networks of a study and what is known of each: accuracies, what they are expected to be worth, and the front."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nas.fronts.geometry import Array
from nas.fronts.images import image_noise, sampling_error, shares
from nas.fronts.noise import Measured, Noise, NoiseGuess, binomial_error, least_error, over_seeds
from nas.fronts.posterior import ImageNoise, Posterior, Trainings
from nas.fronts.shrinkage import expected, fitted, front_chances, front_places, shrink
from nas.records import ClassNumbers, Metric, Repeat, TrialRecord

_SURE = 0.977
"""Probability that something lies less than two standard deviations above its mean."""

Answers = Mapping[tuple[int, int], ClassNumbers]
"""Which class a training's network gave to each validation image, by trial and repeat."""


class Judged(NamedTuple):
    """A network and its place.

    Attributes:
        network: What was measured of it, and what is expected.
        on_front: Whether it is on the front of the expected accuracies.
        before: Number of the trial before it on that front; None for the first.
        near: Whether it is not sure which of the two is more accurate.
    """

    network: Measured
    on_front: bool
    before: int | None
    near: bool


class Model(NamedTuple):
    """What is given to the model of ``nas/fronts/shrinkage.py``."""

    known: Mapping[TrialRecord, tuple[float, ...]]
    networks: tuple[Trainings, ...]
    guess: NoiseGuess
    images: ImageNoise

    def posterior(self) -> Posterior:
        """Return what the trainings leave possible; the networks are in the order of ``known``."""
        return fitted(self.networks, self.guess, self.images)


class Judgement(NamedTuple):
    """What is known of all networks of a study.

    Attributes:
        networks: By FLOPs and, of equals, the most accurate first.
        noise: Of one training.
        model: What they were judged by.
    """

    networks: tuple[Judged, ...]
    noise: Noise
    model: Model

    @property
    def front(self) -> list[TrialRecord]:
        """The front, cheapest first."""
        return [judged.network.trial for judged in self.networks if judged.on_front]

    def near(self, pairs: Sequence[tuple[int, int]]) -> list[bool]:
        """Tell of pairs of networks, by the numbers of their trials, whether each is within noise.

        It is where it is not sure, to two standard deviations of the difference, which of the two is more accurate.
        """
        if not pairs:
            return []
        places = {trial.number: index for index, trial in enumerate(self.model.known)}
        first, second = (np.array([places[pair[side]] for pair in pairs]) for side in (0, 1))
        return [_unsure(chance) for chance in self.model.posterior().above(first, second)]

    def over(self, costs: Mapping[int, float]) -> Judgement:
        """Return the front over another cost than FLOPs: what accuracies are expected to be stays as it is.

        Args:
            costs: By the numbers of trials; networks without one are left out.
        """
        listed = [one.network for one in self.networks if one.network.trial.number in costs]
        if not listed:
            return self._replace(networks=())
        order = [network.trial.number for network in listed]
        values, means = np.array([costs[number] for number in order]), np.array([one.shrunk for one in listed])
        before, on_front = front_places(values, means)
        known = np.array([costs.get(trial.number, np.nan) for trial in self.model.known])
        chances = dict(zip(self.model.known, front_chances(self.model.posterior(), known), strict=True))
        pairs = [(order[index], order[other]) for index, other in enumerate(before.tolist()) if other >= 0]
        near = dict(zip(pairs, self.near(pairs), strict=True))
        judged = [
            Judged(
                replace(network, probability=float(chances[network.trial])),
                on_front=bool(on_front[index]),
                before=None if before[index] < 0 else (other := order[before[index]]),
                near=before[index] >= 0 and near[order[index], other],
            )
            for index, network in enumerate(listed)
        ]
        judged.sort(key=lambda one: (costs[one.network.trial.number], -one.network.shrunk, one.network.trial.number))
        return self._replace(networks=tuple(judged))


def judge(
    trials: Sequence[TrialRecord],
    repeats: Sequence[Repeat],
    *,
    val_images: int,
    answers: Answers | None = None,
    labels: ClassNumbers | None = None,
    metric: Metric = "accuracy",
) -> Judgement:
    """Judge every trained network of a study by all its trainings.

    Args:
        trials: Of a study.
        repeats: Of the study.
        val_images: Number of validation images.
        answers: Of its trainings; those of networks that were trained from several seeds are enough.
        labels: Of the validation images; None where they are not known.
        metric: By which the networks were compared.
    """
    model = _model(trials, repeats, val_images=val_images, answers=answers, labels=labels, metric=metric)
    known, guess, found = model.known, model.guess, shrink(model.networks, model.guess, model.images)
    listed = list(known)
    judged = [
        Judged(
            Measured(
                trial,
                known[trial],
                standard_error=float(found.errors[index]),
                probability=float(found.chances[index]),
                shrunk=float(found.means[index]),
            ),
            on_front=bool(found.on_front[index]),
            before=listed[before].number if (before := int(found.before[index])) >= 0 else None,
            near=before >= 0 and _unsure(found.better[index]),
        )
        for index, trial in enumerate(listed)
    ]
    judged.sort(key=lambda one: (one.network.trial.flops, -one.network.shrunk, one.network.trial.number))
    return Judgement(tuple(judged), Noise(guess.std, guess.further, val_images), model)


def best_expected(
    trials: Sequence[TrialRecord],
    repeats: Sequence[Repeat],
    *,
    val_images: int,
    answers: Answers | None = None,
    labels: ClassNumbers | None = None,
    metric: Metric = "accuracy",
) -> float | None:
    """Return the highest accuracy to expect of a network, as ``judge`` does in more time; None where there is none."""
    model = _model(trials, repeats, val_images=val_images, answers=answers, labels=labels, metric=metric)
    found = expected(model.networks, model.guess, model.images)
    return float(found.max()) if len(found) else None


def _model(
    trials: Sequence[TrialRecord],
    repeats: Sequence[Repeat],
    *,
    val_images: int,
    answers: Answers | None,
    labels: ClassNumbers | None,
    metric: Metric,
) -> Model:
    known = over_seeds(trials, repeats)
    given = {} if labels is None or answers is None else answers
    seen = {key: shares(given[key], labels, metric=metric) for key in given} if labels is not None else {}
    guess = guess_noise(known.values(), seen, val_images=val_images)
    networks = tuple(Trainings(trial.flops, trial.space, values) for trial, values in known.items())
    return Model(known, networks, guess, _image_noise(known, repeats, trials, seen))


def _unsure(chance: float) -> bool:
    """Tell whether it is not sure that a network is more accurate than another, nor that it is less."""
    return bool(1 - _SURE < chance < _SURE)


def guess_noise(
    accuracies: Collection[Sequence[float]], seen: Mapping[tuple[int, int], Array], *, val_images: int
) -> NoiseGuess:
    """Return what is known of the noise of one training, given those of each network.

    What is assumed until networks are trained again is the noise of drawing the validation images: of the answers that
    are known, the median, else that of an accuracy (binomial).
    """
    if seen:
        assumed = float(np.median([sampling_error(share) for share in seen.values()]))
    else:
        assumed = binomial_error([values[0] for values in accuracies], val_images=val_images)
    squares = sum(float(np.var(values)) * len(values) for values in accuracies if len(values) > 1)
    further = sum(len(values) - 1 for values in accuracies)
    return NoiseGuess(max(assumed, least_error(val_images)), squares, further)


def _image_noise(
    known: Mapping[TrialRecord, Sequence[float]],
    repeats: Sequence[Repeat],
    trials: Sequence[TrialRecord],
    seen: Mapping[tuple[int, int], Array],
) -> ImageNoise:
    digests = {trial.number: trial.digest for trial in trials}
    by_digest: dict[str, dict[int, Array]] = {}
    keys = [(trial.number, 0) for trial in known] + [(repeat.number, repeat.repeat) for repeat in repeats]
    for number, repeat in keys:
        if (number, repeat) in seen:
            by_digest.setdefault(digests[number], {})[repeat] = seen[number, repeat]
    trained_again = [
        (trial.space, list(by_digest[trial.digest].values()))
        for trial in known
        if len(by_digest.get(trial.digest, {})) > 1
    ]
    return image_noise(trained_again)
