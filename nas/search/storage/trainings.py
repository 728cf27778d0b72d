"""The trainings of a study: each that it wants is kept once, as who leads the study decides.

A row of ``nas_training`` stands for one network and repeat, so that its key reserves the network before it is trained.
Whoever makes a training takes it by ``storage/claims.py``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from nas.architecture.cost import Cost
from nas.architecture.serialization import architecture_to_json
from nas.architecture.spec import Architecture
from nas.errors import NasError
from nas.records import UNFINISHED, TrialRecord
from nas.search.storage.claims import Claims, Source, insert_if_new
from nas.search.storage.schema import LEAD, NETWORK, REPEAT, TRAINING, TRIAL
from nas.search.storage.telling import Suggested, tell


class NotLeading(NasError):
    """Another leads the study now: only that one proposes and decides."""


class Standing(NamedTuple):
    """How many proposals of a study have ended, and how many are still to be trained."""

    ended: int
    unfinished: int


class Trainings(Claims):
    """Also writes which trainings a study wants: only who leads it may."""

    def propose(
        self, record: TrialRecord, architecture: Architecture, cost: Cost, suggested: Suggested | None = None
    ) -> TrialRecord:
        """Write a trial that is proposed, for Optuna too, and reserve its network unless it is outside the budget.

        Args:
            record: Of the trial.
            architecture: Its network.
            cost: Of the network.
            suggested: What Optuna has suggested; None where it knows nothing of the trial.

        Returns:
            The trial as it was written: ``infeasible`` as given, ``repeated`` where the network is reserved, and else
            ``waiting``.

        Raises:
            NotLeading: Another proposes.
        """
        network = {
            "digest": record.digest,
            "architecture": architecture_to_json(architecture),
            "flops": cost.flops,
            "params": cost.params,
            "activations": cost.activations,
        }
        with self._engine.begin() as connection:
            self._require_lead(connection)
            if (before := self._written(connection, record)) is not None:  # and its answer was lost
                return before
            insert_if_new(connection, NETWORK, network)
            written = record if record.state == "infeasible" else self._reserve(connection, record)
            row = {key: value for key, value in asdict(written).items() if key in TRIAL.c}
            row["choices"] = json.dumps(dict(record.choices))
            connection.execute(TRIAL.insert().values(study=self.study, **row))
            if suggested is not None:
                suggested.write(connection)
                tell(connection, self.study, written)
        return written

    def _written(self, connection: sa.Connection, record: TrialRecord) -> TrialRecord | None:
        """Return a trial as the database has it; None where it has not."""
        columns = (TRIAL.c.state, TRIAL.c.repeat_of, TRIAL.c.accuracy, TRIAL.c.error)
        row = connection.execute(sa.select(*columns).where(self._trial(record.number))).mappings().one_or_none()
        return None if row is None else replace(record, **row)

    def _reserve(self, connection: sa.Connection, record: TrialRecord) -> TrialRecord:
        row = self._row(record.digest, 0, number=record.number, source="proposed")
        if insert_if_new(connection, TRAINING, row):
            return replace(record, state="waiting")
        key = self._is(record.digest, 0)
        again = TRAINING.update().where(key, TRAINING.c.state == "failed")
        again = again.values({name: row[name] for name in ("number", "source", "state", "left_off", "deaths")})
        if connection.execute(again).rowcount:  # it has failed, and may be tried once more
            return replace(record, state="waiting")
        number = connection.execute(sa.select(TRAINING.c.number).where(key)).scalar_one()
        accuracy = connection.execute(sa.select(TRIAL.c.accuracy).where(self._trial(number))).scalar_one()
        return replace(record, state="repeated", repeat_of=number, accuracy=accuracy)

    def promote(self, number: int) -> bool:
        """Want more of a trial that is paused; tell whether it was.

        Raises:
            NotLeading: Another decides.
        """
        paused = sa.and_(TRAINING.c.study == self.study, TRAINING.c.number == number, TRAINING.c.state == "paused")
        with self._engine.begin() as connection:
            self._require_lead(connection)
            wanted = TRAINING.update().where(paused).values(state="wanted", source="promoted", left_off=False)
            if connection.execute(wanted).rowcount != 1:
                return False
            connection.execute(TRIAL.update().where(self._trial(number)).values(state="waiting"))
            return True

    def want_repeat(self, trial: TrialRecord, repeat: int, *, seed: int) -> bool:
        """Want a further training of a trial's network; tell whether nobody did before.

        Raises:
            NotLeading: Another decides.
        """
        row = {"study": self.study, "number": trial.number, "repeat": repeat, "seed": seed, "state": "waiting"}
        with self._engine.begin() as connection:
            self._require_lead(connection)
            training = self._row(trial.digest, repeat, number=trial.number, source="repeat")
            new = insert_if_new(connection, TRAINING, training)
            return new and insert_if_new(connection, REPEAT, row)

    def require_lead(self) -> None:
        """Make sure that the owner leads the study.

        Raises:
            NotLeading: Another does.
        """
        with self._engine.begin() as connection:
            self._require_lead(connection)

    def _require_lead(self, connection: sa.Connection) -> None:
        mine = sa.and_(LEAD.c.study == self.study, LEAD.c.holder == self.owner)
        if connection.execute(LEAD.update().where(mine).values(holder=self.owner)).rowcount != 1:
            raise NotLeading(f"another search leads {self.study!r} now")

    def standing(self) -> Standing:
        """Return how many trials have ended and how many are still to be trained, all at one moment."""
        own = sa.and_(TRAINING.c.study == TRIAL.c.study, TRAINING.c.number == TRIAL.c.number, TRAINING.c.repeat == 0)
        reserved = sa.and_(TRAINING.c.number.is_not(None), TRAINING.c.state.in_(("wanted", "running")))
        ended = TRIAL.c.state.not_in(UNFINISHED)
        counts = [sa.func.count(sa.case((one, 1))) for one in (ended, sa.and_(~ended, reserved))]
        query = sa.select(*counts).select_from(TRIAL).outerjoin(TRAINING, own).where(TRIAL.c.study == self.study)
        with self._engine.connect() as connection:
            row = connection.execute(query).one()
        return Standing(row[0], row[1])

    def _row(self, digest: str, repeat: int, *, number: int, source: Source) -> dict[str, Any]:
        key = {"study": self.study, "digest": digest, "repeat": repeat, "number": number, "source": source}
        return {**key, "state": "wanted", "left_off": False, "owner": None, "attempt": 0, "deaths": 0}
