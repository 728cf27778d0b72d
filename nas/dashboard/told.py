"""A trial of a study as optuna-dashboard reads it.

It reads a trial's constraints from a list that Optuna 5 does not write any more, and calls infeasible only what is
complete and has values. So a network outside the budget, which has no accuracy, gets the worst values there are: minus
infinity and infinity, which no plot draws and every other trial beats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.records import Epoch, TrialRecord
from nas.search.storage.optuna_study import PROMOTED
from nas.units import format_count

CONSTRAINTS = "constraints"
"""System attribute from which optuna-dashboard 0.21 reads by how much each bound is missed."""
NO_RESULT = (-math.inf, math.inf)
"""Accuracy and FLOPs of a network that was not trained because it is outside the budget."""


def told_trial(trial: FrozenTrial, record: TrialRecord | None, curve: Sequence[Epoch] = ()) -> FrozenTrial:
    """Return a trial for optuna-dashboard.

    Args:
        trial: As Optuna has it. One that was added for a paused trial that went on has that one's record and curve.
        record: What our tables tell of it; None where they tell nothing.
        curve: Accuracies after each epoch, which become intermediate values.
    """
    infeasible = record is not None and record.state == "infeasible" and trial.state.is_finished()
    told = create_trial(
        state=TrialState.COMPLETE if infeasible else trial.state,
        values=list(NO_RESULT) if infeasible else trial.values,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values={epoch.epoch: epoch.val_accuracy for epoch in curve},
        user_attrs={} if record is None else attributes(trial, record),
        system_attrs={CONSTRAINTS: violations(trial, infeasible=infeasible)},
    )
    told.datetime_start, told.datetime_complete = trial.datetime_start, trial.datetime_complete
    return told


def violations(trial: FrozenTrial, *, infeasible: bool) -> list[float]:
    """Return by how much a trial misses each bound; at most 0 is within it."""
    found = [float(value) for _, value in sorted(trial.constraints.items())]
    return found if not infeasible or any(value > 0 for value in found) else [*found, 1.0]


def attributes(trial: FrozenTrial, record: TrialRecord) -> dict[str, Any]:
    """Return what a reader of the dashboard should see of a trial beside its parameters and values."""
    shown = {
        "outcome": outcome(trial, record),
        "network": record.digest,
        "FLOPs": format_count(record.flops),
        "parameters": record.params,
        "train seconds": record.train_seconds,
        "device": record.device,
    }
    return {key: value for key, value in shown.items() if value is not None}


def outcome(trial: FrozenTrial, record: TrialRecord) -> str:
    """Return what became of a trial, in words."""
    if (paused := trial.user_attrs.get(PROMOTED)) is not None:
        return f"trained to the end after a pause: goes on from trial {paused}"
    words: Mapping[str, str] = {
        "stopped": f"stopped by halving after epoch {record.epochs}; it may go on",
        "repeated": f"repeated: the same network as trial {record.repeat_of}, whose accuracy it has",
        "infeasible": f"infeasible, not trained: {record.error or 'outside the budget'}",
        "diverged": f"diverged: {record.error}",
        "failed": f"failed: {record.error}",
    }
    if trial.state is TrialState.PRUNED and record.state == "trained":
        return "stopped by halving, and went on later: see the trial that goes on from it"
    return words.get(record.state, record.state)
