"""What a leader wants to be trained besides proposals: paused trainings that go on, and networks once more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nas.config.search import Replicates
from nas.fronts.halving import goes_on, promotable
from nas.fronts.noise import WORTH_REPEATING, Measured, measured
from nas.records import Epoch, Repeat, TrialRecord
from nas.search.storage.reading import read_judgement
from nas.search.study import Study
from nas.training.loop import trial_seed


class Rungs:
    """How a study halves: which trainings pause, and which go on."""

    def __init__(self, study: Study) -> None:
        """Keep the study."""
        self._store, self._halving = study.store, study.config.search.halving
        self.epochs = study.config.recipe.total_epochs(len(study.dataset.train))
        self.all = () if self._halving is None else self._halving.rungs(self.epochs)

    def left(self, trial: TrialRecord) -> tuple[int, ...]:
        """Return the rungs that a trial has not been let pass."""
        return tuple(rung for rung in self.all if rung > (trial.epochs or 0))

    def goes_on(self, trial: TrialRecord, epoch: Epoch) -> bool:
        """Tell whether a trial goes on after an epoch."""
        if self._halving is None or epoch.epoch not in self.left(trial):
            return True
        return goes_on(self._store.reached(self.all), trial.number, factor=self._halving.factor)

    def promotable(self) -> int | None:
        """Return the number of the paused trial that should go on next; None where there is none."""
        if self._halving is None:
            return None
        return promotable(self._store.reached(self.all), factor=self._halving.factor)

    def partial_accuracies(self) -> dict[int, dict[float, float]]:
        """Return the accuracies of the study's trials at rungs and at the end, by the share of the training."""
        shares = [rung / self.epochs for rung in self.all]
        found = {t.number: dict(zip(shares, t.accuracies, strict=False)) for t in self._store.reached(self.all)}
        for trial in self._store.trials():
            if trial.state == "trained" and trial.accuracy is not None:
                found.setdefault(trial.number, {})[1.0] = trial.accuracy
        return found


class WantedRepeat(NamedTuple):
    """A further training that a study asks for, counted from 1, and its seed."""

    trial: TrialRecord
    repeat: int
    seed: int


def next_repeat(study: Study) -> WantedRepeat | None:
    """Return the further training that a study asks for first; None where all were made or are being made."""
    search, store = study.config.search, study.store
    if search.replicates is None:
        return None
    wanted = wanted_repeats(search.replicates, store.trials(), store.repeats(), _networks(study, search.replicates))
    if not wanted:
        return None
    trial, repeat = wanted[0]
    return WantedRepeat(trial, repeat, trial_seed(search.seed, trial.digest, repeat))


def _networks(study: Study, asked: Replicates) -> list[Measured]:
    """Return a study's trained networks, cheapest first, as its way of choosing among them has it."""
    if study.config.search.repeat_by == "raw" or asked.of == "spread":  # by FLOPs, whatever they are worth
        store = study.store
        return measured(store.trials(), store.repeats(), val_images=len(study.dataset.validation))
    judged = read_judgement(study.store, metric=study.config.recipe.metric).networks
    return sorted((one.network for one in judged), key=lambda network: (network.trial.flops, network.trial.number))


def wanted_repeats(
    asked: Replicates, trials: Sequence[TrialRecord], repeats: Sequence[Repeat], networks: Sequence[Measured]
) -> list[tuple[TrialRecord, int]]:
    """Return the further trainings that a study asks for and that nobody has begun, the most wanted first.

    Networks with a further training keep their place among the ``asked.networks``, so no more than that get any.

    Args:
        asked: What the study asks for.
        trials: Of the study.
        repeats: Of the study.
        networks: That were trained, cheapest first.
    """
    digests = {trial.number: trial.digest for trial in trials}
    begun = {(digests[repeat.number], repeat.repeat) for repeat in repeats}
    known, places = _candidates(asked, networks, repeats), {digest for digest, _ in begun}
    new = [network.trial.digest for network in known if network.trial.digest not in places]
    places |= set(new[: max(0, asked.networks - len(places))])
    return [
        (network.trial, repeat)
        for repeat in range(1, asked.seeds)
        for network in known
        if network.trial.digest in places and (network.trial.digest, repeat) not in begun
    ]


def _candidates(asked: Replicates, known: Sequence[Measured], repeats: Sequence[Repeat]) -> list[Measured]:
    if asked.of == "front":
        likely = [network for network in known if network.probability >= WORTH_REPEATING]
        return sorted(likely, key=lambda network: -network.probability)
    begun = {repeat.number for repeat in repeats}
    spread = _spread(known, asked.networks)
    return [*spread, *(network for network in known if network.trial.number in begun and network not in spread)]


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
