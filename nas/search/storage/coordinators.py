"""Who works on a study, and who of them leads it.

Whether one is still there, the process itself tells on the same host, and on others the clock of the database: a
coordinator renews its row, and one that has not in time is taken for gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from nas.processes.owners import host_of, process_is_gone, this_host
from nas.search.storage.schema import COORDINATOR, LEAD


@dataclass(frozen=True, slots=True)
class Coordinator:
    """One search that works on a study.

    Attributes:
        holder: Host, process and its start.
        hands: How many trainings it runs at the same time.
        since: When it began, in seconds since the epoch, by the database's clock.
        lapsed: Seconds since it should have renewed its row; negative where that is to come.
        left: Whether it has ended by itself.
        waited: Share of its hands' time in which they had nothing to do, in 0 to 1; None where that is not known yet.
    """

    holder: str
    hands: int
    since: float
    lapsed: float
    left: bool
    waited: float | None

    @property
    def gone(self) -> bool:
        """Whether it is known to be no more."""
        return process_is_gone(self.holder)

    @property
    def elsewhere(self) -> bool:
        """Whether it runs on another host."""
        return host_of(self.holder) != this_host()


class Coordinators:
    """Reads and writes who works on one study."""

    def __init__(self, engine: Engine, study: str) -> None:
        """Keep of which."""
        self._engine, self.study = engine, study

    def forget_ended(self) -> None:
        """Remove who has ended."""
        with self._engine.begin() as connection:
            ended = sa.and_(COORDINATOR.c.study == self.study, COORDINATOR.c.left_off)
            connection.execute(COORDINATOR.delete().where(ended))

    def renew(self, holder: str, *, hands: int, seconds: float, waited: float | None) -> bool:
        """Write that one works on the study, for so many seconds unless it renews that.

        Returns:
            Whether it did so in time: before half of the seconds were over, and not taken for gone.
        """
        lasting = {"expires": self._now() + seconds, "waited": waited, "left_off": False}
        in_time = sa.and_(self._is(holder), ~COORDINATOR.c.left_off, COORDINATOR.c.expires > self._now() + seconds / 2)
        with self._engine.begin() as connection:
            if connection.execute(COORDINATOR.update().where(in_time).values(lasting)).rowcount:
                return True
            if not connection.execute(COORDINATOR.update().where(self._is(holder)).values(lasting)).rowcount:
                row = {"study": self.study, "holder": holder, "hands": hands, "since": self._now(), **lasting}
                connection.execute(COORDINATOR.insert().values(row))
            return False

    def leave(self, holder: str) -> None:
        """Write that one works on the study no more."""
        with self._engine.begin() as connection:
            connection.execute(LEAD.delete().where(LEAD.c.study == self.study, LEAD.c.holder == holder))
            connection.execute(COORDINATOR.update().where(self._is(holder)).values(left_off=True))

    def withdraw(self, holder: str) -> None:
        """Forget one that never worked on the study."""
        with self._engine.begin() as connection:
            connection.execute(COORDINATOR.delete().where(self._is(holder)))

    def all(self) -> list[Coordinator]:
        """Return all that work on the study or did last, the first to come first."""
        lapsed = (self._now() - COORDINATOR.c.expires).label("lapsed")
        columns = (COORDINATOR.c.holder, COORDINATOR.c.hands, COORDINATOR.c.since, lapsed)
        query = sa.select(*columns, COORDINATOR.c.left_off, COORDINATOR.c.waited)
        query = query.where(COORDINATOR.c.study == self.study).order_by(COORDINATOR.c.since)
        with self._engine.connect() as connection:
            return [Coordinator(*row) for row in connection.execute(query)]

    def leader(self) -> str | None:
        """Return who leads the study."""
        with self._engine.connect() as connection:
            query = sa.select(LEAD.c.holder).where(LEAD.c.study == self.study)
            holder: str | None = connection.execute(query).scalar_one_or_none()
            return holder

    def lead(self, holder: str, *, after: str | None) -> bool:
        """Let one lead in place of another, who is gone, or of nobody; tell whether it does."""
        with self._engine.begin() as connection:
            if after is not None:
                gone = sa.and_(LEAD.c.study == self.study, LEAD.c.holder == after)
                return connection.execute(LEAD.update().where(gone).values(holder=holder)).rowcount == 1
            try:
                with connection.begin_nested():
                    connection.execute(LEAD.insert().values(study=self.study, holder=holder))
            except IntegrityError:
                return False
            return True

    def _is(self, holder: str) -> sa.ColumnElement[bool]:
        return sa.and_(COORDINATOR.c.study == self.study, COORDINATOR.c.holder == holder)

    def _now(self) -> sa.ColumnElement[float]:
        """Return the database's clock, in seconds since the epoch."""
        clocks: dict[str, sa.ColumnElement[float]] = {
            "sqlite": sa.literal_column("(julianday('now') - 2440587.5) * 86400.0", sa.Float),
            "postgresql": sa.literal_column("extract(epoch from clock_timestamp())::float8", sa.Float),
        }
        return clocks.get(self._engine.dialect.name, sa.literal_column("unix_timestamp(now(6))", sa.Float))
