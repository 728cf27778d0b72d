"""A database that does not answer is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError

from nas.errors import StudyError
from nas.units import format_seconds

ResultT = TypeVar("ResultT")
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_CUT = "8s2b"  # SQLAlchemy's number for a transaction whose connection was lost
_FINAL = ("readonly", "read-only", "no such table", "unable to open", "malformed", "is full", "not a database")
"""Words of errors that waiting does not mend."""
_ENDED = ("08", "57P", "25P03", "25P04")
"""SQLSTATE of connections that were lost or that the server ended, also those of one that slept in a transaction."""


class DatabaseAway(StudyError):
    """The database has not answered for longer than anyone wanted to wait."""


class Patience:
    """Calls what works on the database again and again while that does not answer. Several threads may share one."""

    def __init__(
        self, seconds: float, *, note: Callable[[str], None], interrupted: Callable[[], bool] = lambda: False
    ) -> None:
        """Keep for how long.

        Args:
            seconds: How long to wait before the error is final.
            note: Called with one line when the waiting begins and when it is over.
            interrupted: Tells whether to give up now.
        """
        self._seconds, self._note, self._interrupted = seconds, note, interrupted
        self._ended = False
        self._away_since: float | None = None
        self._lock = threading.Lock()

    def __call__(self, call: Callable[[], ResultT]) -> ResultT:
        """Return what a call returns; it must do no harm if it is made twice.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed meanwhile.
            DatabaseAway: The database has not answered for too long.
            Exception: What else the call raised.
        """
        pauses = iter(_PAUSES)
        while True:
            try:
                result = call()
            except Exception as error:
                if not is_outage(error):
                    raise
                if self._ended or self._away(error) >= self._seconds:
                    raise DatabaseAway(
                        f"the database has not answered for {format_seconds(self._seconds)}: everything trained is on"
                        f" disk; run it again ({_words(error)})"
                    ) from error
                self._pause(next(pauses, _PAUSES[-1]))
            else:
                self._answered()
                return result

    def end(self) -> None:
        """Wait no more, from now on and in all threads."""
        self._ended = True

    def _away(self, error: Exception) -> float:
        """Return for how many seconds the database has not answered; tell so the first time."""
        now = time.monotonic()
        with self._lock:
            first, since = self._away_since is None, self._away_since or now
            self._away_since = since
        if first and self._seconds:
            limit = format_seconds(self._seconds)
            self._note(f"the database does not answer; waiting up to {limit}, trainings go on ({_words(error)})")
        return now - since

    def _answered(self) -> None:
        with self._lock:
            since, self._away_since = self._away_since, None
        if since is not None:
            self._note(f"the database answers again after {format_seconds(time.monotonic() - since)}")

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._ended:
            if self._interrupted():
                raise KeyboardInterrupt
            time.sleep(0.05)


@contextmanager
def outages_suppressed() -> Iterator[list[Exception]]:
    """Do without what the database does not answer; what was raised is in the list."""
    raised: list[Exception] = []
    try:
        yield raised
    except Exception as error:
        if not is_outage(error):
            raise
        raised.append(error)


def is_outage(error: BaseException) -> bool:
    """Tell whether an error, or one behind it, says that the database does not answer at the moment."""
    return any(_does_not_answer(one) for one in _chain(error))


def _does_not_answer(error: BaseException) -> bool:
    if isinstance(error, PendingRollbackError):
        return error.code == _CUT
    if not isinstance(error, OperationalError | InterfaceError | DBAPIError):
        return False
    if (getattr(error.orig, "sqlstate", None) or "").startswith(_ENDED):
        return True
    if not (isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated):
        return False
    return not any(word in str(error.orig) for word in _FINAL)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from: Optuna raises others in their place."""
    seen = set[int]()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _words(error: BaseException) -> str:
    found = next(one for one in _chain(error) if _does_not_answer(one))
    return " ".join(str(getattr(found, "orig", found)).split())[:200]
