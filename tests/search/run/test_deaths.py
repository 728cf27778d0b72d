"""Searches whose hands die of a network: it is tried once more, then left behind, and the search goes on."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import FORKING
from halved import all_of, document

from nas.cli import main
from nas.executors.processes import Processes
from nas.search.disk import CHECKPOINTS
from nas.search.opening import open_study
from nas.search.run import start
from nas.search.study import Study

FAKE = (sys.executable, "-S", str(Path(__file__).parents[2] / "executors" / "fake_hand.py"))


def search(path: Path, command: tuple[str, ...], crash: dict[str, Any] | None) -> None:
    """Search with hands that are started by another command."""
    log = path.with_suffix(".log")
    os.environ.update(FAKE_LOG=str(log), FAKE_IMAGES="30", FAKE_CRASH=json.dumps(crash), NAS_EXECUTOR="processes")
    setattr(start, "Processes", partial(Processes, command=command))  # noqa: B010 - mypy knows a class
    sys.argv = ["nas", "search", str(path)]
    main()


def searched(path: Path, crash: dict[str, Any] | None, *, command: tuple[str, ...] = FAKE, code: int = 0) -> Study:
    path.write_text(yaml.safe_dump(STUDY | {"name": path.stem}))
    process = FORKING.Process(target=search, args=(path, command, crash))
    process.start()
    process.join()
    assert process.exitcode == code
    return open_study(path)


STUDY = document("deaths", "random", trials=8, halving=None, replicates={"of": "spread", "networks": 2, "seeds": 2})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return searched(tmp_path_factory.mktemp("whole") / "whole.yaml", None)


@pytest.mark.parametrize("repeat", [0, 1])
def test_a_training_whose_hand_died_once_is_made_again(whole: Study, tmp_path: Path, repeat: int) -> None:
    network = 1 if repeat == 0 else [trial.digest for trial in whole.trials()].index(repeated(whole))
    study = searched(tmp_path / "once.yaml", {"network": network, "times": 1, "repeat": repeat, "how": "SIGSEGV"})
    assert all_of(study) == all_of(whole)
    attempts = [line.split()[1] for line in (tmp_path / "once.log").read_text().splitlines() if "begin" in line]
    assert sum(key.endswith(".2") for key in attempts) == 1


def repeated(study: Study) -> str:
    """Return the network that was trained again first."""
    return study.store.trial(study.repeats()[0].number).digest


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("SIGSEGV", "killed by SIGSEGV, twice"),
        ("SIGKILL", "killed by SIGKILL (out of memory?), twice"),
        (3, "ended with exit code 3: no kernel image is available, twice"),
    ],
)
def test_a_network_that_kills_two_hands_is_left_behind(how: str | int, told: str, whole: Study, tmp_path: Path) -> None:
    study = searched(tmp_path / "twice.yaml", {"network": 1, "times": 2, "how": how})
    trials = study.trials()
    failed = [trial for trial in trials if trial.state == "failed"]
    assert [trial.error for trial in failed] == [told] * len(failed) and failed
    assert len(trials) == STUDY["search"]["trials"] and study.missing_trials() == 0
    kept = {trial.digest: trial.accuracy for trial in whole.trials() if trial.state == "trained"}
    assert {t.digest: t.accuracy for t in trials if t.state == "trained"} == {
        digest: accuracy for digest, accuracy in kept.items() if digest != failed[0].digest
    }
    files = {path.name for path in study.weights_folder().rglob("*") if path.is_file()}
    assert files == {f"{digest}.safetensors" for digest in kept if digest != failed[0].digest}
    again = searched(tmp_path / "twice.yaml", {"network": 1, "times": 2, "how": how})
    assert again.trials() == trials  # it is not tried a third time


def test_a_further_training_that_kills_two_hands_is_left_behind(whole: Study, tmp_path: Path) -> None:
    network = [trial.digest for trial in whole.trials()].index(repeated(whole))
    study = searched(tmp_path / "again.yaml", {"network": network, "times": 2, "repeat": 1, "how": "SIGABRT"})
    assert study.trials()[network].state == "trained"
    states = {(repeat.number, repeat.state, repeat.error) for repeat in study.repeats()}
    assert (network, "failed", "killed by SIGABRT, twice") in states
    assert not list((study.weights_folder() / CHECKPOINTS).iterdir())
