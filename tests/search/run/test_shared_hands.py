"""Searches whose trainings share a process: a death beside others costs nobody but the network that dies alone."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from conftest import FORKING
from halved import document

from nas.cli import main
from nas.executors.processes import Processes
from nas.executors.sharing import Sharing
from nas.executors.task import Task
from nas.search.opening import open_study
from nas.search.run import start
from nas.search.study import Study

FAKE = (sys.executable, "-S", str(Path(__file__).parents[2] / "executors" / "fake_hand.py"))
STUDY = document("shared", "random", trials=8, halving=None)


class Shared(Processes):
    """Hands that share whatever there is, and note which trainings are to be alone from the beginning."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **{**keywords, "command": FAKE, "sharing": Sharing(lambda task: 0, 0)})

    def start(self, task: Task) -> None:
        if task.alone:
            with open(os.environ["FAKE_LOG"], "a") as file:
                file.write(f"alone {task.key} 0 0 0\n")
        super().start(task)


def search(path: Path, workers: int, environment: dict[str, str]) -> None:
    os.environ.update(environment, FAKE_LOG=str(path.with_suffix(".log")), FAKE_IMAGES="30", FAKE_SECONDS="0.05")
    os.environ["NAS_EXECUTOR"] = "processes"
    start.Processes = Shared  # type: ignore[misc,assignment]
    sys.argv = ["nas", "search", str(path), "--workers", str(workers)]
    main()


def searched(path: Path, workers: int, **environment: str) -> Study:
    path.write_text(yaml.safe_dump(STUDY | {"name": path.stem}))
    process = FORKING.Process(target=search, args=(path, workers, environment))
    process.start()
    process.join()
    assert process.exitcode == 0
    return open_study(path)


def accuracies(study: Study) -> dict[str, float | None]:
    return {trial.digest: trial.accuracy for trial in study.trials() if trial.state == "trained"}


def tries(study: Study) -> dict[str, tuple[int, int]]:
    """Return how often each network was taken, and how many processes it is said to have ended."""
    with study.database.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT digest, attempt, deaths FROM nas_training")).all()
    return {row.digest: (row.attempt, row.deaths) for row in rows}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return searched(tmp_path_factory.mktemp("whole") / "whole.yaml", 1)


def test_only_the_network_that_dies_alone_is_left_behind(whole: Study, tmp_path: Path) -> None:
    crash = {"network": 1, "times": 2, "how": "SIGSEGV"}
    study = searched(tmp_path / "crash.yaml", 3, FAKE_CRASH=json.dumps(crash))
    (failed,) = {trial.digest for trial in study.trials() if trial.state == "failed"}
    assert {trial.error for trial in study.trials() if trial.digest == failed} == {"killed by SIGSEGV, twice"}
    expected = accuracies(whole)
    assert accuracies(study) == {digest: value for digest, value in expected.items() if digest != failed}
    assert tries(study) == {digest: (2, 2) if digest == failed else (1, 0) for digest in expected}
    lines = (tmp_path / "crash.log").read_text().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("alone")] == [f"{failed}.0.2"]


def test_a_network_that_dies_only_beside_others_is_trained(whole: Study, tmp_path: Path) -> None:
    crash = {"network": 1, "times": 2, "how": "SIGSEGV", "beside": True}
    study = searched(tmp_path / "beside.yaml", 3, FAKE_CRASH=json.dumps(crash))
    assert accuracies(study) == accuracies(whole) and set(tries(study).values()) == {(1, 0)}
