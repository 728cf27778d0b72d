"""Who may work on a study, and who of them leads: one proposes and decides, others train for it.

On SQLite there is one at a time. On a server there may be more: each renews a row by the server's clock, and when the
leader has not in time another takes the lead. On the same host a process itself tells whether it is there.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from nas.errors import StudyError
from nas.processes.owners import name_of, process_identity
from nas.search.storage.coordinators import Coordinator, Coordinators
from nas.search.storage.database import Database
from nas.search.storage.outage import Patience, outages_suppressed

SECONDS = 60.0
"""How long a coordinator of another host is waited for."""
_SECONDS_ON_SQLITE = 600.0  # a file has no clock of its own: that of two hosts may differ


class Lease:
    """That this process works on a study, for as long as a ``with`` block lasts."""

    def __init__(
        self,
        database: Database,
        study: str,
        *,
        hands: int,
        patience: Patience,
        seconds: float = SECONDS,
        waited: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Keep of which study.

        Args:
            database: Of the study.
            study: Its name.
            hands: How many trainings this process runs at the same time.
            patience: Waits for the database to begin.
            seconds: How long others wait for this process after they heard from it.
            waited: Tells the share of the hands' time in which they had nothing to do.
        """
        self.holder = process_identity()
        self._rows = Coordinators(database.engine, study)
        self.alone = database.is_sqlite
        self._study, self._hands, self.seconds, self._waited = study, hands, seconds, waited
        self._patience, self._ended = patience, threading.Event()
        self._back_since = math.inf
        self._renewal = threading.Thread(target=self._renew_again, daemon=True, name=f"{database}: {study}")

    def __enter__(self) -> Self:
        """Begin to work on the study.

        Raises:
            StudyError: Another process does, and the database is one for one process.
        """
        self._patience(self._begin)
        self._renewal.start()
        return self

    def _begin(self) -> None:
        self._rows.forget_ended()
        if self.alone and any(thread.name == self._renewal.name for thread in threading.enumerate()):
            raise StudyError(self._held_by(self.holder))  # another thread of this process
        self._renew()
        if self.alone and not self.take_lead():
            leader = self.leader()
            self._rows.withdraw(self.holder)
            raise StudyError(self._held_by(leader))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Work on the study no more."""
        self._ended.set()
        self._renewal.join()
        with outages_suppressed():  # others find out by themselves
            self._renew()
            self._rows.leave(self.holder)

    def take_lead(self) -> bool:
        """Lead the study if nobody else does; tell whether this process leads."""
        leader = self._rows.leader()
        if leader == self.holder:
            return True
        return (leader is None or self.is_gone(leader)) and self._rows.lead(self.holder, after=leader)

    def leader(self) -> str:
        """Return who leads the study; empty where nobody does."""
        return self._rows.leader() or ""

    def others(self) -> list[Coordinator]:
        """Return who else works on the study."""
        return [one for one in self._all() if one.holder != self.holder and not self._gone(one)]

    def is_gone(self, holder: str) -> bool:
        """Tell whether another works on the study no more."""
        known = next((one for one in self._all() if one.holder == holder), None)
        return known is None or self._gone(known)

    def forget(self, holder: str) -> None:
        """Write that another is gone."""
        self._rows.leave(holder)

    def _all(self) -> list[Coordinator]:
        """Return all that are known, and notice whether this process was away itself."""
        found = self._rows.all()
        if not any(one.holder == self.holder and not one.left and one.lapsed < -self.seconds / 2 for one in found):
            self._renew()
        return found

    def _gone(self, other: Coordinator) -> bool:
        if other.left or other.gone:
            return True
        if self.alone:
            return other.elsewhere and other.lapsed > _SECONDS_ON_SQLITE
        # where the server was away, nobody could renew: who was away itself waits until all have that are there
        return other.lapsed > 0 and time.monotonic() - self._back_since > self.seconds / 3

    def _held_by(self, holder: str) -> str:
        known = next((one for one in self._rows.all() if one.holder == holder), None)
        since = "" if known is None else time.strftime(" since %Y-%m-%d %H:%M:%S", time.localtime(known.since))
        elsewhere = known is not None and known.elsewhere
        advice = (
            "an SQLite database cannot be shared between hosts: use PostgreSQL for that (docs/workers.md)"
            if elsewhere
            else "wait for it, or stop it; --workers N trains several networks at the same time"
        )
        return f"study {self._study!r} is being searched by {name_of(holder)}{since}; {advice}"

    def _renew(self) -> None:
        if not self._rows.renew(self.holder, hands=self._hands, seconds=self.seconds, waited=self._waited()):
            self._back_since = time.monotonic()

    def _renew_again(self) -> None:
        while not self._ended.wait(self.seconds / 6):
            with outages_suppressed():
                self._renew()
