"""Searches in processes of their own, whose hands train by a formula; and what must be true of a study at its end."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
import yaml
from conftest import FORKING, TINY, wait_until
from optuna.trial import TrialState
from servers import PASSWORD

from nas.search.opening import open_study
from nas.search.study import Study

HAND = (sys.executable, "-S", str(Path(__file__).parents[2] / "executors" / "fake_hand.py"))


def write_study(path: Path, *, trials: int, **search: Any) -> Path:
    """Write the definition of a study of so many networks that few are proposed twice."""
    coefficients = {"min": 0.25, "max": 2.0, "step": 0.01}
    asked = {"spaces": ["resnet_small", "efficientnet_small"], "width": coefficients, "depth": coefficients}
    document = {
        **TINY,
        "name": path.stem,
        "data": {"digits": True, "limit": 100},
        "budget": {"flops": {"max": "20M"}},
        "search": {
            **asked,
            "resolution": {"min": 8, "max": 20, "step": 1},
            "trials": trials,
            "sampler": "random",
            **search,
        },
        "recipe": {"epochs": 2, "batch_size": 32, "learning_rate": 0.2},
    }
    path.write_text(yaml.safe_dump(document))
    return path


class How(NamedTuple):
    """How a search is run.

    Attributes:
        storage: URL of the database; None for a file in the study's folder.
        workers: Number of hands.
        lease: Seconds.
        patience: Seconds.
        host: Name of the machine that it takes itself to be on; None for its own.
        seconds: That an epoch takes.
        hours_ahead: How far its clock is ahead.
        idle: Seconds that a transaction may wait for its process.
    """

    storage: str | None = None
    workers: int = 2
    lease: float = 60.0
    patience: float = 3600.0
    host: str | None = None
    seconds: float = 0.05
    hours_ahead: float = 0.0
    idle: int = 20


def search(path: Path, output: Path, how: How) -> None:
    """Search in this process as the command line does, with all that it tells in a file."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    os.environ.update(FAKE_SECONDS=str(how.seconds), FAKE_LOG=str(path.with_suffix(".log")), FAKE_IMAGES="20")
    os.environ["NAS_EXECUTOR"] = "processes"
    os.chdir(path.parent)

    import socket
    import time

    from nas.cli import main
    from nas.search.run import start
    from nas.search.storage import database

    if how.host is not None:
        name = how.host
        socket.gethostname = lambda: name
    if how.hours_ahead:
        clock, ahead = time.time, 3600 * how.hours_ahead
        time.time = lambda: clock() + ahead
    database.IDLE_SECONDS = how.idle
    start.Lease = partial(start.Lease, seconds=how.lease)  # type: ignore[misc,assignment]
    start.Processes = partial(start.Processes, command=HAND)  # type: ignore[misc,assignment]
    storage = [] if how.storage is None else ["--storage", how.storage]
    options = ["--workers", str(how.workers), "--patience", f"{how.patience:g}s", *storage]
    sys.argv = ["nas", "search", str(path), *options]
    main()


class Search:
    """A search in a process of its own."""

    def __init__(self, path: Path, output: Path, how: How) -> None:
        """Begin it."""
        self.output = output
        self.process = FORKING.Process(target=search, args=(path, output, how))
        self.process.start()

    @property
    def told(self) -> str:
        """All that it has printed."""
        return self.output.read_text() if self.output.exists() else ""

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End it at once, as the kernel does."""
        self.signal(signal.SIGKILL)
        self.process.join()

    def ended(self, *, seconds: float = 120.0) -> int:
        """Wait for its end, and return its exit code."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"it goes on: {self.told}"
        return self.process.exitcode

    def trained(self, path: Path, storage: str | None, *, least: int) -> None:
        """Wait until a study has so many trained trials, while it goes on."""

        def enough() -> bool:
            assert self.process.is_alive(), self.told
            return count(path, storage, "trained") >= least

        wait_until(enough)


def begun_in(folder: Path) -> Iterator[Callable[[Path, How], Search]]:
    """Yield what begins a search whose output lies in a folder, and end all of them at last."""
    searches = list[Search]()

    def start(path: Path, how: How) -> Search:
        searches.append(Search(path, folder / f"output_{len(searches)}", how))
        return searches[-1]

    yield start
    for one in searches:
        one.process.kill()


def count(path: Path, storage: str | None, state: str) -> int:
    """Return how many trials of a study are in a state; 0 where it has not begun."""
    from nas.errors import StudyError

    try:
        with open_study(path, storage=storage) as study:
            return list(study.store.states().values()).count(state)
    except StudyError:
        return 0


def require_whole(path: Path, storage: str | None, *, trials: int) -> Study:
    """Make sure that a study has ended with nothing lost, doubled or stuck, and return it."""
    study = open_study(path, storage=storage)
    records = study.trials()
    assert len(records) == trials, Counter(record.state for record in records)
    assert {record.state for record in records} <= {"trained", "repeated", "infeasible", "stopped"}
    assert {repeat.state for repeat in study.repeats()} <= {"trained"}
    own = Counter(record.digest for record in records if record.state in ("trained", "stopped"))
    assert not own or max(own.values()) == 1  # no network has two trainings
    weights = {file.stem for file in study.weights_folder().glob("*.safetensors")}
    assert weights == {record.digest for record in records if record.state == "trained"}
    with study.database.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT state, owner FROM nas_training")).all()
        assert {(row.state, row.owner) for row in rows} <= {("ended", None), ("paused", None)}
        assert not connection.execute(sa.text("SELECT * FROM nas_lead")).all()
    told = study.optuna().get_trials(deepcopy=False)
    assert not [trial.number for trial in told if trial.state in (TrialState.RUNNING, TrialState.WAITING)]
    copies = Counter(number for trial in told if (number := trial.user_attrs.get("nas:promoted")) is not None)
    assert not copies or max(copies.values()) == 1
    for record in records:
        optunas = told[record.number]
        if record.state == "trained" and optunas.state is TrialState.COMPLETE:
            assert optunas.values == [record.accuracy, record.flops]
        elif record.state == "trained":
            assert optunas.state is TrialState.PRUNED and copies[record.number] == 1
        else:
            assert optunas.state in (TrialState.PRUNED, TrialState.COMPLETE)
    return study


def require_decent(*searches: Search) -> None:
    """Make sure that no output shows a traceback or the password."""
    for one in searches:
        assert "Traceback" not in one.told and PASSWORD not in one.told, one.told


class Begun(NamedTuple):
    """What the log of the hands tells: how often each training was begun and came to its end."""

    begun: Counter[str]
    ended: Counter[str]


def most_often_trained(path: Path) -> int:
    """Return how often, at most, an epoch of a training was trained."""
    lines = [line.split() for line in path.with_suffix(".log").read_text().splitlines()]
    return max(Counter((line[1].rpartition(".")[0], line[2]) for line in lines if line[0] == "epoch").values())


def read_log(path: Path) -> Begun:
    """Read what the hands of a study have noted, by network and repeat."""
    lines = [line.split() for line in path.with_suffix(".log").read_text().splitlines()]
    keys = [(line[0], line[1].rpartition(".")[0]) for line in lines]
    return Begun(*(Counter(key for what, key in keys if what == one) for one in ("begin", "end")))
