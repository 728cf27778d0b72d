"""What a search does besides proposing: paused trainings that go on, and networks that are trained once more."""

from __future__ import annotations

from dataclasses import replace

import optuna

from nas.config.study import StudyConfig
from nas.errors import StudyError
from nas.processes.owners import process_identity
from nas.records import Repeat, TrialRecord
from nas.search.abandoned import add_copies
from nas.search.halving import promotable
from nas.search.noise import wanted_repeats
from nas.search.store import Store
from nas.search.trainer import Trainer
from nas.training.loop import trial_seed


def claim_paused(config: StudyConfig, store: Store, *, rungs: tuple[int, ...]) -> TrialRecord | None:
    """Take the paused trial that should go on next; None where there is none.

    Args:
        config: Of the study.
        store: Of the study.
        rungs: Epochs after which trainings may pause.
    """
    if config.search.halving is None:
        return None
    while (number := promotable(store.reached(rungs), factor=config.search.halving.factor)) is not None:
        if store.claim(number, process_identity()):  # else another worker was faster
            return store.trial(number)
    return None


def go_on(trial: TrialRecord, study: optuna.Study, store: Store, trainer: Trainer) -> TrialRecord:
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
    add_copies(study, [record])
    return record


def claim_repeat(config: StudyConfig, store: Store, *, val_images: int) -> tuple[TrialRecord, Repeat] | None:
    """Take a further training that the study asks for; None where all were made or are being made.

    Args:
        config: Of the study.
        store: Of the study.
        val_images: Number of validation images.
    """
    asked = config.search.replicates
    if asked is None:
        return None
    while wanted := wanted_repeats(asked, store.trials(), store.repeats(), val_images=val_images):
        trial, repeat = wanted[0]
        seed = trial_seed(config.search.seed, trial.digest, repeat)
        if store.claim_repeat(trial.number, repeat, seed=seed, owner=process_identity()):
            return trial, Repeat(trial.number, repeat, seed=seed)
    return None
