"""Searches that are told to end, by a terminal or a scheduler, and others that begin meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from conftest import FORKING, Outcome, wait_until
from halved import document

from nas.cli import main
from nas.executors.processes import Processes
from nas.search.opening import open_study
from nas.search.run import start

FAKE = (sys.executable, "-S", str(Path(__file__).parents[2] / "executors" / "fake_hand.py"))
WORKERS = 2


def search(path: Path, log: Path, environment: dict[str, str], answer: Path) -> None:
    """Search as a terminal would start it: in a group of processes of its own."""
    os.setpgid(0, 0)
    os.environ.update(environment, FAKE_LOG=str(log), FAKE_IMAGES="30", NAS_EXECUTOR="processes")
    setattr(start, "Processes", partial(Processes, command=FAKE))  # noqa: B010 - mypy knows a class
    sys.argv = ["nas", "search", str(path), "--workers", str(WORKERS)]
    with answer.open("w") as file:
        os.dup2(file.fileno(), 2)
        main()


class Searching:
    """A search in a process of its own."""

    def __init__(self, path: Path, *, seconds: float, **environment: str) -> None:
        self.log, self._answer = path.with_suffix(".log"), path.with_suffix(".err")
        given = {"FAKE_SECONDS": str(seconds), **environment}
        self.process: Any = FORKING.Process(target=search, args=(path, self.log, given, self._answer))
        self.process.start()

    def begun(self) -> list[str]:
        """Return the networks that were begun, in that order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split()[1].split(".")[0] for line in lines if line.startswith("begin")]

    def hands(self) -> list[psutil.Process]:
        return [child for child in psutil.Process(self.process.pid).children() if FAKE[-1] in child.cmdline()]

    def ended(self) -> Outcome:
        self.process.join()
        return Outcome(self.process.exitcode, "", self._answer.read_text())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "stopping.yaml"
    file.write_text(yaml.safe_dump(document("stopping", "random", halving=None, trials=6)))
    return file


def to_group(searching: Searching) -> None:
    os.killpg(searching.process.pid, signal.SIGINT)


def to_process(searching: Searching) -> None:
    os.kill(searching.process.pid, signal.SIGTERM)


@pytest.mark.parametrize("tell", [to_group, to_process])
def test_what_runs_is_saved_and_goes_on_first(tell: Callable[[Searching], None], path: Path) -> None:
    first = Searching(path, seconds=0.3)
    wait_until(lambda: len(set(first.begun())) > WORKERS)  # some have ended
    wait_until(lambda: sum(t.state == "running" for t in open_study(path).trials()) == WORKERS)
    hands = first.hands()
    tell(first)
    outcome = first.ended()
    assert outcome.code == 130
    assert outcome.err.count("nas: ") == 1 and "Traceback" not in outcome.err
    assert "Continue with: nas search" in outcome.err
    assert len(hands) == WORKERS and not any(hand.is_running() for hand in hands)
    study = open_study(path)
    cut = [trial.digest for trial in study.trials() if trial.state == "interrupted"]
    assert len(cut) == WORKERS and not {"running"} & {trial.state for trial in study.trials()}
    before = len(first.begun())
    again = Searching(path, seconds=0.02)
    assert again.ended().code == 0
    assert set(again.begun()[before : before + WORKERS]) == set(cut)
    assert max(Counter(again.begun()).values()) == 2  # nothing but what was cut off is begun again


def test_a_second_time_ends_it_at_once(path: Path) -> None:
    searching = Searching(path, seconds=30, FAKE_STUBBORN="yes")
    wait_until(lambda: len(searching.begun()) == WORKERS)
    hands = searching.hands()
    to_group(searching)
    time.sleep(1)
    assert searching.process.is_alive()  # it waits for hands that should stop
    to_group(searching)
    began = time.monotonic()
    assert searching.ended().code == 130 and time.monotonic() - began < 2
    assert not any(hand.is_running() for hand in hands)
    assert [trial.state for trial in open_study(path).trials()].count("interrupted") == WORKERS


def test_hands_that_do_not_stop_are_ended_in_time(path: Path) -> None:
    searching = Searching(path, seconds=30, FAKE_STUBBORN="yes")
    wait_until(lambda: len(searching.begun()) == WORKERS)
    hands = searching.hands()
    to_group(searching)
    began = time.monotonic()
    assert searching.ended().code == 130 and time.monotonic() - began < start_seconds() + 3
    assert not any(hand.is_running() for hand in hands)


def start_seconds() -> float:
    from nas.search.run.coordinator import SECONDS_TO_STOP

    return SECONDS_TO_STOP


def test_after_kill_9_hands_end_and_the_next_start_waits_for_nothing(path: Path) -> None:
    first = Searching(path, seconds=0.5)
    wait_until(lambda: len(first.begun()) > WORKERS)
    hands = first.hands()
    os.kill(first.process.pid, signal.SIGKILL)
    began = time.monotonic()
    gone, alive = psutil.wait_procs(hands, timeout=10)
    assert not alive and len(gone) == WORKERS and time.monotonic() - began < 10
    first.process.join()
    before = len(first.begun())
    again = Searching(path, seconds=0.02)
    wait_until(lambda: len(again.begun()) > before, seconds=30)
    assert again.ended().code == 0
    assert Counter(trial.state for trial in open_study(path).trials())["interrupted"] == 0


def test_meanwhile_another_is_refused_and_status_tells(path: Path, nas_command: Callable[..., Outcome]) -> None:
    searching = Searching(path, seconds=30)
    wait_until(lambda: len(searching.begun()) == WORKERS)
    other = nas_command("search", path)
    assert other.code == 2
    (line,) = other.err.strip().splitlines()
    assert f"study 'stopping' is being searched by process {searching.process.pid} on" in line
    assert time.strftime(" since %Y-%m-%d %H:") in line and "--workers N" in line
    status = nas_command("status", path).out
    assert "2 running" in status and status.count("search: ") + status.count("searching now: ") == 1
    to_group(searching)
    assert searching.ended().code == 130
