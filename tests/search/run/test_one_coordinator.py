"""A study in an SQLite database: one search at a time, on one host, which waits where another locks the file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import wait_until
from searching import How, Search, begun_in, read_log, require_decent, require_whole, write_study

TRIALS = 12


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[Path, How], Search]]:
    yield from begun_in(tmp_path)


def last_line(search: Search) -> str:
    return search.told.strip().splitlines()[-1]


def test_another_search_is_refused_and_another_host_too(tmp_path: Path, begin: Callable[..., Search]) -> None:
    path = write_study(tmp_path / "one.yaml", trials=500)
    first = begin(path, How(seconds=0.5))
    first.trained(path, None, least=1)
    second, third = begin(path, How()), begin(path, How(host="elsewhere"))
    assert second.ended() == 2 and third.ended() == 2
    assert "is being searched by process" in last_line(second) and "wait for it, or stop it" in last_line(second)
    assert "cannot be shared between hosts: use PostgreSQL" in last_line(third)
    first.trained(path, None, least=2)
    first.kill()
    fourth = begin(path, How(seconds=0.5))
    fourth.trained(path, None, least=4)  # it begins at once
    require_decent(first, second, third, fourth)


def test_a_locked_database_is_waited_for(tmp_path: Path, begin: Callable[..., Search]) -> None:
    path = write_study(tmp_path / "locked.yaml", trials=TRIALS)
    first = begin(path, How(seconds=0.3))
    first.trained(path, None, least=1)
    lock = sqlite3.connect(database(path), timeout=30, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    wait_until(lambda: "the database does not answer; waiting up to 1.0 h, trainings go on" in first.told)
    time.sleep(0.5)
    lock.execute("COMMIT")
    lock.close()
    assert first.ended() == 0 and first.told.count("the database answers again after") == 1
    require_decent(first)
    require_whole(path, None, trials=TRIALS)
    assert set(read_log(path).begun.values()) == {1}


def test_a_database_that_stays_locked_ends_the_search(tmp_path: Path, begin: Callable[..., Search]) -> None:
    path = write_study(tmp_path / "locked.yaml", trials=TRIALS)
    first = begin(path, How(seconds=0.3, patience=1))
    first.trained(path, None, least=1)
    lock = sqlite3.connect(database(path), timeout=30, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    assert first.ended() == 2
    assert "everything trained is on disk; run it again (database is locked)" in last_line(first)
    lock.execute("COMMIT")
    lock.close()
    second = begin(path, How(seconds=0.1))
    assert second.ended() == 0
    require_decent(first, second)
    require_whole(path, None, trials=TRIALS)


def database(path: Path) -> Path:
    return next(path.parent.rglob("study.db"))
