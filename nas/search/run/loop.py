"""What a process does for a study: it proposes, trains, lets paused trainings go on, and trains some once more."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import optuna
from optuna.trial import TrialState

from nas.errors import NasError
from nas.models.device import resolve_device
from nas.search.proposals import Networks, distributions
from nas.search.run.claims import claim_paused, claim_repeat, go_on
from nas.search.run.events import Event, NothingLeft, RepeatFinished, Stagnant, TimeIsUp, TrialFinished
from nas.search.run.limits import Limits
from nas.search.run.objective import Objective
from nas.search.run.trainer import Trainer
from nas.search.samplers import make_sampler
from nas.search.storage.optuna_study import PROMOTED, was_interrupted
from nas.search.storage.reading import stagnation
from nas.search.storage.store import Store
from nas.search.study import Study

FAILURES_IN_A_ROW = 3
"""A search stops after so many: the next would fail too."""


def run_trials(
    study: Study,
    *,
    tickets: Iterable[object],
    device: str,
    limits: Limits,
    on_event: Callable[[Event], None] | None,
) -> None:
    """Run one trial per ticket in this process.

    Raises:
        NasError: Several trials in a row failed.
        StudyError: What a trial made cannot be written.
    """
    emit, store, search = on_event or (lambda event: None), study.store, study.config.search
    trainer = Trainer(study, device=resolve_device(device), emit=emit)
    networks = Networks(study.config, study.dataset)
    everything = networks.all_allowed(distributions(search)) if search.sampler == "pareto" else None
    sampler = make_sampler(search, networks, partial=trainer.partial_accuracies if trainer.rungs else None)
    optuna_study = study.optuna(sampler)
    networks.remember(optuna_study.get_trials(deepcopy=False), {trial.number: trial for trial in store.trials()})
    objective = Objective(study, trainer)
    waiting = iter(tickets)
    while not limits.time_is_up():
        paused = claim_paused(study, rungs=trainer.rungs)
        if paused is not None:
            emit(TrialFinished(go_on(paused, optuna_study, store, trainer), went_on=True))
        elif everything is not None and everything <= store.proposed():
            emit(NothingLeft(len(everything)))
            break
        elif limits.until_stagnant and (reason := _stagnation(study, optuna_study)) is not None:
            emit(Stagnant(reason))
            break
        elif next(waiting, None) is None:
            break
        else:
            _propose(optuna_study, objective, store, emit)
    _repeat_trainings(study, trainer, emit, limits)


def _stagnation(study: Study, optuna_study: optuna.Study) -> str | None:
    return stagnation(study.store, optuna_study, startup_trials=study.config.search.startup_trials)


def _repeat_trainings(study: Study, trainer: Trainer, emit: Callable[[Event], None], limits: Limits) -> None:
    """Make the further trainings that a study asks for."""
    failures = 0
    while not limits.time_is_up():
        claimed = claim_repeat(study)
        if claimed is None:
            return
        trial, repeat = claimed
        done = trainer.repeat(trial, study.store.architecture(trial.digest), repeat)
        emit(RepeatFinished(trial, done))
        failures = failures + 1 if done.state == "failed" else 0
        if failures == FAILURES_IN_A_ROW:
            raise NasError(f"{failures} further trainings in a row failed, the last with: {done.error}")
    emit(TimeIsUp(f"time is up after {limits.hours:g} h: nothing new is started"))


def _propose(study: optuna.Study, objective: Objective, store: Store, emit: Callable[[Event], None]) -> None:
    study.optimize(objective, n_trials=1, catch=(Exception,))
    if objective.stopped is not None:
        raise objective.stopped
    if objective.finished is not None:
        emit(TrialFinished(objective.finished))  # only now: what a listener raises cannot undo the trial
    trials = [trial for trial in study.get_trials(deepcopy=False) if PROMOTED not in trial.user_attrs]
    last = trials[-FAILURES_IN_A_ROW:]
    if len(last) == FAILURES_IN_A_ROW and all(t.state is TrialState.FAIL and not was_interrupted(t) for t in last):
        errors = {record.number: record.error for record in store.trials()}
        raise NasError(f"{FAILURES_IN_A_ROW} trials in a row failed, the last with: {errors[last[-1].number]}")
