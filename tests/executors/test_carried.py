"""Checkpoints that lie elsewhere: fetched, brought back whole, removed when nobody goes on from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas.config.study import StudyConfig
from nas.errors import StudyError
from nas.executors import carried
from nas.executors.carried import carrying, fetch, names, put
from nas.executors.task import Ended, EpochDone, Failed, Stopped, Task, Told
from nas.records import Epoch, Repeat
from nas.search.run.events import EpochFinished, Event
from nas.search.run.shelf import Shelf
from nas.search.run.start import run_study
from nas.search.study import Study
from tests.conftest import TINY, Outcome

HALVED = {**TINY, "search": {**TINY["search"], "sampler": "random", "trials": 4, "halving": {"first": 1, "factor": 2}}}
EPOCH = Epoch(1, 1.0, 0.1, 0.5, 0.5, 1.0)


def ended() -> Ended:
    import numpy as np

    return Ended("1", False, (EPOCH,), "cpu", 1.0, None, 0.0, np.zeros(1, np.int64))


@pytest.fixture
def there(tmp_path: Path) -> str:
    return f"file://{tmp_path}/there"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_what_a_training_writes_is_brought_before_it_is_told(there: str, tmp_path: Path) -> None:
    task = Task("1", "", {}, 0, f"{there}/c", f"{there}/w")
    seen: list[list[str]] = []
    with carrying(task, lambda told: bool(seen.append(files(tmp_path / "there"))), lambda: False) as (
        local,
        tell,
        stop,
    ):
        tell(EpochDone("1", EPOCH))
        Path(local.checkpoint).write_text("one")
        assert not stop()
        assert (tmp_path / "there" / "c").read_text() == "one"
        Path(local.checkpoint).write_text("another")
        assert local.weights is not None
        Path(local.weights).write_text("weights")
        tell(ended())
    assert seen == [[], ["c", "w"]]
    assert (tmp_path / "there" / "c").read_text() == "another"
    assert not Path(local.checkpoint).exists()


def test_a_training_goes_on_from_what_lies_there(there: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("state")
    put(tmp_path / "x", f"{there}/c")
    with carrying(Task("1", "", {}, 0, f"{there}/c"), lambda told: True, lambda: True) as (local, tell, stop):
        assert Path(local.checkpoint).read_text() == "state"
        (tmp_path / "there" / "c").unlink()
        assert stop()
    assert files(tmp_path / "there") == []  # what did not change was not brought back


def test_local_files_stay_where_they_are() -> None:
    task = Task("1", "", {}, 0, "/some/checkpoint")
    with carrying(task, print, bool) as same:
        assert same == (task, print, bool)


def test_what_cannot_be_brought_is_no_result(there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, place: str) -> None:
        raise StudyError("no room")

    monkeypatch.setattr(carried, "put", full)
    heard: list[Told] = []
    told = lambda what: bool(heard.append(what))  # noqa: E731
    with carrying(Task("1", "", {}, 0, f"{there}/c"), told, lambda: False) as (local, tell, stop):
        Path(local.checkpoint).touch()
        tell(EpochDone("1", EPOCH))
        with pytest.raises(StudyError, match="no room"):
            stop()
        tell(Stopped("1"))
        tell(ended())
    assert heard == [EpochDone("1", EPOCH), Stopped("1"), Failed("1", "surroundings", "no room")]


def test_a_file_has_its_name_once_it_is_whole(there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.local import LocalFileSystem

    (tmp_path / "x").write_text("new")
    put(tmp_path / "x", f"{there}/c")
    (tmp_path / "x").write_text("newer")
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "mv", lambda *arguments, **more: 1 / 0)
        with pytest.raises(StudyError, match=r"there/c: cannot be written: division"):
            put(tmp_path / "x", f"{there}/c")
    assert (tmp_path / "there" / "c").read_text() == "new"
    assert not fetch(f"{there}/missing", tmp_path / "y")
    assert files(tmp_path) == ["c", "c.partial", "x"]
    assert sorted(names(there)) == ["c", "c.partial"]
    assert names(f"{there}/nowhere") == []


@pytest.mark.parametrize("kind", ["file", "memory", "path"])
def test_a_study_with_checkpoints_elsewhere_finds_the_same(kind: str, tmp_path: Path) -> None:
    place = {"file": f"file://{tmp_path}/there", "memory": "memory://there", "path": str(tmp_path / "there")}[kind]
    pressed: list[Event] = []

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochFinished) and not pressed:
            pressed.append(event)
            raise KeyboardInterrupt

    def found(name: str, **options: Any) -> list[tuple[Any, ...]]:
        with run_study(StudyConfig.model_validate({**HALVED, "name": name}), executor="inline", **options) as study:
            return [(trial.digest, trial.state, trial.accuracy, trial.epochs) for trial in study.trials()]

    with pytest.raises(KeyboardInterrupt):
        found("far", checkpoints=place, on_event=interrupt)
    far = found("far", checkpoints=place)
    assert far == found("near")
    trained = {digest for digest, state, *_ in far if state == "trained"}
    paused = {digest for digest, state, *_ in far if state == "stopped"}
    assert trained and paused
    weights = next((tmp_path / "studies" / "far" / "weights").iterdir())
    assert {path.stem for path in weights.glob("*.safetensors")} == trained
    assert {Path(name).stem for name in names(f"{place}/far/{weights.name}")} == paused
    assert not (weights / "unfinished").exists()


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("/proc/there", "--checkpoints /proc/there/.nas-"),
        ("unheard://there", "--checkpoints unheard://there/.nas-"),
        ("s3://there", "--checkpoints s3://there/.nas-"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(place: str, line: str, nas_command: Callable[..., Outcome]) -> None:
    outcome = nas_command("search", "digits", "--checkpoints", place)
    assert outcome.code == 2
    assert outcome.err.startswith(f"nas: {line}")
    assert len(outcome.err.splitlines()) == 1
    assert not Path("studies").exists()


def test_checkpoints_elsewhere_stay_while_a_training_may_go_on(there: str, tmp_path: Path, own_study: Study) -> None:
    one, another = own_study.trials()[:2]
    shelf = Shelf(tmp_path / "weights", there)
    (tmp_path / "x").touch()
    for name in (one.digest, another.digest, f"{one.digest}.1", "unknown"):
        put(tmp_path / "x", shelf.checkpoint(name))
    trials = [replace(one, state="trained"), replace(another, state="stopped")]
    shelf.prune(trials, [Repeat(one.number, 1, seed=0, state="interrupted")])
    assert files(tmp_path / "there") == sorted(f"{name}.safetensors" for name in (another.digest, f"{one.digest}.1"))
