"""What versions without ``nas_training`` left: rows are made of it, once, when a study goes on."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from nas.search.storage.schema import EPOCH, REPEAT, TRAINING, TRIAL

_STATES = {"trained": "ended", "stopped": "paused", "diverged": "failed", "failed": "failed"}


def adopt_trainings(engine: Engine, study: str) -> None:
    """Make rows of a study's trainings that have none; what had not ended then is left as interrupted.

    A proposal that was interrupted then has no row: its place is taken by another one, as those versions did it.
    """
    with engine.begin() as connection:
        columns = (TRAINING.c.digest, TRAINING.c.repeat, TRAINING.c.number)
        there = connection.execute(sa.select(*columns).where(TRAINING.c.study == study)).all()
        known, numbers = {(row.digest, row.repeat) for row in there}, {row.number for row in there}
        rows = list[dict[str, object]]()
        query = sa.select(TRIAL.c.number, TRIAL.c.digest, TRIAL.c.state, TRIAL.c.owner).where(TRIAL.c.study == study)
        digests = dict[int, str]()
        for number, digest, state, owner in connection.execute(query.order_by(TRIAL.c.number)).all():
            digests[number] = digest
            if number in numbers:
                continue
            if state == "running":
                state = _leave(connection, study, number, went_on=owner is not None)
            if state in _STATES and (digest, 0) not in known:  # else it has failed, and was tried once more
                rows.append(_row(study, digest, 0, number, _STATES[state]))
        for number, repeat, state in connection.execute(
            sa.select(REPEAT.c.number, REPEAT.c.repeat, REPEAT.c.state).where(REPEAT.c.study == study)
        ).all():
            if (digests[number], repeat) in known:
                continue
            if state == "running":
                key = sa.and_(REPEAT.c.study == study, REPEAT.c.number == number, REPEAT.c.repeat == repeat)
                connection.execute(REPEAT.delete().where(key))
            else:
                rows.append(_row(study, digests[number], repeat, number, _STATES[state]))
        unique = {
            (row["digest"], row["repeat"]): row for row in rows
        }  # a network that failed may have been tried again
        if unique:
            connection.execute(TRAINING.insert(), list(unique.values()))


def _leave(connection: sa.Connection, study: str, number: int, *, went_on: bool) -> str:
    """Write how a trial is left whose process is gone; return that."""
    key = sa.and_(TRIAL.c.study == study, TRIAL.c.number == number)
    if not went_on:
        connection.execute(TRIAL.update().where(key).values(state="interrupted"))
        return "interrupted"
    curve = sa.select(EPOCH.c.val_accuracy, EPOCH.c.seconds).where(EPOCH.c.study == study, EPOCH.c.number == number)
    epochs = connection.execute(curve.order_by(EPOCH.c.epoch)).all()
    outcome = {"accuracy": epochs[-1].val_accuracy, "train_seconds": sum(epoch.seconds for epoch in epochs)}
    stopped = TRIAL.update().where(key).values(state="stopped", owner=None, epochs=len(epochs), **outcome)
    connection.execute(stopped)
    return "stopped"


def _row(study: str, digest: str, repeat: int, number: int, state: str) -> dict[str, object]:
    source = "repeat" if repeat else "proposed"
    key = {"study": study, "digest": digest, "repeat": repeat, "number": number, "source": source}
    return {**key, "state": state, "left_off": False, "owner": None, "attempt": 0, "deaths": 0}
