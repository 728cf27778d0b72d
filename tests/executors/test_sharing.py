"""Trainings that share a process: who may begin, and what becomes of them if it dies. Without torch, so quick."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nas.data.sources import DataConfig, Dataset, load_data
from nas.executors import processes
from nas.executors.processes import Processes
from nas.executors.sharing import Sharing
from nas.executors.task import ENDS, Died, Ended, Stopped, Task, Told

FAKE = Path(__file__).with_name("fake_hand.py")
DATA = DataConfig(digits=True, limit=150)
ALL = Sharing(lambda task: 0, 0)
"""Shares whatever there is."""


def task(folder: Path, key: str, *, alone: bool = False) -> Task:
    return Task(f"{key}.0.1", "{}", {"epochs": 4}, 7, str(folder / f"{key}.safetensors"), alone=alone)


@pytest.mark.parametrize(
    ("needs", "alone", "beside", "admitted"),
    [
        (100, False, {}, True),  # whatever it takes: there will be no more room than now
        (100, True, {}, True),
        (4, False, {"a": 6}, True),
        (5, False, {"a": 6}, False),
        (4, False, {"a": 3, "b": 3}, True),
        (4, False, {"a": 3, "b": 4}, False),
        (1, True, {"a": 1}, False),
        (1, False, {"a alone": 1}, False),
        (1, False, {"a": 1, "b alone": 1}, False),
    ],
)
def test_a_training_begins_beside_others_where_the_memory_is_enough_for_all(
    needs: int, alone: bool, beside: dict[str, int], admitted: bool, tmp_path: Path
) -> None:
    sizes = {f"{name}.0.1": size for name, size in {**beside, "new": needs}.items()}
    sharing = Sharing(lambda one: sizes[one.key], room=10)
    others = [task(tmp_path, name, alone="alone" in name) for name in beside]
    assert sharing.admits(task(tmp_path, "new", alone=alone), others) is admitted


Make = Callable[..., Processes]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_data(DATA)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAKE_SECONDS", "0.1")
    return tmp_path / "log"


@pytest.fixture
def make(dataset: Dataset, log: Path) -> Iterator[Make]:
    made: list[Processes] = []

    def hands(*devices: str, sharing: Sharing = ALL, command: tuple[str, ...] = ("-S", str(FAKE))) -> Processes:
        given = (sys.executable, *command)
        made.append(Processes(DATA, lambda: dataset, devices=devices, sharing=sharing, command=given))
        return made[-1]

    yield hands
    for one in made:
        one.close()


def told_of(hands: Processes, *tasks: Task) -> dict[str, list[Told]]:
    """Do tasks, and return what was told of each until all had ended."""
    told: dict[str, list[Told]] = {one.key.partition(".")[0]: [] for one in tasks}
    for one in tasks:
        hands.start(one)
    deadline = time.monotonic() + 60
    while hands.running and time.monotonic() < deadline:
        hands.wait(lambda one: bool(told[one.key.partition(".")[0]].append(one)), seconds=1)  # type: ignore[func-returns-value]
    assert not hands.running
    return told


def begun(log: Path) -> list[str]:
    """Return the trainings that were begun, in that order, and those that ended, as ``-name``."""
    lines = [line.split() for line in log.read_text().splitlines()]
    signs = {"begin": "", "end": "-", "crowded": "!"}
    return [signs[line[0]] + line[1].partition(".")[0] for line in lines if line[0] in signs]


def test_trainings_of_a_device_share_a_process_and_each_is_told_what_is_its_own(make: Make, tmp_path: Path) -> None:
    hands = make("gpu", "gpu", "gpu")
    told = told_of(hands, *(task(tmp_path, name) for name in "abc"))
    assert hands.hands == 3 and len(hands._hands) == 1
    for name, lines in told.items():
        assert [type(one) for one in lines[-1:]] == [Ended] and {one.key for one in lines} == {f"{name}.0.1"}
    curves = [one.curve for lines in told.values() for one in lines if isinstance(one, Ended)]
    assert [len(curve) for curve in curves] == [4, 4, 4] and len(set(curves)) == 3


def test_each_gets_the_answer_to_its_own_question(make: Make, tmp_path: Path) -> None:
    hands = make("gpu", "gpu")
    for name in "ab":
        asking = Task(f"{name}.0.1", "{}", {"epochs": 4}, 7, str(tmp_path / name), rungs=(2,))
        hands.start(asking)
    told: list[Told] = []

    def answer(one: Told) -> bool:
        told.append(one)
        return one.key.startswith("a")

    while hands.running:
        hands.wait(answer, seconds=30)
    ends = {one.key[0]: one for one in told if isinstance(one, Ended)}
    assert {name: (len(end.curve), end.paused) for name, end in ends.items()} == {"a": (4, False), "b": (2, True)}


def test_trainings_are_spread_over_devices(make: Make, tmp_path: Path, log: Path) -> None:
    hands = make("gpu 0", "gpu 1", "gpu 0", "gpu 1")
    told_of(hands, *(task(tmp_path, name) for name in "abcd"))
    places: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        what, key, _, _, process = line.split()
        if what == "begin":
            places.setdefault(process, []).append(key[0])
    assert sorted(map(sorted, places.values())) == [["a", "c"], ["b", "d"]]


def test_a_process_is_given_no_more_than_its_part(make: Make, tmp_path: Path) -> None:
    sizes = {"a.0.1": 10, "b.0.1": 1, "c.0.1": 1, "d.0.1": 1}
    hands = make("gpu 0", "gpu 1", "gpu 0", "gpu 1", sharing=Sharing(lambda one: sizes[one.key], room=10))
    for name in "abcd":
        hands.start(task(tmp_path, name))
    assert hands._held == {"a.0.1", "b.0.1", "c.0.1"} and hands.running == sizes.keys()


def test_who_waits_for_room_is_overtaken_by_none(make: Make, tmp_path: Path, log: Path) -> None:
    sizes = {"a.0.1": 6, "b.0.1": 6, "c.0.1": 1}
    hands = make("gpu", "gpu", "gpu", sharing=Sharing(lambda one: sizes[one.key], room=10))
    told_of(hands, *(task(tmp_path, name) for name in "abc"))
    assert begun(log)[:2] == ["a", "-a"] and set(begun(log)[2:4]) == {"b", "c"}


def test_what_has_no_memory_beside_others_goes_on_alone(
    make: Make, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CROWD", "1")
    hands = make("gpu", "gpu", "gpu", sharing=Sharing(lambda one: 5, room=10))
    told = told_of(hands, *(task(tmp_path, name) for name in "abc"))
    assert all(isinstance(lines[-1], Ended) and len(lines[-1].curve) == 4 for lines in told.values())
    assert not any(isinstance(one, Died | Stopped) for lines in told.values() for one in lines)
    events = begun(log)
    first = events[2].removeprefix("!")
    other = "b" if first == "a" else "a"
    assert events == ["a", "b", f"!{first}", f"-{other}", first, f"-{first}", "c", "-c"]


@pytest.mark.parametrize("how", ["SIGSEGV", 3])
def test_a_death_beside_others_is_nobodys_and_each_tries_again_alone(
    how: str | int, make: Make, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CRASH", json.dumps({"network": 1, "times": 1, "how": how, "beside": True}))
    told = told_of(make("gpu", "gpu", "gpu"), *(task(tmp_path, name) for name in "abc"))
    assert all(isinstance(lines[-1], Ended) for lines in told.values())
    assert not any(isinstance(one, Died) for lines in told.values() for one in lines)
    assert sorted(begun(log)[:3]) == ["a", "b", "c"]
    assert begun(log)[3:] == ["a", "-a", "b", "-b", "c", "-c"]


def test_only_who_dies_alone_is_told_to_have_died(
    make: Make, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CRASH", json.dumps({"network": 0, "times": 9, "how": "SIGSEGV"}))
    told = told_of(make("gpu", "gpu"), task(tmp_path, "a"), task(tmp_path, "b"))
    assert told["a"][-1] == Died("a.0.1", "killed by SIGSEGV")
    assert sum(isinstance(one, ENDS) for one in told["a"]) == 1 and isinstance(told["b"][-1], Ended)
    assert begun(log)[2:] == ["a", "b", "-b"]


def test_trainings_of_a_process_that_hangs_try_again_alone(
    make: Make, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_SECONDS_OF_SILENCE", 1.0)
    monkeypatch.setenv("FAKE_SECONDS", "1.5")
    hands = make("gpu", "gpu")
    for name in "ab":
        hands.start(task(tmp_path, name))
    told: list[Told] = []
    while len(told) < 2:
        hands.wait(lambda one: bool(told.append(one)), seconds=0.1)  # type: ignore[func-returns-value]
    how = "ended after no step for 1.0 s"
    assert told == [Died("a.0.1", how), Died("b.0.1", how)] and begun(log)[2:] == ["a", "b"]


def test_all_of_a_process_are_stopped_and_who_waits_begins_no_more(make: Make, tmp_path: Path, log: Path) -> None:
    sizes = {"a.0.1": 5, "b.0.1": 5, "c.0.1": 5}
    hands = make("gpu", "gpu", "gpu", sharing=Sharing(lambda one: sizes[one.key], room=10))
    for name in "abc":
        hands.start(task(tmp_path, name))
    told: list[Told] = []
    while not told:
        hands.wait(lambda one: bool(told.append(one)), seconds=30)  # type: ignore[func-returns-value]
    assert hands.running == {"a.0.1", "b.0.1", "c.0.1"}
    hands.stop(lambda one: bool(told.append(one)), seconds=5)  # type: ignore[func-returns-value]
    assert sorted(one.key for one in told if isinstance(one, Stopped)) == ["a.0.1", "b.0.1", "c.0.1"]
    assert not hands.running and set(begun(log)) == {"a", "b"}


def test_a_process_that_dies_as_it_stops_is_not_started_anew(
    make: Make, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STUBBORN", "1")
    monkeypatch.setenv("FAKE_SECONDS", "0.3")
    monkeypatch.setenv("FAKE_CRASH", json.dumps({"network": 0, "times": 9, "how": "SIGSEGV"}))
    hands = make("gpu", "gpu")
    for name in "ab":
        hands.start(task(tmp_path, name))
    told: list[Told] = []
    while not told:
        hands.wait(lambda one: bool(told.append(one)), seconds=30)  # type: ignore[func-returns-value]
    hands.stop(lambda one: bool(told.append(one)), seconds=3)  # type: ignore[func-returns-value]
    assert sorted(one.key for one in told if isinstance(one, Stopped)) == ["a.0.1", "b.0.1"]
    assert not hands.running and begun(log) == ["a", "b"]
