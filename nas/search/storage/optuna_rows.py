"""Optuna's rows, read by plain SQL: its storage makes objects of every one, which takes ten times as long."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection

_TABLES = models.BaseModel.metadata.tables
_STUDIES, _TRIALS, _ATTRIBUTES = _TABLES["studies"], _TABLES["trials"], _TABLES["trial_user_attributes"]


class TrialEnd(NamedTuple):
    """What tells when a trial ended.

    Attributes:
        number: Of the trial.
        complete: When Optuna says, in local time; None where it has not ended.
        attributes: Those that were asked for.
    """

    number: int
    complete: datetime | None
    attributes: dict[str, Any]


class QuickStorage(RDBStorage):
    """Optuna's storage, which reads all trials of a study in a tenth of the time."""

    def share(self, engine: sa.Engine) -> None:
        """Use the connections of another engine to the same database."""
        self.remove_session()
        self.engine.dispose()
        self.engine = engine
        self.scoped_session.configure(bind=engine)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        if states is not None or trial_id_greater_than > -1:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        with self.engine.connect() as connection:
            return read_trials(connection, study_id)


def read_ends(connection: Connection, study: str, attributes: tuple[str, ...]) -> list[TrialEnd]:
    """Return when the trials of a study ended, in the order of their numbers.

    Args:
        connection: To the database.
        study: Name of the study.
        attributes: User attributes to return beside.
    """
    of_study = (
        _TRIALS.c.study_id == sa.select(_STUDIES.c.study_id).where(_STUDIES.c.study_name == study).scalar_subquery()
    )
    asked = sa.and_(_ATTRIBUTES.c.trial_id == _TRIALS.c.trial_id, _ATTRIBUTES.c.key.in_(attributes))
    columns = (_TRIALS.c.number, _TRIALS.c.datetime_complete, _ATTRIBUTES.c.key, _ATTRIBUTES.c.value_json)
    rows = sa.select(*columns).join_from(_TRIALS, _ATTRIBUTES, asked, isouter=True).where(of_study)
    found = dict[int, TrialEnd]()
    for number, complete, key, value in connection.execute(rows.order_by(_TRIALS.c.number)):
        end = found.setdefault(number, TrialEnd(number, complete, {}))
        if key is not None:
            end.attributes[key] = json.loads(value)
    return list(found.values())


def read_trials(connection: Connection, study_id: int) -> list[FrozenTrial]:
    """Return all trials of a study as Optuna's storage does, by the order in which they began.

    Those of a running trial may be of a later moment than the trial.
    """
    of_study = sa.select(_TRIALS).where(_TRIALS.c.study_id == study_id).order_by(_TRIALS.c.trial_id)
    trials = connection.execute(of_study).all()
    values = _by_trial(connection, study_id, "trial_values", "objective", "value", "value_type")
    params = _by_trial(connection, study_id, "trial_params", "param_name", "param_value", "distribution_json")
    user = _by_trial(connection, study_id, "trial_user_attributes", "key", "value_json")
    system = _by_trial(connection, study_id, "trial_system_attributes", "key", "value_json")
    intermediate = _by_trial(
        connection,
        study_id,
        "trial_intermediate_values",
        *("step", "intermediate_value", "intermediate_value_type"),
    )
    to_value = models.TrialValueModel.stored_repr_to_value
    to_intermediate = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
    found = list[FrozenTrial]()
    for trial in trials:
        key, ranges = trial.trial_id, {row[0]: _distribution(row[2]) for row in params[trial.trial_id]}
        found.append(
            FrozenTrial(
                number=trial.number,
                state=trial.state,
                value=None,
                values=[to_value(*row[1:]) for row in sorted(values[key])] if values[key] else None,
                datetime_start=trial.datetime_start,
                datetime_complete=trial.datetime_complete,
                params={row[0]: ranges[row[0]].to_external_repr(row[1]) for row in params[key]},
                distributions=ranges,
                user_attrs={row[0]: json.loads(row[1]) for row in user[key]},
                system_attrs={row[0]: json.loads(row[1]) for row in system[key]},
                intermediate_values={row[0]: to_intermediate(*row[1:]) for row in intermediate[key]},
                trial_id=key,
            )
        )
    return found


def _by_trial(connection: Connection, study_id: int, table: str, *names: str) -> dict[int, list[Any]]:
    """Return the rows of a table by their trial, in the order in which they were written."""
    rows, found = _TABLES[table], defaultdict[int, list[Any]](list)
    (key,) = rows.primary_key
    query = sa.select(rows.c.trial_id, *(rows.c[name] for name in names)).join_from(rows, _TRIALS)
    for trial_id, *values in connection.execute(query.where(_TRIALS.c.study_id == study_id).order_by(key)):
        found[trial_id].append(values)
    return found


@lru_cache(maxsize=1000)
def _distribution(text: str) -> BaseDistribution:
    """Return a distribution; the trials of a study share theirs, and nobody changes them."""
    return json_to_distribution(text)
