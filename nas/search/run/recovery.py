"""What an earlier search left undone, put right: by whoever leads, when it begins and now and then."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from nas.search.run.lease import Lease
from nas.search.storage.earlier import adopt_trainings
from nas.search.storage.optuna_study import add_copies, tell
from nas.search.storage.store import Store
from nas.search.storage.trainings import Trainings


def recover(study: optuna.Study, store: Store, trainings: Trainings, lease: Lease) -> None:
    """Let trainings of processes that are gone be wanted again, and tell Optuna what it was not told."""
    adopt_trainings(store.database.engine, store.study)
    release_gone(trainings, lease)
    reconcile(study, store)


def release_gone(trainings: Trainings, lease: Lease) -> None:
    """Give back what processes have taken that are gone."""
    for owner in trainings.owners():
        if owner == lease.holder or lease.is_gone(owner):
            trainings.release(owner)
            if owner != lease.holder:
                lease.forget(owner)


def reconcile(study: optuna.Study, store: Store) -> None:
    """Tell Optuna what became of trials that it thinks to be running, and end those that were never written here."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    records = {record.number: record for record in store.trials()} if running else {}
    for trial in running:
        record = records.get(trial.number)
        if record is None or (record.state == "interrupted" and store.reserved(record.digest) != record.number):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        else:
            tell(study, record, record if record.repeat_of is None else records[record.repeat_of])
    add_copies(study, records.values() if records else store.trials())
