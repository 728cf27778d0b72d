"""What an earlier search left undone, put right: by whoever leads, when it begins and now and then."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from nas.records import UNFINISHED
from nas.search.run.lease import Lease
from nas.search.storage.earlier import adopt_trainings
from nas.search.storage.optuna_study import add_copies, copied
from nas.search.storage.store import Store
from nas.search.storage.telling import tell
from nas.search.storage.trainings import Trainings


def recover(study: optuna.Study, store: Store, trainings: Trainings, lease: Lease) -> None:
    """Let trainings of processes that are gone be wanted again, and tell Optuna what it was not told."""
    adopt_trainings(store.database.engine, store.study)
    release_gone(trainings, lease)
    end_unwritten(study, store)
    reconcile(study, store)


def release_gone(trainings: Trainings, lease: Lease) -> None:
    """Give back what processes have taken that are gone."""
    for owner in trainings.owners() - {lease.holder}:
        if lease.is_gone(owner):
            trainings.release(owner)
            lease.forget(owner)


def end_unwritten(study: optuna.Study, store: Store) -> None:
    """End what Optuna thinks to be running and nobody will train: it was never written here, or is another's.

    Whoever calls this makes no proposal at the moment, and is the only one who may.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    records = {record.number: record for record in store.trials([trial.number for trial in running])}
    for trial in running:
        record = records.get(trial.number)
        if record is None or (record.state == "interrupted" and store.reserved(record.digest) != record.number):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def reconcile(study: optuna.Study, store: Store) -> None:
    """Tell Optuna what became of trials that it thinks to be running or paused."""
    trials, states = study.get_trials(deepcopy=False), store.states()
    ended = [
        trial.number
        for trial in trials
        if trial.state is TrialState.RUNNING and states.get(trial.number, UNFINISHED[0]) not in UNFINISHED
    ]
    paused = {trial.number for trial in trials if trial.state is TrialState.PRUNED} - copied(trials)
    went_on = [number for number in paused if states.get(number) == "trained"]
    records = store.trials([*ended, *went_on])
    with store.database.engine.begin() as connection:
        for record in records:
            tell(connection, store.study, record)
    add_copies(study, records)
