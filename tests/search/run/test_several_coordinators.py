"""Several searches on one study in a PostgreSQL: one leads, others train for it, and when it goes another leads."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import wait_until
from searching import (
    How,
    Search,
    begun_in,
    count,
    most_often_trained,
    read_log,
    require_decent,
    require_whole,
    write_study,
)
from servers import Server

from nas.search.run.lease import Lease
from nas.search.storage.database import Database
from nas.search.storage.outage import Patience
from nas.search.storage.schema import COORDINATOR

TRIALS = 12


@pytest.fixture
def url(postgresql: Server) -> str:
    return postgresql.new_database()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[Path, How], Search]]:
    yield from begun_in(tmp_path)


def test_a_second_search_trains_for_the_first(url: str, tmp_path: Path, begin: Callable[..., Search]) -> None:
    path = write_study(tmp_path / "two.yaml", trials=TRIALS)
    how = How(url, seconds=0.3)
    first = begin(path, how)
    first.trained(path, url, least=2)
    second = begin(path, how._replace(host="elsewhere"))
    assert first.ended() == 0 and second.ended() == 0
    assert "leads study 'two'; this search trains for it" in second.told
    assert first.told.count("leads study") == 0
    require_decent(first, second)
    require_whole(path, url, trials=TRIALS)
    begun, ended = read_log(path)
    assert set(begun.values()) == set(ended.values()) == {1}


def test_when_the_leader_is_killed_another_on_its_host_leads_at_once(
    url: str, tmp_path: Path, begin: Callable[..., Search]
) -> None:
    path = write_study(tmp_path / "killed.yaml", trials=TRIALS)
    how = How(url, seconds=0.3, lease=600)
    first = begin(path, how)
    first.trained(path, url, least=2)
    second = begin(path, how)
    wait_until(lambda: "trains for it" in second.told)
    first.kill()
    assert second.ended() == 0
    assert "this search leads study 'killed' now" in second.told
    require_decent(first, second)
    require_whole(path, url, trials=TRIALS)
    begun, ended = read_log(path)
    assert most_often_trained(path) == 1  # what had ended and was not written is told once more, and not trained
    assert sum(begun.values()) <= sum(ended.values()) + how.workers


def test_a_leader_of_another_host_that_says_nothing_is_waited_for(
    url: str, tmp_path: Path, begin: Callable[..., Search]
) -> None:
    path = write_study(tmp_path / "far.yaml", trials=200)
    how = How(url, seconds=0.3, lease=3)
    first = begin(path, how._replace(host="elsewhere", hours_ahead=1))
    first.trained(path, url, least=2)
    second = begin(path, how._replace(hours_ahead=-1))
    wait_until(lambda: "process" in second.told and "on elsewhere leads" in second.told)
    time.sleep(2 * how.lease)
    assert "this search leads" not in second.told  # whatever the clocks of the two show
    killed = time.monotonic()
    first.kill()
    wait_until(lambda: "this search leads" in second.told)
    assert time.monotonic() - killed > how.lease / 2
    require_decent(first, second)


def one_that_sleeps(path: Path, url: str, begin: Callable[..., Search]) -> tuple[Search, Search]:
    """Return a search that led and was stopped, and the one that leads since."""
    how = How(url, seconds=0.4, lease=2, idle=1)
    first = begin(path, how)
    first.trained(path, url, least=2)
    first.signal(signal.SIGSTOP)  # before the second loads, which on a busy machine takes longer than all trials
    second = begin(path, how)
    wait_until(lambda: "this search leads" in second.told)
    return first, second


def test_a_leader_that_slept_finds_its_work_taken_and_goes_on_with_the_next(
    url: str, tmp_path: Path, begin: Callable[..., Search]
) -> None:
    path = write_study(tmp_path / "slept.yaml", trials=40)
    first, second = one_that_sleeps(path, url, begin)
    trained = count(path, url, "trained")
    first.signal(signal.SIGCONT)
    wait_until(lambda: "trains for it" in first.told)
    assert count(path, url, "trained") < 40, (trained, second.told)
    assert first.ended() == 0 and second.ended() == 0
    require_decent(first, second)
    require_whole(path, url, trials=40)


def test_a_leader_that_slept_while_another_led_and_was_killed_counts_anew(
    url: str, tmp_path: Path, begin: Callable[..., Search]
) -> None:
    path = write_study(tmp_path / "both.yaml", trials=40)
    first, second = one_that_sleeps(path, url, begin)
    second.trained(path, url, least=count(path, url, "trained") + 6)
    second.kill()
    first.signal(signal.SIGCONT)
    assert first.ended() == 0
    require_decent(first, second)
    require_whole(path, url, trials=40)


def test_a_server_that_is_away_is_waited_for(
    postgresql: Server, url: str, tmp_path: Path, begin: Callable[..., Search]
) -> None:
    path = write_study(tmp_path / "away.yaml", trials=40)
    how = How(url, seconds=0.3, lease=2, workers=3)
    first = begin(path, how)
    first.trained(path, url, least=2)
    second = begin(path, how._replace(host="elsewhere"))
    wait_until(lambda: "trains for it" in second.told)
    postgresql.stop()
    time.sleep(4)
    postgresql.start()
    for _ in range(10):
        postgresql.cut(url, most=2)
        time.sleep(0.1)
    assert first.ended() == 0 and second.ended() == 0
    assert "the database does not answer" in first.told and "the database answers again after" in first.told
    assert "leads study" not in first.told  # both were away, and nobody was taken for gone
    require_decent(first, second)
    require_whole(path, url, trials=40)
    begun, ended = read_log(path)
    assert set(begun.values()) == set(ended.values()) == {1}


def test_patience_has_an_end_and_what_was_trained_is_on_disk(
    postgresql: Server, url: str, tmp_path: Path, begin: Callable[..., Search]
) -> None:
    path = write_study(tmp_path / "gone.yaml", trials=TRIALS)
    how = How(url, seconds=0.3, patience=1)
    first = begin(path, how)
    first.trained(path, url, least=2)
    postgresql.stop()
    try:
        assert first.ended() == 2
    finally:
        postgresql.start()
    last = first.told.strip().splitlines()[-1]
    assert "has not answered for 1.0 s: everything trained is on disk; run it again" in last
    second = begin(path, how)
    assert second.ended() == 0
    require_decent(first, second)
    require_whole(path, url, trials=TRIALS)


def test_who_was_away_itself_judges_nobody(url: str) -> None:
    with Database(url) as database:
        database.prepare()
        leases = [Lease(database, "study", hands=1, seconds=60, patience=Patience(0, note=print)) for _ in range(2)]
        leases[0].holder = "elsewhere/1/1"
        with leases[0] as leader, leases[1] as other:
            assert leader.take_lead() and not other.take_lead()
            expire(database, seconds=70)  # the server was away, and nobody could renew
            assert not other.take_lead() and other.others()
            expire(database, seconds=70, holder=leader.holder)
            assert not other.take_lead()  # the other is given the time to come back
            other._back_since -= 21
            assert other.take_lead() and not other.others()
            assert not leader.take_lead() and [one.holder for one in leader.others()] == [other.holder]


def expire(database: Database, *, seconds: float, holder: str | None = None) -> None:
    which = COORDINATOR.c.holder == holder if holder else sa.true()
    with database.engine.begin() as connection:
        connection.execute(COORDINATOR.update().where(which).values(expires=COORDINATOR.c.expires - seconds))
