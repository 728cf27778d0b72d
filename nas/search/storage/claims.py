"""Trainings that someone makes: each is taken under an attempt, and what it gives is written under that.

A row of ``nas_training`` stands for one network and repeat, so that its key reserves the network before it is trained.
Every statement that writes what a training gave names the owner and the attempt: where the training was given to
another meanwhile, nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from nas.errors import NasError
from nas.records import ClassNumbers, Epoch, Repeat, TrialRecord
from nas.search.storage.packing import pack
from nas.search.storage.schema import ANSWER, EPOCH, REPEAT, TRAINING, TRIAL
from nas.search.storage.telling import tell

Source: TypeAlias = Literal["proposed", "promoted", "repeat"]
"""Who wants a training: the sampler, halving, or the study's replicates."""

_ORDER: dict[Source, int] = {"promoted": 0, "proposed": 1, "repeat": 2}


class Outdated(NasError):
    """A training was given to another meanwhile: what its earlier owner tells is not written."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A training that was taken.

    Attributes:
        digest: Of the network.
        repeat: 0 for a trial's own training.
        number: Of the trial.
        source: Who wants it.
        owner: Who makes it.
        attempt: How often it was taken, this time included.
        deaths: How many processes it has ended.
    """

    digest: str
    repeat: int
    number: int
    source: Source
    owner: str
    attempt: int
    deaths: int

    @property
    def key(self) -> str:
        """Tells it from other claims."""
        return f"{self.digest}.{self.repeat}.{self.attempt}"


class Claims:
    """Takes trainings of one study, and writes what comes of them, for one that makes them."""

    def __init__(self, engine: Engine, study: str, *, owner: str) -> None:
        """Keep for whom."""
        self._engine, self.study, self.owner = engine, study, owner

    def waiting(self) -> int:
        """Return how many trainings are wanted and not taken."""
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).where(self._wanted())).scalar_one())

    def take(self) -> Claim | None:
        """Take the training that is wanted most, interrupted ones first; None where there is none."""
        rank = sa.case(_ORDER, value=TRAINING.c.source)
        first = sa.select(TRAINING).where(self._wanted())
        first = first.order_by(TRAINING.c.left_off.desc(), rank, TRAINING.c.number, TRAINING.c.repeat).limit(1)
        while True:
            with self._engine.begin() as connection:
                row = connection.execute(first).one_or_none()
                if row is None:
                    return None
                key = sa.and_(self._is(row.digest, row.repeat), TRAINING.c.attempt == row.attempt, self._wanted())
                taken = {"state": "running", "owner": self.owner, "attempt": row.attempt + 1}
                if connection.execute(TRAINING.update().where(key).values(taken)).rowcount != 1:
                    continue  # another was faster
                claim = Claim(row.digest, row.repeat, row.number, row.source, self.owner, row.attempt + 1, row.deaths)
                self._note(connection, claim, "running")
                return claim

    def require(self, claim: Claim) -> None:
        """Make sure that a claim holds.

        Raises:
            Outdated: The training was given to another.
        """
        with self._engine.begin() as connection:
            self._require(connection, claim)

    def add_epoch(self, claim: Claim, epoch: Epoch) -> bool:
        """Write one point of a trial's curve unless it is there; tell whether it was not.

        Raises:
            Outdated: The training was given to another.
        """
        with self._engine.begin() as connection:
            self._require(connection, claim)
            row = {"study": self.study, "number": claim.number, **asdict(epoch)}
            return insert_if_new(connection, EPOCH, row)

    def end_trial(
        self, claim: Claim, record: TrialRecord, *, answers: ClassNumbers | None = None, told: bool = False
    ) -> None:
        """Write what became of a trial, its answers if it has some, and its accuracy for those that repeat it.

        Args:
            claim: By which it was trained.
            record: Of the trial.
            answers: Of its network.
            told: Whether Optuna is told of it.

        Raises:
            Outdated: The training was given to another.
        """
        kept = ("state", "seed", "device", "accuracy", "train_seconds", "error", "micro_batch", "data_share", "epochs")
        repeating = TRIAL.update().where(TRIAL.c.study == self.study, TRIAL.c.repeat_of == claim.number)
        with self._engine.begin() as connection:
            self._end(connection, claim, record.state)
            values = {key: getattr(record, key) for key in kept}
            connection.execute(TRIAL.update().where(self._trial(claim.number)).values(**values))
            connection.execute(repeating.values(accuracy=record.accuracy))
            self._add_answers(connection, claim, answers)
            if told:
                tell(connection, self.study, record)

    def end_repeat(self, claim: Claim, repeat: Repeat, *, answers: ClassNumbers | None = None) -> None:
        """Write what became of a further training, and its answers if it has some.

        Raises:
            Outdated: The training was given to another.
        """
        values = {**asdict(repeat), "curve": json.dumps([asdict(epoch) for epoch in repeat.curve])}
        with self._engine.begin() as connection:
            self._end(connection, claim, repeat.state)
            connection.execute(REPEAT.update().where(self._repeat(claim)).values(values))
            self._add_answers(connection, claim, answers)

    def _end(self, connection: sa.Connection, claim: Claim, state: str) -> None:
        """Write that a training has ended; one that was killed twice stays reserved, so that it is not tried again.

        Where it has ended so by this attempt, the database has written it and its answer was lost: nothing changes.
        """
        ended = {"stopped": "paused", "trained": "ended"}.get(state, "ended" if claim.deaths else "failed")
        written = sa.and_(TRAINING.c.state == ended, TRAINING.c.owner.is_(None), TRAINING.c.attempt == claim.attempt)
        row = TRAINING.update().where(self._is(claim.digest, claim.repeat), sa.or_(self._held(claim), written))
        if connection.execute(row.values(state=ended, owner=None, deaths=claim.deaths)).rowcount != 1:
            raise Outdated(f"trial {claim.number} was given to another")

    def leave(self, claim: Claim) -> None:
        """Give back a training that was not finished, to be gone on with before all others.

        Raises:
            Outdated: The training was given to another.
        """
        with self._engine.begin() as connection:
            self._require(connection, claim)
            self._give_back(connection, claim, deaths=claim.deaths)

    def release(self, owner: str, *, but: Collection[str] = ()) -> int:
        """Give back what one has taken who is gone, or who does not know of it; return how much.

        Args:
            owner: Who has taken it.
            but: Keys of claims that are left.
        """
        theirs = sa.select(TRAINING).where(
            TRAINING.c.study == self.study, TRAINING.c.owner == owner, TRAINING.c.state == "running"
        )
        with self._engine.begin() as connection:
            rows = connection.execute(theirs).all()
            claims = [Claim(r.digest, r.repeat, r.number, r.source, owner, r.attempt, r.deaths) for r in rows]
            left = [claim for claim in claims if claim.key not in but]
            for claim in left:
                self._give_back(connection, claim, deaths=claim.deaths)
        return len(left)

    def _give_back(self, connection: sa.Connection, claim: Claim, *, deaths: int) -> None:
        held = sa.and_(self._is(claim.digest, claim.repeat), self._held(claim))
        left = {"state": "wanted", "owner": None, "left_off": True, "deaths": deaths}
        if connection.execute(TRAINING.update().where(held).values(left)).rowcount:
            self._note(connection, claim, "interrupted")

    def unfinished(self) -> bool:
        """Tell whether some training is wanted or being made."""
        open_ = sa.and_(TRAINING.c.study == self.study, TRAINING.c.state.in_(("wanted", "running")))
        with self._engine.connect() as connection:
            return connection.execute(sa.select(TRAINING.c.number).where(open_).limit(1)).first() is not None

    def owners(self) -> set[str]:
        """Return who has taken trainings that have not ended."""
        query = sa.select(TRAINING.c.owner).where(TRAINING.c.study == self.study, TRAINING.c.state == "running")
        with self._engine.connect() as connection:
            return set(connection.execute(query.distinct()).scalars())

    def _require(self, connection: sa.Connection, claim: Claim) -> None:
        """Make sure, and for as long as the transaction lasts, that a claim holds."""
        row = TRAINING.update().where(self._is(claim.digest, claim.repeat), self._held(claim))
        if connection.execute(row.values(deaths=claim.deaths)).rowcount != 1:
            raise Outdated(f"trial {claim.number} was given to another")

    def _note(self, connection: sa.Connection, claim: Claim, state: str) -> None:
        if claim.repeat:
            connection.execute(REPEAT.update().where(self._repeat(claim)).values(state=state))
        else:
            connection.execute(TRIAL.update().where(self._trial(claim.number)).values(state=state))

    def _add_answers(self, connection: sa.Connection, claim: Claim, answers: ClassNumbers | None) -> None:
        """Write which class a training's network gave to each validation image."""
        if answers is not None:
            key = {"study": self.study, "number": claim.number, "repeat": claim.repeat}
            insert_if_new(connection, ANSWER, {**key, "answers": pack(answers)})

    def _wanted(self) -> sa.ColumnElement[bool]:
        return sa.and_(TRAINING.c.study == self.study, TRAINING.c.state == "wanted")

    def _held(self, claim: Claim) -> sa.ColumnElement[bool]:
        return sa.and_(
            TRAINING.c.state == "running", TRAINING.c.owner == claim.owner, TRAINING.c.attempt == claim.attempt
        )

    def _is(self, digest: str, repeat: int) -> sa.ColumnElement[bool]:
        ours = TRAINING.c.study == self.study
        return sa.and_(ours, TRAINING.c.digest == digest, TRAINING.c.repeat == repeat)

    def _trial(self, number: int) -> sa.ColumnElement[bool]:
        return sa.and_(TRIAL.c.study == self.study, TRIAL.c.number == number)

    def _repeat(self, claim: Claim) -> sa.ColumnElement[bool]:
        ours = REPEAT.c.study == self.study
        return sa.and_(ours, REPEAT.c.number == claim.number, REPEAT.c.repeat == claim.repeat)


def insert_if_new(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> bool:
    """Insert a row unless it is there; tell whether it was inserted."""
    try:
        with connection.begin_nested():
            connection.execute(table.insert().values(row))
    except IntegrityError:
        return False
    return True
