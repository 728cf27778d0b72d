"""A study is opened once, by whoever is given its name, and closed by whoever opened it."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Outcome

import nas
from nas.config import study as definitions
from nas.config.study import StudyConfig
from nas.search import study as studies
from nas.search.opening import find_study
from nas.search.storage import database
from nas.search.study import Study


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    """Return a list that gains an item with each call of a module's function."""
    calls, real = list[Any](), getattr(module, name)

    def call(*arguments: Any, **keywords: Any) -> Any:
        calls.append(arguments)
        return real(*arguments, **keywords)

    monkeypatch.setattr(module, name, call)
    return calls


@pytest.fixture(autouse=True)
def _others_are_forgotten() -> None:
    """Let no study that another test left open count here."""
    gc.collect()


def times_open(path: Path) -> int:
    return [file.path for file in psutil.Process().open_files()].count(str(path.resolve()))


@pytest.mark.parametrize("command", [("search", "--trials", 0), ("status",), ("front",), ("report",)])
def test_a_command_reads_the_file_once_and_opens_the_database_once(
    command: tuple[Any, ...],
    finished: Path,
    nas_command: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = finished.parent / "tiny" / "study.db"
    before = times_open(path)
    read = counted(monkeypatch, definitions, "read_yaml")
    ours, optunas = counted(monkeypatch, database.sa, "create_engine"), counted(monkeypatch, database, "QuickStorage")
    loaded = counted(monkeypatch, studies, "load_data")
    name, *options = command
    assert nas_command(name, finished, *options).code == 0
    assert (len(read), len(ours)) == (1, 1)
    assert len(optunas) <= 1 and len(loaded) == (name == "search")
    assert times_open(path) == before


def test_leaving_a_study_closes_it_and_so_does_forgetting_it(finished: Path) -> None:
    path = finished.parent / "tiny" / "study.db"
    before = times_open(path)
    with nas.open_study(finished) as study:
        assert study.trials() and study.ended()
        assert times_open(path) > before
    assert times_open(path) == before
    forgotten = nas.open_study(finished)
    assert forgotten.growth() is None and times_open(path) > before
    del forgotten
    gc.collect()
    assert times_open(path) == before


def test_what_is_given_an_opened_study_uses_it(finished_study: Study) -> None:
    assert find_study(finished_study) is finished_study
    assert nas.open_study(finished_study).store is finished_study.store
    with pytest.raises(nas.UserError, match="storage does not apply: study 'tiny' is open in sqlite:"):
        nas.run_study(finished_study, storage="sqlite:///other.db")
    ran = nas.run_study(finished_study, trials=0)
    assert ran.database is finished_study.database and ran == finished_study


def test_another_process_gets_the_address_and_opens_its_own(finished_study: Study) -> None:
    trials, images = finished_study.trials(), finished_study.dataset
    there = pickle.loads(pickle.dumps(finished_study))
    assert there == finished_study and there.database is not finished_study.database
    assert there.trials() == trials and there.dataset is not images


def test_a_study_that_was_never_run_lacks_all_its_trials_and_leaves_no_trace(tiny_config: StudyConfig) -> None:
    with find_study(tiny_config) as study:
        assert not study.was_run() and study.missing_trials() == 8
    assert not Path("studies").exists()
