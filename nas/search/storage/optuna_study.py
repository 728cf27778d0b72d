"""A study as Optuna keeps it: what our attributes on its trials mean, and how they are written."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as Outcome

from nas.records import TrialRecord
from nas.search.storage.database import Database

ERROR = "nas:error"
"""User attribute of a trial that failed by itself; a failed one without it was interrupted."""
ENDED = "nas:ended"
"""User attribute of a trial that was trained: when that ended, in seconds since the epoch, whatever the clock shows."""
PROMOTED = "nas:promoted"
"""User attribute of a copy, made when a paused trial was trained to the end: that trial's number."""

METRICS = ["validation accuracy", "FLOPs"]
"""The two objectives, as people read them."""


def note_constraints(study: optuna.Study, number: int, violations: Mapping[str, float]) -> None:
    """Write by how much a running trial violates bounds; at most 0 is within them."""
    storage = study._storage
    identity = storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
    with suppress(UpdateFinishedTrialError):  # another has ended it
        for key, violation in violations.items():
            storage.set_trial_system_attr(identity, f"{_CONSTRAINTS_KEY}:{key}", violation)


def was_interrupted(trial: FrozenTrial) -> bool:
    """Tell whether a trial ended without a result and without a fault of its own."""
    return trial.state is Outcome.FAIL and ERROR not in trial.user_attrs


def counts_for_nothing(trial: FrozenTrial) -> bool:
    """Tell whether a trial of Optuna's stands for no proposal of its own."""
    return was_interrupted(trial) or PROMOTED in trial.user_attrs


def open_optuna_study(
    database: Database, name: str, *, sampler: optuna.samplers.BaseSampler | None = None
) -> optuna.Study:
    """Open or create the Optuna study: accuracy up, FLOPs down; without a sampler, to look at it.

    Raises:
        StudyError: The database was written by a version of Optuna that this one cannot read.
    """
    try:
        return optuna.load_study(study_name=name, storage=database.optunas, sampler=sampler)  # which writes nothing
    except KeyError:
        pass
    study = optuna.create_study(
        study_name=name,
        storage=database.optunas,
        directions=["maximize", "minimize"],
        sampler=sampler,
        load_if_exists=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(METRICS)  # for optuna-dashboard; studies of earlier versions have none
    return study


def add_copies(study: optuna.Study, records: Iterable[TrialRecord]) -> None:
    """Add to Optuna's study what was trained to the end after it had paused.

    Optuna's trials are immutable once they ended, so each is added once more, as one that is complete.
    """
    trials = study.get_trials(deepcopy=False)
    known = copied(trials)
    for record in records:
        paused = trials[record.number]
        if record.state == "trained" and paused.state is Outcome.PRUNED and record.number not in known:
            study.add_trial(complete_copy(paused, [record.accuracy or 0.0, float(record.flops)]))


def copied(trials: Iterable[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials that were added once more."""
    return {trial.user_attrs[PROMOTED] for trial in trials if PROMOTED in trial.user_attrs}


def complete_copy(paused: FrozenTrial, values: Sequence[float]) -> FrozenTrial:
    """Return a trial that stands for one that was pruned and has values since."""
    return optuna.trial.create_trial(
        params=paused.params,
        distributions=paused.distributions,
        values=values,
        user_attrs={PROMOTED: paused.number, ENDED: time.time()},
        system_attrs=paused.system_attrs,
    )
