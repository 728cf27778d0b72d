"""Hands and coordinators that are killed at random: nothing is lost, nothing is done twice, nothing is left behind."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import psutil
import pytest
import sqlalchemy as sa
import yaml
from conftest import FORKING, scaled, wait_until
from halved import all_of, document

from nas.cli import main
from nas.executors.processes import Processes
from nas.search.disk import CHECKPOINTS
from nas.search.opening import open_study
from nas.search.run import reports, start
from nas.search.storage.schema import TRAINING
from nas.search.study import Study

FAKE = (sys.executable, "-S", str(Path(__file__).parents[2] / "executors" / "fake_hand.py"))
STUDY = {"trials": 12, "replicates": {"of": "spread", "networks": 2, "seeds": 2}}
SECONDS = 0.04
"""Of an epoch."""


def search(path: Path, workers: int, log: Path) -> None:
    """Search with hands that load in a moment, and with as many tries of a network as there are kills."""
    os.environ.update(FAKE_SECONDS=str(SECONDS), FAKE_LOG=str(log), FAKE_IMAGES="30", NAS_EXECUTOR="processes")
    setattr(start, "Processes", partial(Processes, command=FAKE))  # noqa: B010 - mypy knows a class
    setattr(reports, "_TRIES", sys.maxsize)  # noqa: B010
    sys.argv = ["nas", "search", str(path), "--workers", str(workers)]
    main()


def begin(path: Path, workers: int, log: Path) -> Any:
    process = FORKING.Process(target=search, args=(path, workers, log))
    process.start()
    return process


def hands_of(process: Any) -> list[psutil.Process]:
    with suppress(psutil.Error):
        children = psutil.Process(process.pid).children()
        return [child for child in children if FAKE[-1] in child.cmdline()]
    return []


class Kill(NamedTuple):
    """When, and of whom."""

    at: float
    who: str


class Killed(NamedTuple):
    """A study that came through, and what was done to it."""

    study: Study
    kills: list[Kill]
    hands: set[psutil.Process]
    log: Path


def killed(path: Path, *, workers: int, kills: int, seed: int) -> Killed:
    """Run a study to its end, killing hands, the coordinator or both at random; the next start waits for nothing."""
    generator, log, done, seen = random.Random(seed), path.with_suffix(".log"), list[Kill](), set[psutil.Process]()
    process = begin(path, workers, log)
    while process.is_alive():
        process.join(generator.uniform(0.0, 0.4))
        hands = hands_of(process)
        seen.update(hands)
        if len(done) >= kills or not hands or not log.exists():
            continue
        who = generator.choices(("hand", "coordinator", "both"), (6, 1, 1))[0]
        with suppress(psutil.Error):
            if who != "hand":
                os.kill(process.pid, signal.SIGKILL)
            if who != "coordinator":
                generator.choice(hands).kill()
            done.append(Kill(time.time(), who))
        if who != "hand":
            process.join()
            process = begin(path, workers, log)
    assert process.exitcode == 0
    return Killed(open_study(path), done, seen, log)


def write_study(path: Path) -> Path:
    path.write_text(yaml.safe_dump(document(path.stem, "random", **STUDY)))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Return a study that nobody disturbed."""
    path = write_study(tmp_path_factory.mktemp("whole") / "whole.yaml")
    return killed(path, workers=1, kills=0, seed=0).study


def require_nothing_left(found: Killed) -> None:
    """Make sure that nothing is unfinished, and that no file and no process is left."""
    study = found.study
    trials, repeats = study.trials(), study.repeats()
    ended = [trial for trial in trials if trial.state != "interrupted" or study.store.reserved(trial.digest)]
    assert {trial.state for trial in ended} <= {"trained", "stopped", "repeated", "infeasible"}
    assert len(ended) == STUDY["trials"] and {repeat.state for repeat in repeats} == {"trained"}
    with study.database.engine.connect() as connection:
        states = set(connection.execute(sa.select(TRAINING.c.state)).scalars())
    assert states <= {"ended", "paused"}
    assert not study.optuna().get_trials(states=(optuna.trial.TrialState.RUNNING, optuna.trial.TrialState.WAITING))
    weights = {study.weights(trial) for trial in trials if trial.state == "trained"}
    folder = study.weights_folder() / CHECKPOINTS
    checkpoints = {folder / f"{trial.digest}.safetensors" for trial in trials if trial.state == "stopped"}
    files = {path for path in study.directory.rglob("*") if path.is_file()}
    assert files == {*weights, *checkpoints, study.directory / "study.db"}
    wait_until(lambda: not any(hand.is_running() for hand in found.hands), seconds=10)


def trained_again(found: Killed) -> Iterator[tuple[float, float]]:
    """Yield when an epoch of a training was made, and when it was made once more."""
    made = dict[tuple[str, ...], float]()
    for line in found.log.read_text().splitlines():
        what, key, epoch, at, _ = line.split()
        network, repeat, _ = key.split(".")
        if what == "epoch":
            if (network, repeat, epoch) in made:
                yield made[network, repeat, epoch], float(at)
            made[network, repeat, epoch] = float(at)


@pytest.mark.endurance
@pytest.mark.parametrize("workers", [1, 4])
def test_kills_of_hands_and_coordinators_cost_time_and_nothing_else(whole: Study, tmp_path: Path, workers: int) -> None:
    wanted, studies, who = scaled(3, 100), 0, Counter[str]()
    while who.total() < wanted:
        studies += 1
        path = write_study(tmp_path / f"killed_{studies}.yaml")
        found = killed(path, workers=workers, kills=min(12, wanted - who.total()), seed=100 * workers + studies)
        who.update(kill.who for kill in found.kills)
        require_nothing_left(found)
        if workers == 1:
            assert all_of(found.study) == all_of(whole)
        assert [trial.digest for trial in proposals(found.study)] == [trial.digest for trial in proposals(whole)]
        again = list(trained_again(found))  # only epochs that a kill has cut off before they were saved
        assert all(any(first <= kill.at <= second for kill in found.kills) for first, second in again)
        assert len(again) <= sum(1 if kill.who == "hand" else workers for kill in found.kills)
    print(f"{workers} hands: {dict(who)} of {studies} studies")


def proposals(study: Study) -> list[Any]:
    return [t for t in study.trials() if t.state != "interrupted" or study.store.reserved(t.digest) == t.number]
