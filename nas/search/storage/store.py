"""This project's own tables, in the same database as Optuna's.

Optuna keeps what was proposed and the two objectives. Finished Optuna trials are immutable and their intermediate
values are closed to two objectives, so networks, costs, curves and all that is learnt later live here.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from nas.architecture.cost import Cost
from nas.architecture.serialization import architecture_from_json, architecture_to_json
from nas.architecture.spec import Architecture
from nas.fronts.halving import Reached
from nas.models.backends import Latency
from nas.records import ClassNumbers, Epoch, Purpose, Repeat, TestLook, TrialRecord, TrialState
from nas.search.storage.packing import pack, unpack
from nas.search.storage.schema import ANSWER, EPOCH, LATENCY, NETWORK, REPEAT, TEST_LOOK, TRIAL
from nas.search.storage.study_row import StudyRow


class Store(StudyRow):
    """Reads and writes one study's rows."""

    def _add_answers(self, connection: sa.Connection, number: int, repeat: int, answers: ClassNumbers | None) -> None:
        """Write which class a training's network gave to each validation image; the trial's own training is 0."""
        if answers is not None:
            row = {"study": self.study, "number": number, "repeat": repeat, "answers": pack(answers)}
            self._insert_if_new(connection, ANSWER, row)

    def answers(self, numbers: Collection[int] | None = None) -> dict[tuple[int, int], ClassNumbers]:
        """Return what the networks answered, by trial and repeat; trainings of earlier versions kept no answers.

        Args:
            numbers: Of the trials; all by default.
        """
        query = sa.select(ANSWER.c.number, ANSWER.c.repeat, ANSWER.c.answers).where(ANSWER.c.study == self.study)
        if numbers is not None:
            query = query.where(ANSWER.c.number.in_(numbers))
        with self._engine.connect() as connection:
            return {(number, repeat): unpack(packed) for number, repeat, packed in connection.execute(query)}

    def add_test_look(self, digest: str, accuracy: float, *, command: str) -> None:
        """Write that a network was tried on the test images, and by which command."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = {"study": self.study, "digest": digest, "command": command, "accuracy": accuracy, "looked_at": now}
        with self._engine.begin() as connection:
            connection.execute(TEST_LOOK.insert().values(row))

    def test_looks(self) -> list[TestLook]:
        """Return when which network was tried on the test images, in that order."""
        columns = [TEST_LOOK.c[field.name] for field in fields(TestLook)]
        query = sa.select(*columns).where(TEST_LOOK.c.study == self.study).order_by(TEST_LOOK.c.id)
        with self._engine.connect() as connection:
            return [TestLook(*row) for row in connection.execute(query)]

    def begin(self, record: TrialRecord, architecture: Architecture, cost: Cost) -> None:
        """Write a trial that has been proposed, and its network."""
        network = {
            "digest": record.digest,
            "architecture": architecture_to_json(architecture),
            "flops": cost.flops,
            "params": cost.params,
            "activations": cost.activations,
        }
        row = {key: value for key, value in asdict(record).items() if key in TRIAL.c}
        row["choices"] = json.dumps(dict(record.choices))
        with self._engine.begin() as connection:
            known = connection.execute(sa.select(NETWORK.c.digest).where(NETWORK.c.digest == record.digest)).first()
            if known is None:
                self._insert_if_new(connection, NETWORK, network)
            connection.execute(TRIAL.insert().values(study=self.study, **row))

    def finish(self, number: int, state: TrialState, *, answers: ClassNumbers | None = None, **values: Any) -> None:
        """Write what became of a trial, its answers if it has some, and its accuracy for those that repeat it."""
        repeating = TRIAL.update().where(TRIAL.c.study == self.study, TRIAL.c.repeat_of == number)
        with self._engine.begin() as connection:
            connection.execute(TRIAL.update().where(self._is(number)).values(state=state, owner=None, **values))
            connection.execute(repeating.values(accuracy=values.get("accuracy")))
            self._add_answers(connection, number, 0, answers)

    def interrupt(self, number: int) -> None:
        """Write that a new trial was left, unless it has ended by now."""
        left = TRIAL.update().where(self._is(number), TRIAL.c.state == "running", TRIAL.c.owner.is_(None))
        with self._engine.begin() as connection:
            connection.execute(left.values(state="interrupted"))

    def wait_again(self, number: int, owner: str) -> None:
        """Write that a trial that went on was left, unless it has ended by now: it waits at its last epoch."""
        left = TRIAL.update().where(self._is(number), TRIAL.c.state == "running", TRIAL.c.owner == owner)
        curve = sa.select(EPOCH.c.val_accuracy, EPOCH.c.seconds).where(
            EPOCH.c.study == self.study, EPOCH.c.number == number
        )
        with self._engine.begin() as connection:
            epochs = connection.execute(curve.order_by(EPOCH.c.epoch)).all()
            outcome = {"accuracy": epochs[-1].val_accuracy, "train_seconds": sum(epoch.seconds for epoch in epochs)}
            connection.execute(left.values(state="stopped", owner=None, epochs=len(epochs), **outcome))

    def add_epoch(self, number: int, epoch: Epoch) -> bool:
        """Write one point of a trial's curve unless it is there; tell whether it was not."""
        with self._engine.begin() as connection:
            return self._insert_if_new(connection, EPOCH, {"study": self.study, "number": number, **asdict(epoch)})

    def known(self, digest: str, *, before: int | None = None) -> TrialRecord | None:
        """Return the trial of this study that trained a network, to the end or a part of the way, or None.

        Args:
            digest: Of the network.
            before: Only trials of lower numbers.
        """
        trained = sa.or_(TRIAL.c.state.in_(("trained", "stopped")), TRIAL.c.owner.is_not(None))
        found = self._records(TRIAL.c.digest == digest, trained, *([] if before is None else [TRIAL.c.number < before]))
        return found[0] if found else None

    def claim(self, number: int, owner: str) -> bool:
        """Take a stopped trial to go on with; of several processes one succeeds."""
        taken = TRIAL.update().where(self._is(number), TRIAL.c.state == "stopped")
        with self._engine.begin() as connection:
            return connection.execute(taken.values(state="running", owner=owner)).rowcount == 1

    def reached(self, rungs: Sequence[int]) -> list[Reached]:
        """Return how far each trained trial has come, in the order of their numbers.

        Args:
            rungs: Epochs, rising.
        """
        states = ("running", "stopped", "trained", "diverged", "failed")
        query = (
            sa.select(TRIAL.c.number, TRIAL.c.state, NETWORK.c.flops, EPOCH.c.val_accuracy)
            .join_from(TRIAL, NETWORK)
            .join(EPOCH, sa.and_(EPOCH.c.study == TRIAL.c.study, EPOCH.c.number == TRIAL.c.number))
            .where(TRIAL.c.study == self.study, TRIAL.c.state.in_(states), EPOCH.c.epoch.in_(rungs))
            .order_by(TRIAL.c.number, EPOCH.c.epoch)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            Reached(number, flops, tuple(row.val_accuracy for row in group), state == "stopped")
            for (number, state, flops), group in itertools.groupby(rows, key=lambda row: tuple(row[:3]))
        ]

    def repeats(self) -> list[Repeat]:
        """Return all further trainings, in the order of trial and repeat."""
        columns = [REPEAT.c[field.name] for field in fields(Repeat)]
        query = sa.select(*columns).where(REPEAT.c.study == self.study)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(REPEAT.c.number, REPEAT.c.repeat)).mappings()
            return [Repeat(**{**row, "curve": _curve_from_json(row["curve"])}) for row in rows]

    def claim_repeat(self, number: int, repeat: int, *, seed: int, owner: str) -> bool:
        """Take a further training to make; of several processes one succeeds."""
        row = {"study": self.study, "number": number, "repeat": repeat, "seed": seed, "owner": owner}
        with self._engine.begin() as connection:
            return self._insert_if_new(connection, REPEAT, {**row, "state": "running"})

    def finish_repeat(self, repeat: Repeat, *, answers: ClassNumbers | None = None) -> None:
        """Write what became of a further training, and its answers if it has some."""
        values = {**asdict(repeat), "curve": json.dumps([asdict(epoch) for epoch in repeat.curve])}
        with self._engine.begin() as connection:
            connection.execute(REPEAT.update().where(self._is_repeat(repeat.number, repeat.repeat)).values(values))
            self._add_answers(connection, repeat.number, repeat.repeat, answers)

    def release_repeat(self, number: int, repeat: int) -> None:
        """Give back a further training that was not finished."""
        with self._engine.begin() as connection:
            connection.execute(REPEAT.delete().where(self._is_repeat(number, repeat), REPEAT.c.state == "running"))

    def owners(self) -> tuple[dict[int, str], dict[tuple[int, int], str]]:
        """Return who goes on with a trial, by number, and who trains once more, by number and repeat."""
        trials = sa.select(TRIAL.c.number, TRIAL.c.owner).where(TRIAL.c.study == self.study, TRIAL.c.state == "running")
        repeats = sa.select(REPEAT.c.number, REPEAT.c.repeat, REPEAT.c.owner).where(
            REPEAT.c.study == self.study, REPEAT.c.state == "running"
        )
        with self._engine.connect() as connection:
            going_on = {number: owner for number, owner in connection.execute(trials) if owner}
            return going_on, {(number, repeat): owner for number, repeat, owner in connection.execute(repeats)}

    def proposed(self) -> set[str]:
        """Return the digests of all networks that were proposed, but for interrupted trials."""
        query = sa.select(TRIAL.c.digest).where(TRIAL.c.study == self.study, TRIAL.c.state != "interrupted")
        with self._engine.connect() as connection:
            return set(connection.execute(query.distinct()).scalars())

    def trial(self, number: int) -> TrialRecord:
        """Return a trial."""
        return self._records(TRIAL.c.number == number)[0]

    def trials(self) -> list[TrialRecord]:
        """Return all trials in the order of their numbers."""
        return self._records()

    def curves(self, numbers: Collection[int] | None = None) -> dict[int, list[Epoch]]:
        """Return the learning curve of each trial that has one, by number.

        Args:
            numbers: Of the trials; all by default.
        """
        columns = [EPOCH.c[field.name] for field in fields(Epoch)]
        query = sa.select(EPOCH.c.number, *columns).where(EPOCH.c.study == self.study)
        if numbers is not None:
            query = query.where(EPOCH.c.number.in_(numbers))
        curves: dict[int, list[Epoch]] = {}
        with self._engine.connect() as connection:
            for number, *values in connection.execute(query.order_by(EPOCH.c.number, EPOCH.c.epoch)):
                curves.setdefault(number, []).append(Epoch(*values))
        return curves

    def spent(self) -> dict[int, tuple[int, float]]:
        """Return epochs and seconds of each trial that has a curve, by number."""
        columns = (EPOCH.c.number, sa.func.count(), sa.func.sum(EPOCH.c.seconds))
        query = sa.select(*columns).where(EPOCH.c.study == self.study).group_by(EPOCH.c.number)
        with self._engine.connect() as connection:
            return {number: (epochs, float(seconds)) for number, epochs, seconds in connection.execute(query)}

    def architecture(self, digest: str) -> Architecture:
        """Return a network of the study."""
        query = sa.select(NETWORK.c.architecture).where(NETWORK.c.digest == digest)
        with self._engine.connect() as connection:
            return architecture_from_json(connection.execute(query).scalar_one(), source=f"network {digest}")

    def add_latency(self, digest: str, latency: Latency, *, purpose: Purpose) -> None:
        """Write a measurement of a network."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = {"digest": digest, "purpose": purpose, "measured_at": now, **asdict(latency)}
        with self._engine.begin() as connection:
            connection.execute(LATENCY.insert().values(row))

    def latencies(self, *, purpose: Purpose) -> dict[str, list[Latency]]:
        """Return the latencies of the study's networks by digest: newest first, after them those of a busy machine."""
        ours = sa.select(TRIAL.c.digest).where(TRIAL.c.study == self.study)
        noisy = sa.func.coalesce(LATENCY.c.noisy, sa.false())  # earlier versions did not tell
        columns = [noisy if field.name == "noisy" else LATENCY.c[field.name] for field in fields(Latency)]
        query = sa.select(LATENCY.c.digest, *columns).where(LATENCY.c.purpose == purpose, LATENCY.c.digest.in_(ours))
        found: dict[str, list[Latency]] = {}
        with self._engine.connect() as connection:
            for digest, *values in connection.execute(query.order_by(noisy, LATENCY.c.id.desc())):
                found.setdefault(digest, []).append(Latency(*values))
        return found

    def _records(self, *conditions: sa.ColumnElement[bool]) -> list[TrialRecord]:
        tables = {"flops": NETWORK, "params": NETWORK, "activations": NETWORK}
        columns = [tables.get(field.name, TRIAL).c[field.name] for field in fields(TrialRecord)]
        query = sa.select(*columns).join_from(TRIAL, NETWORK).where(TRIAL.c.study == self.study, *conditions)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(TRIAL.c.number))
            return [_record_of(row) for row in rows]

    def _is(self, number: int) -> sa.ColumnElement[bool]:
        return sa.and_(TRIAL.c.study == self.study, TRIAL.c.number == number)

    def _is_repeat(self, number: int, repeat: int) -> sa.ColumnElement[bool]:
        return sa.and_(REPEAT.c.study == self.study, REPEAT.c.number == number, REPEAT.c.repeat == repeat)

    @staticmethod
    def _insert_if_new(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> bool:
        """Insert a row unless another worker has just done so; tell whether it was inserted."""
        try:
            with connection.begin_nested():
                connection.execute(table.insert().values(row))
        except IntegrityError:
            return False
        return True


_CHOICES = [field.name for field in fields(TrialRecord)].index("choices")


def _record_of(row: Sequence[Any]) -> TrialRecord:
    values = list(row)
    values[_CHOICES] = json.loads(values[_CHOICES] or "{}")
    return TrialRecord(*values)


def _curve_from_json(text: str | None) -> tuple[Epoch, ...]:
    return tuple(Epoch(**point) for point in json.loads(text or "[]"))
