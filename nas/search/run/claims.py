"""What a search does besides proposing: paused trainings that go on, and networks that are trained once more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import optuna

from nas.config.search import Replicates
from nas.errors import StudyError
from nas.fronts.halving import promotable
from nas.fronts.noise import WORTH_REPEATING, Measured, measured
from nas.processes.owners import process_identity
from nas.records import Repeat, TrialRecord
from nas.search.run.trainer import Trainer
from nas.search.storage.optuna_study import add_copies
from nas.search.storage.reading import read_judgement
from nas.search.storage.store import Store
from nas.search.study import Study
from nas.training.loop import trial_seed


def claim_paused(study: Study, *, rungs: tuple[int, ...]) -> TrialRecord | None:
    """Take the paused trial that should go on next; None where there is none.

    Args:
        study: That is searched.
        rungs: Epochs after which trainings may pause.
    """
    halving, store = study.config.search.halving, study.store
    if halving is None:
        return None
    while (number := promotable(store.reached(rungs), factor=halving.factor)) is not None:
        if store.claim(number, process_identity()):  # else another worker was faster
            return store.trial(number)
    return None


def go_on(trial: TrialRecord, optuna_study: optuna.Study, store: Store, trainer: Trainer) -> TrialRecord:
    """Train a paused trial further, and return what became of it.

    Raises:
        StudyError: Checkpoint or weights cannot be written; the trial waits again.
    """

    def work() -> TrialRecord:
        twin = store.known(trial.digest, before=trial.number)  # two workers had proposed it at the same moment
        if twin is not None:
            return replace(trial, state="repeated", accuracy=twin.accuracy, repeat_of=twin.number)
        return trainer.train(trial, store.architecture(trial.digest))

    try:
        record = trainer.conclude(trial, work, give_up=lambda: store.wait_again(trial.number, process_identity()))
    except StudyError:
        raise
    except Exception:
        return store.trial(trial.number)
    add_copies(optuna_study, [record])
    return record


def claim_repeat(study: Study) -> tuple[TrialRecord, Repeat] | None:
    """Take a further training that the study asks for; None where all were made or are being made."""
    search, store = study.config.search, study.store
    if search.replicates is None:
        return None
    while wanted := wanted_repeats(search.replicates, store.trials(), store.repeats(), _networks(study)):
        trial, repeat = wanted[0]
        seed = trial_seed(search.seed, trial.digest, repeat)
        if store.claim_repeat(trial.number, repeat, seed=seed, owner=process_identity()):
            return trial, Repeat(trial.number, repeat, seed=seed)
    return None


def _networks(study: Study) -> list[Measured]:
    """Return a study's trained networks, cheapest first, as its way of choosing among them has it."""
    if study.config.search.repeat_by == "raw":
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
