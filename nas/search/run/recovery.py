"""What a search left undone when its process was killed, put right before the next one begins."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

from nas.processes.owners import process_is_gone
from nas.records import TrialRecord
from nas.search.storage.optuna_study import add_copies, note_error
from nas.search.storage.owned_trials import owner_is_gone
from nas.search.storage.store import Store


def release_abandoned(study: optuna.Study, store: Store) -> None:
    """End the trials of processes that are no more, so that others take their place, and let paused ones wait again."""
    gone = [trial for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if owner_is_gone(trial)]
    records = {record.number: record for record in store.trials()}  # now: what others begin from here on is not meant
    for trial in gone:
        _tell(study, trial, records)
    running = {trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}
    going_on, repeating = store.owners()
    for number, record in records.items():
        if record.state == "running" and number not in running | going_on.keys():
            store.interrupt(number)
    for number, owner in going_on.items():
        if process_is_gone(owner):
            store.wait_again(number, owner)
    for (number, repeat), owner in repeating.items():
        if process_is_gone(owner):
            store.release_repeat(number, repeat)
    add_copies(study, records.values())


def _tell(study: optuna.Study, trial: FrozenTrial, records: dict[int, TrialRecord]) -> None:
    """Tell Optuna what became of a trial that was killed: it may have ended, and only that not have been told."""
    record = records.get(trial.number)
    if record is None or record.state == "running":
        study.tell(trial.number, state=TrialState.FAIL)
    elif record.state in ("failed", "diverged"):
        note_error(study, trial, record.error)
        study.tell(trial.number, state=TrialState.FAIL)
    else:
        trained = record if record.repeat_of is None else records[record.repeat_of]
        if trained.state == "trained" and trained.accuracy is not None:
            study.tell(trial.number, [trained.accuracy, float(record.flops)])
        else:
            study.tell(trial.number, state=TrialState.PRUNED)
