"""Several searches on one study in a PostgreSQL: one leads, others train for it, and when it goes another leads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from searching import How, Search, read_log, require_decent, require_whole, write_study
from servers import Server

TRIALS = 24


@pytest.fixture
def url(postgresql: Server) -> str:
    return postgresql.new_database()


@pytest.fixture
def begin(tmp_path: Path) -> Callable[[Path, How], Search]:
    searches = list[Search]()

    def start(path: Path, how: How) -> Search:
        searches.append(Search(path, tmp_path / f"output_{len(searches)}", how))
        return searches[-1]

    yield start
    for one in searches:
        one.process.kill()


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
