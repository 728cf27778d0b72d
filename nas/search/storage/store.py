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
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from nas.architecture.serialization import architecture_from_json
from nas.architecture.spec import Architecture
from nas.fronts.halving import Reached
from nas.models.backends import Latency
from nas.records import ClassNumbers, Epoch, Purpose, Repeat, TestLook, TrialRecord, TrialState
from nas.search.storage.packing import unpack
from nas.search.storage.schema import ANSWER, EPOCH, LATENCY, NETWORK, REPEAT, TEST_LOOK, TRAINING, TRIAL
from nas.search.storage.study_row import StudyRow


class Store(StudyRow):
    """Reads and writes one study's rows."""

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

    def reached(self, rungs: Sequence[int]) -> list[Reached]:
        """Return how far each trained trial has come, in the order of their numbers.

        Args:
            rungs: Epochs, rising.
        """
        states = ("running", "stopped", "trained", "diverged", "failed")
        wanted = sa.select(TRAINING.c.number).where(TRAINING.c.study == self.study, TRAINING.c.state == "wanted")
        going_on = sa.and_(TRIAL.c.state.in_(("waiting", "interrupted")), TRIAL.c.number.in_(wanted))
        query = (
            sa.select(TRIAL.c.number, TRIAL.c.state, NETWORK.c.flops, EPOCH.c.val_accuracy)
            .join_from(TRIAL, NETWORK)
            .join(EPOCH, sa.and_(EPOCH.c.study == TRIAL.c.study, EPOCH.c.number == TRIAL.c.number))
            .where(TRIAL.c.study == self.study, sa.or_(TRIAL.c.state.in_(states), going_on), EPOCH.c.epoch.in_(rungs))
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

    def proposed(self) -> set[str]:
        """Return the digests of all networks that were proposed, but for interrupted trials."""
        query = sa.select(TRIAL.c.digest).where(TRIAL.c.study == self.study, TRIAL.c.state != "interrupted")
        with self._engine.connect() as connection:
            return set(connection.execute(query.distinct()).scalars())

    def reserved(self, digest: str) -> int | None:
        """Return the number of the trial whose training a network is, if one wants, makes or has made it."""
        query = sa.select(TRAINING.c.number).where(TRAINING.c.study == self.study, TRAINING.c.digest == digest)
        with self._engine.connect() as connection:
            free = TRAINING.c.state == "failed"
            number: int | None = connection.execute(query.where(TRAINING.c.repeat == 0, ~free)).scalar_one_or_none()
            return number

    def owners(self) -> dict[int, str]:
        """Return who trains a trial's network at the moment, by number."""
        query = sa.select(TRAINING.c.number, TRAINING.c.owner).where(
            TRAINING.c.study == self.study, TRAINING.c.repeat == 0, TRAINING.c.state == "running"
        )
        with self._engine.connect() as connection:
            return {number: owner for number, owner in connection.execute(query)}

    def trial(self, number: int) -> TrialRecord:
        """Return a trial."""
        return self._records(TRIAL.c.number == number)[0]

    def trials(self, numbers: Collection[int] | None = None) -> list[TrialRecord]:
        """Return trials in the order of their numbers.

        Args:
            numbers: Of the trials; all by default.
        """
        if numbers is None:
            return self._records()
        return self._records(TRIAL.c.number.in_(numbers)) if numbers else []

    def states(self) -> dict[int, TrialState]:
        """Return the state of each trial, by number."""
        query = sa.select(TRIAL.c.number, TRIAL.c.state).where(TRIAL.c.study == self.study)
        with self._engine.connect() as connection:
            return {number: state for number, state in connection.execute(query)}

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


_CHOICES = [field.name for field in fields(TrialRecord)].index("choices")


def _record_of(row: Sequence[Any]) -> TrialRecord:
    values = list(row)
    values[_CHOICES] = _choices_from_json(values[_CHOICES] or "{}")
    return TrialRecord(*values)


@lru_cache(maxsize=1024)  # thousands of trials share a few; nobody changes what a record holds
def _choices_from_json(text: str) -> dict[str, Any]:
    choices: dict[str, Any] = json.loads(text)
    return choices


def _curve_from_json(text: str | None) -> tuple[Epoch, ...]:
    return tuple(Epoch(**point) for point in json.loads(text or "[]"))
