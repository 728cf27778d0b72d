"""The trainings of a study: each that it wants is kept once, and whoever makes it does so under an attempt.

A row of ``nas_training`` stands for one network and repeat, so that its key reserves the network before it is trained.
Every statement that writes what a training gave names the owner and the attempt: where the training was given to
another meanwhile, nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from nas.architecture.cost import Cost
from nas.architecture.serialization import architecture_to_json
from nas.architecture.spec import Architecture
from nas.errors import NasError
from nas.records import UNFINISHED, ClassNumbers, Epoch, Repeat, TrialRecord
from nas.search.storage.packing import pack
from nas.search.storage.schema import ANSWER, EPOCH, LEAD, NETWORK, REPEAT, TRAINING, TRIAL

Source: TypeAlias = Literal["proposed", "promoted", "repeat"]
"""Who wants a training: the sampler, halving, or the study's replicates."""

_ORDER: dict[Source, int] = {"promoted": 0, "proposed": 1, "repeat": 2}


class Outdated(NasError):
    """A training was given to another meanwhile: what its earlier owner tells is not written."""


class NotLeading(NasError):
    """Another leads the study now: only that one proposes and decides."""


class Standing(NamedTuple):
    """How many proposals of a study have ended, and how many are still to be trained."""

    ended: int
    unfinished: int


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


class Trainings:
    """Reads and writes the trainings of one study, for one that works on them."""

    def __init__(self, engine: Engine, study: str, *, owner: str) -> None:
        """Keep for whom."""
        self._engine, self.study, self.owner = engine, study, owner

    # what a leader decides

    def propose(self, record: TrialRecord, architecture: Architecture, cost: Cost) -> TrialRecord:
        """Write a trial that is proposed, and reserve its network unless it is outside the budget.

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
            _insert_if_new(connection, NETWORK, network)
            written = record if record.state == "infeasible" else self._reserve(connection, record)
            row = {key: value for key, value in asdict(written).items() if key in TRIAL.c}
            row["choices"] = json.dumps(dict(record.choices))
            connection.execute(TRIAL.insert().values(study=self.study, **row))
        return written

    def _written(self, connection: sa.Connection, record: TrialRecord) -> TrialRecord | None:
        """Return a trial as the database has it; None where it has not."""
        columns = (TRIAL.c.state, TRIAL.c.repeat_of, TRIAL.c.accuracy, TRIAL.c.error)
        row = connection.execute(sa.select(*columns).where(self._trial(record.number))).mappings().one_or_none()
        return None if row is None else replace(record, **row)

    def _reserve(self, connection: sa.Connection, record: TrialRecord) -> TrialRecord:
        row = self._row(record.digest, 0, number=record.number, source="proposed")
        if _insert_if_new(connection, TRAINING, row):
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
            new = _insert_if_new(connection, TRAINING, training)
            return new and _insert_if_new(connection, REPEAT, row)

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

    # what everyone does who trains

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
            return _insert_if_new(connection, EPOCH, row)

    def end_trial(self, claim: Claim, record: TrialRecord, *, answers: ClassNumbers | None = None) -> None:
        """Write what became of a trial, its answers if it has some, and its accuracy for those that repeat it.

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

    def _row(self, digest: str, repeat: int, *, number: int, source: Source) -> dict[str, Any]:
        key = {"study": self.study, "digest": digest, "repeat": repeat, "number": number, "source": source}
        return {**key, "state": "wanted", "left_off": False, "owner": None, "attempt": 0, "deaths": 0}

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
            _insert_if_new(connection, ANSWER, {**key, "answers": pack(answers)})

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


def _insert_if_new(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> bool:
    """Insert a row unless it is there; tell whether it was inserted."""
    try:
        with connection.begin_nested():
            connection.execute(table.insert().values(row))
    except IntegrityError:
        return False
    return True
