"""What Optuna is told, by plain SQL: a transaction that writes of a trial in our tables writes it in Optuna's too.

Optuna's storage ends a transaction with each parameter and attribute, and each waits for the disk.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import Trial, TrialState
from sqlalchemy.engine import Connection

from nas.records import UNFINISHED, TrialRecord
from nas.search.storage.optuna_study import ENDED, ERROR
from nas.search.storage.schema import TRIAL

_TABLES = models.BaseModel.metadata.tables
_STUDIES, _TRIALS, _VALUES = _TABLES["studies"], _TABLES["trials"], _TABLES["trial_values"]
_PARAMS, _ATTRIBUTES = _TABLES["trial_params"], _TABLES["trial_user_attributes"]
_SYSTEM_ATTRIBUTES = _TABLES["trial_system_attributes"]


class Suggested:
    """What Optuna suggests for a trial and what bounds make of it, to be written as a whole."""

    def __init__(self, trial: Trial) -> None:
        """Stand for the trial's storage."""
        self._identity, self._attributes = trial._trial_id, dict[str, Any]()
        self._params = list[dict[str, Any]]()
        trial.storage = self  # type: ignore[assignment]

    def set_trial_param(self, identity: int, name: str, value: float, distribution: BaseDistribution) -> None:
        """Keep a parameter."""
        row = {"param_name": name, "param_value": value, "distribution_json": distribution_to_json(distribution)}
        self._params.append({"trial_id": identity, **row})

    def get_trial_system_attrs(self, identity: int) -> dict[str, Any]:
        """Return the attributes that were kept."""
        return self._attributes

    def set_trial_system_attr(self, identity: int, key: str, value: Any) -> None:
        """Keep an attribute."""
        self._attributes[key] = value

    def write(self, connection: Connection) -> None:
        """Write all that was kept."""
        attributes = [{"key": key, "value_json": json.dumps(value)} for key, value in self._attributes.items()]
        _insert(connection, _PARAMS, self._params)
        _insert(connection, _SYSTEM_ATTRIBUTES, [{"trial_id": self._identity, **row} for row in attributes])


def tell(connection: Connection, study: str, record: TrialRecord) -> None:
    """Write for Optuna what became of a trial, unless it knows; one that has not ended is not told.

    Args:
        connection: Within a transaction.
        study: Name of the study.
        record: Of the trial.
    """
    if record.state in UNFINISHED:
        return
    failed = record.state in ("failed", "diverged")
    values = None if failed else _values(connection, study, record)
    state = TrialState.FAIL if failed else TrialState.PRUNED if values is None else TrialState.COMPLETE
    if (identity := _end(connection, study, record.number, state)) is None:
        return
    noted = {ENDED: time.time(), **({ERROR: record.error} if failed else {})}
    connection.execute(_ATTRIBUTES.delete().where(_ATTRIBUTES.c.trial_id == identity, _ATTRIBUTES.c.key.in_(noted)))
    rows = [{"trial_id": identity, "key": key, "value_json": json.dumps(value)} for key, value in noted.items()]
    _insert(connection, _ATTRIBUTES, rows)
    row = {"trial_id": identity, "value_type": models.TrialValueModel.TrialValueType.FINITE}
    numbered = enumerate(values or ())
    _insert(connection, _VALUES, [{**row, "objective": objective, "value": value} for objective, value in numbered])


def _values(connection: Connection, study: str, record: TrialRecord) -> list[float] | None:
    """Return the objectives of a trial; None where its network, or the one that it repeats, has no accuracy."""
    state, accuracy = record.state, record.accuracy
    if record.repeat_of is not None:
        first = sa.and_(TRIAL.c.study == study, TRIAL.c.number == record.repeat_of)
        state, accuracy = connection.execute(sa.select(TRIAL.c.state, TRIAL.c.accuracy).where(first)).one()
    return [accuracy, float(record.flops)] if state == "trained" and accuracy is not None else None


def _end(connection: Connection, study: str, number: int, state: TrialState) -> int | None:
    """Let a trial have ended for Optuna; return its identity there, and None where it has ended before."""
    of_study = sa.select(_STUDIES.c.study_id).where(_STUDIES.c.study_name == study).scalar_subquery()
    found = sa.select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == of_study, _TRIALS.c.number == number)
    newest_first = found.order_by(_TRIALS.c.trial_id.desc()).limit(1)  # there is no index of the numbers
    identity: int = connection.execute(newest_first).scalar_one()
    running = sa.and_(_TRIALS.c.trial_id == identity, _TRIALS.c.state == TrialState.RUNNING)
    ended = _TRIALS.update().where(running).values(state=state, datetime_complete=datetime.now())
    return identity if connection.execute(ended).rowcount == 1 else None


def _insert(connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), rows)
