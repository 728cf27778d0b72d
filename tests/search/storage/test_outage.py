"""Which errors of a database are waited for."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa
from servers import Server

from nas.search.storage import database
from nas.search.storage.database import Database
from nas.search.storage.outage import Patience, is_outage


class Lost(Exception):
    """What a driver raises where it knows the server's code."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("the server's words, in any language")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "waits"),
    [("25P03", True), ("57P01", True), ("08006", True), ("25P02", False), ("42P01", False), ("23505", False)],
)
def test_what_the_server_ended_is_waited_for_whatever_the_driver_calls_it(sqlstate: str, waits: bool) -> None:
    assert is_outage(sa.exc.InternalError("SELECT 1", {}, Lost(sqlstate))) == waits


def test_a_transaction_that_slept_too_long_is_made_again(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "IDLE_SECONDS", 1)
    notes, slept = list[str](), list[bool]()
    with Database(postgresql.new_database()) as opened:

        def call() -> int:
            with opened.engine.begin() as connection:
                connection.execute(sa.text("SELECT 1"))
                if not slept:
                    slept.append(True)
                    time.sleep(1.5)
                return int(connection.execute(sa.text("SELECT 2")).scalar_one())

        assert Patience(20, note=notes.append)(call) == 2
    assert "idle-in-transaction" in notes[0] and "answers again" in notes[1]
