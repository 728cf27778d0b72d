"""Searches that are killed, at moments that were chosen and at any, and come to the same end by the same command."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from conftest import FORKING, TINY, scaled
from halved import all_of, document
from sqlalchemy.engine.default import DefaultDialect

from nas.cli import main
from nas.search.opening import open_study
from nas.search.run import reports
from nas.search.run.start import run_study
from nas.search.storage.trainings import Trainings
from nas.search.study import Study
from nas.training import job

SMALL: dict[str, Any] = {"data": {"digits": True, "limit": 150}, "recipe": {**TINY["recipe"], "batch_size": 32}}
REPEATED = {"trials": 3, "sampler": "pareto", "startup_trials": 2, "replicates": {"of": "spread", "networks": 2}}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "plain": {**TINY, **SMALL, "search": {**TINY["search"], "trials": 6}},
    "halved": document("halved", "random"),
    "repeating": {**TINY, **SMALL, "budget": {"flops": {"max": "300k"}}, "search": {**TINY["search"], **REPEATED}},
}
HOOKS: dict[str, tuple[Any, str]] = {
    "begun": (Trainings, "propose"),
    "epoch": (Trainings, "add_epoch"),
    "noted": (reports, "EpochFinished"),
    "promoted": (Trainings, "promote"),
    "finished": (Trainings, "end_trial"),
    "saved": (job, "save_weights"),
    "copied": (optuna.Study, "add_trial"),
    "wanted again": (Trainings, "want_repeat"),
    "finished again": (Trainings, "end_repeat"),
}
KILLS = {
    "plain": [("epoch", 3)],  # in a training that is not the first
    "halved": [
        ("begun", 1),
        ("epoch", 1),  # at a rung, before it is asked whether to go on
        ("finished", 1),  # and Optuna has been told
        ("epoch", 5),  # of a promoted training, at its next rung
        ("promoted", 1),
        ("epoch", 3),  # of the same, past the rungs
        ("saved", 1),  # it still counts as running, and its checkpoint has its result
        ("finished", 1),  # it is trained, and Optuna has no copy
        ("copied", 1),
    ],
    "repeating": [("noted", 7), ("wanted again", 2), ("finished again", 1)],  # the first after three whole trainings
}


def write_study(path: Path, kind: str) -> Path:
    path.write_text(yaml.safe_dump({**DOCUMENTS[kind], "name": path.stem}))
    return path


@pytest.fixture(scope="module", params=list(DOCUMENTS))
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Return a study that was run at one go."""
    return run_study(write_study(tmp_path_factory.mktemp(request.param) / f"{request.param}.yaml", request.param))


def search(path: Path) -> None:
    sys.argv = ["nas", "search", str(path)]
    main()


def search_until_called(path: Path, hook: str, count: int) -> None:
    """Search in this process, which kills itself right after a function was called for the ``count``-th time."""
    owner, name = HOOKS[hook]
    setattr(owner, name, counted(getattr(owner, name), before=lambda: None, after=deadly(count)))
    search(path)


def search_until_written(path: Path, count: int) -> None:
    """Search in this process, which kills itself before or after it writes; each write is two moments."""
    moment = deadly(count)
    for owner, name in ((DefaultDialect, "do_commit"), (os, "replace")):  # of the database, and of weights
        setattr(owner, name, counted(getattr(owner, name), before=moment, after=moment))
    search(path)


def search_for(path: Path, seconds: float) -> None:
    """Search in this process, which is ended from without, wherever it is, when it has computed for so long."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which ends a process as SIGKILL does
    signal.setitimer(signal.ITIMER_PROF, seconds)
    search(path)


def deadly(count: int) -> Callable[[], None]:
    left = count

    def moment() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return moment


def counted(original: Any, *, before: Callable[[], None], after: Callable[[], None]) -> Any:
    def call(*arguments: Any, **keywords: Any) -> Any:
        before()
        result = original(*arguments, **keywords)
        after()
        return result

    return call


def ended(target: Callable[..., None], *arguments: Any) -> int | None:
    """Run a function in a process of its own, and return how that ended."""
    process = FORKING.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def test_kill_9_at_chosen_moments_and_the_same_command_again(whole: Study, tmp_path: Path) -> None:
    path = write_study(tmp_path / "killed.yaml", whole.name)
    for hook, count in KILLS[whole.name]:
        assert ended(search_until_called, path, hook, count) == -signal.SIGKILL
        study = open_study(path)
        states = [one.state for one in [*study.trials(), *study.repeats()]]
        assert states.count("running") + states.count("waiting") == (
            hook not in ("finished", "copied", "finished again")
        )
    assert ended(search, path) == 0
    assert all_of(open_study(path)) == all_of(whole)
    assert not any(trial.state == "running" for trial in open_study(path).trials())


def random_kills(path: Path, seed: int) -> Iterator[int | None]:
    """Kill a search at random until it is through; give how each process ended.

    Half are killed at a write, and in ``make endurance`` the other half at any time.
    """
    generator = random.Random(seed)
    while True:
        if generator.random() < 0.5 or not scaled(0, 1):
            yield ended(search_until_written, path, generator.randint(1, 150))
        else:
            yield ended(search_for, path, generator.uniform(0.0, 1.5))


@pytest.mark.endurance
def test_kills_at_random_moments_change_nothing(whole: Study, tmp_path: Path) -> None:
    wanted, kills, studies = scaled(3, 70), 0, 0
    while kills < wanted:
        studies += 1
        path = write_study(tmp_path / f"killed_{studies}.yaml", whole.name)
        for code in random_kills(path, studies):
            if code == 0:
                break
            assert code in (-signal.SIGKILL, -signal.SIGPROF)
            kills += 1
            if kills == wanted:
                assert ended(search, path) == 0
                break
        assert all_of(open_study(path)) == all_of(whole)
    print(f"{whole.name}: {kills} kills of {studies} studies")
