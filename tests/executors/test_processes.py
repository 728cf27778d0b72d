"""Processes that die before and while they train, that hang, and that outlive nobody; without torch, so quick."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nas.data.sources import DataConfig, Dataset, load_data
from nas.errors import DataError, NasError, StudyError
from nas.executors import processes
from nas.executors.processes import Processes
from nas.executors.task import ENDS, Died, Ended, Stopped, Task, Told

FAKE = Path(__file__).with_name("fake_hand.py")
DATA = DataConfig(digits=True, limit=150)
LISTENING = "import json, sys, time\nsys.stdin.readline()\nprint(json.dumps({'ready': 1}), flush=True)\n"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_data(DATA)


Make = Callable[..., Processes]


@pytest.fixture
def make(dataset: Dataset) -> Iterator[Make]:
    """Return what makes hands of a script; they are closed at the end."""
    made: list[Processes] = []

    def hands(*arguments: str, count: int = 1) -> Processes:
        made.append(Processes(DATA, lambda: dataset, devices=["cpu"] * count, command=(sys.executable, *arguments)))
        return made[-1]

    yield hands
    for one in made:
        one.close()


def task(folder: Path, key: str = "a.0.1", **recipe: Any) -> Task:
    return Task(key, "{}", {"epochs": 3, **recipe}, 7, str(folder / f"{key}.safetensors"))


def told_of(hands: Processes, job: Task) -> list[Told]:
    told: list[Told] = []
    hands.start(job)
    while not (told and isinstance(told[-1], ENDS)):
        hands.wait(lambda one: told.append(one) is None, seconds=30)  # type: ignore[func-returns-value]
    return told


def test_a_hand_is_kept_for_the_next_training(make: Make, tmp_path: Path) -> None:
    hands = make("-S", str(FAKE))
    assert isinstance(told_of(hands, task(tmp_path, "a.0.1"))[-1], Ended)
    first = hands._hands[0]
    assert isinstance(told_of(hands, task(tmp_path, "b.0.1"))[-1], Ended) and hands._hands[0] is first


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import no_such_module", "ended with exit code 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("pass", "ended with exit code 0 before it began"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV before it began"),
    ],
)
def test_a_hand_that_cannot_begin_is_told_in_one_line(script: str, message: str, make: Make, tmp_path: Path) -> None:
    with pytest.raises(NasError, match=f"^a training process {message}") as raised:
        told_of(make("-S", "-c", script), task(tmp_path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "kind"), [("DataError", DataError), ("StudyError", StudyError), ("Else", NasError)])
def test_a_hand_that_cannot_read_the_images_says_so(name: str, kind: type, make: Make, tmp_path: Path) -> None:
    script = f"import json; print(json.dumps({{'broken': 'no images', 'type': {name!r}}}))"
    with pytest.raises(kind, match="^a training process cannot begin: no images$"):
        told_of(make("-S", "-c", script), task(tmp_path))


def test_an_interpreter_that_is_not_there_is_named(dataset: Dataset, tmp_path: Path) -> None:
    hands = Processes(DATA, lambda: dataset, devices=["cpu"], command=("/nowhere/python",))
    with pytest.raises(FileNotFoundError) as raised:
        hands.prepare(1)
    assert raised.value.filename == "/nowhere/python"


def test_a_hand_that_is_killed_while_it_loads_is_started_anew(make: Make, tmp_path: Path) -> None:
    count = tmp_path / "count"
    script = f"""
import os, pathlib, runpy, signal
count = pathlib.Path({str(count)!r})
count.write_text(count.read_text() + "." if count.exists() else ".")
if len(count.read_text()) < {processes._STARTS}:
    os.kill(os.getpid(), signal.SIGKILL)
runpy.run_path({str(FAKE)!r}, run_name="__main__")
"""
    assert isinstance(told_of(make("-S", "-c", script), task(tmp_path))[-1], Ended)
    assert len(count.read_text()) == processes._STARTS


@pytest.mark.parametrize(
    ("last", "how"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL (out of memory?)"),
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
        ("sys.stdout.write('{\"kind\": \"Epo'); raise SystemExit('no kernel')", "ended with exit code 1: no kernel"),
    ],
)
def test_how_a_hand_died_is_told(last: str, how: str, make: Make, tmp_path: Path) -> None:
    hands = make("-S", "-c", f"{LISTENING}sys.stdin.readline()\n{last}")
    assert told_of(hands, task(tmp_path)) == [Died("a.0.1", how)] and not hands.running


def test_a_hand_that_takes_no_step_is_ended(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_SECONDS_OF_SILENCE", 2.0)
    monkeypatch.setattr(processes, "_SECONDS_AWAKE", 0.1)
    alive = f"{LISTENING}for _ in range(30):\n    time.sleep(0.1); print(json.dumps({{'alive': True}}), flush=True)\n"
    hands = make("-S", "-c", f"{alive}time.sleep(600)")
    told: list[Told] = []
    began = time.monotonic()
    hands.start(task(tmp_path))
    while not told:
        hands.wait(lambda one: told.append(one) is None, seconds=0.05)  # type: ignore[func-returns-value]
    assert told == [Died("a.0.1", "ended after no step for 2.0 s")] and not hands.running
    assert time.monotonic() - began > 4.5  # as long as it told that it is alive, it was let be


def test_a_coordinator_that_slept_does_not_blame_its_hands(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_SECONDS_OF_SILENCE", 2.0)
    monkeypatch.setattr(processes, "_SECONDS_AWAKE", 0.1)
    hands = make("-S", "-c", f"{LISTENING}sys.stdin.readline(); time.sleep(600)")
    hands.start(task(tmp_path))
    hands.wait(lambda told: True, seconds=30)  # it is ready
    hands.wait(lambda told: True, seconds=3)
    assert hands.running


def test_what_does_not_stop_in_time_is_ended_and_told_as_stopped(make: Make, tmp_path: Path) -> None:
    hands = make("-S", "-c", f"{LISTENING}time.sleep(600)", count=2)
    ready, loading = task(tmp_path, "a.0.1"), task(tmp_path, "b.0.1")
    hands.start(ready)
    hands.wait(lambda told: True, seconds=30)
    hands.start(loading)
    running = [hand.process for hand in hands._hands if hand is not None]
    told: list[Told] = []
    began = time.monotonic()
    hands.stop(lambda one: told.append(one) is None, seconds=0.5)  # type: ignore[func-returns-value]
    assert 0.4 < time.monotonic() - began < 10
    assert sorted(one.key for one in told) == ["a.0.1", "b.0.1"] and all(isinstance(one, Stopped) for one in told)
    assert not hands.running and all(process.poll() is not None for process in running)


def test_hands_end_when_their_coordinator_is_gone(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from nas.data.sources import DataConfig, load_data
from nas.executors.processes import Processes
hands = Processes(DataConfig(digits=True, limit=150), lambda: load_data(DataConfig(digits=True, limit=150)),
                  devices=["cpu"] * 2, command=(sys.executable, "-S", {str(FAKE)!r}))
hands.prepare(2)
print(*[hand.process.pid for hand in hands._hands], flush=True)
time.sleep(600)
"""
    with psutil.Popen([sys.executable, "-c", code], stdout=-1, text=True) as process:
        found = [psutil.Process(int(word)) for word in process.stdout.readline().split()]
        assert len(found) == 2
        process.kill()
    began = time.monotonic()
    gone, alive = psutil.wait_procs(found, timeout=10)
    assert not alive and time.monotonic() - began < 10
