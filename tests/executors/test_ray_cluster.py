"""Trainings on a real Ray cluster of two nodes, where Ray is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from nas.config.study import StudyConfig
from nas.errors import ConfigError, UserError
from nas.executors import ray as executor
from nas.search.run.events import EpochFinished, Event
from nas.search.run.start import run_study
from tests.conftest import TINY, Outcome

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra cluster"),
]
SMALL = {**TINY, "search": {**TINY["search"], "sampler": "random", "trials": 4}}


class TwoNodes:
    """The cluster, and how to remove a node of it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("two_nodes.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.address = self._says()

    def _says(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(("127.0.0.1:", "removed")):
                return line.strip()
        raise AssertionError("Ray has not begun")

    def remove_second(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("remove\n")
        self.process.stdin.flush()
        assert self._says() == "removed"

    def end(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[TwoNodes]:
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    nodes = TwoNodes()
    yield nodes
    nodes.end()
    patch.undo()


def results(name: str, **options: Any) -> dict[str, tuple[float | None, str]]:
    with run_study(StudyConfig.model_validate({**SMALL, "name": name}), **options) as study:
        return {trial.digest: (trial.accuracy, trial.state) for trial in study.trials()}


def test_a_cluster_finds_what_one_process_finds(two_nodes: TwoNodes, tmp_path: Path, capfd: Any) -> None:
    far = results("far", executor="ray", workers=2, address=two_nodes.address, checkpoints=f"file://{tmp_path}/far")
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""  # Ray likes to talk
    assert far == results("near", executor="inline")
    assert len(far) == 4
    assert [path for path in (tmp_path / "far").rglob("*") if path.is_file()] == []
    assert len(list((tmp_path / "studies" / "far").rglob("*.safetensors"))) == 4


def test_a_cluster_without_room_says_for_how_many(two_nodes: TwoNodes) -> None:
    with pytest.raises(ConfigError, match=r"--workers 3: the cluster has CPUs or GPUs for 2$"):
        results("many", executor="ray", workers=3, address=two_nodes.address)
    with pytest.raises(ConfigError, match="--device cuda: the cluster has no GPU"):
        results("gpu", executor="ray", address=two_nodes.address, device="cuda")


def test_a_node_of_another_version_is_named(two_nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "_versions", lambda: {"torch": "1.0"})
    with pytest.raises(ConfigError, match=rf"node {socket.gethostname()} has torch [\d.]+, and this machine 1\.0"):
        results("other", executor="ray", address=two_nodes.address)
    monkeypatch.setattr(executor, "_versions", lambda: {"unheard-of": "1.0"})
    with pytest.raises(ConfigError, match="has no unheard-of, and this machine 1.0"):
        results("none", executor="ray", address=two_nodes.address)


def test_a_folder_that_a_node_does_not_see_is_named(two_nodes: TwoNodes) -> None:
    with pytest.raises(ConfigError, match=r"node \S+ cannot read memory://away .*share, or give --checkpoints"):
        results("unseen", executor="ray", address=two_nodes.address, checkpoints="memory://away")


def test_images_that_a_node_cannot_read_are_named(
    two_nodes: TwoNodes, tmp_path: Path, nas_command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    np.savez(tmp_path / "few.npz", x_train=np.zeros((40, 8, 8), np.uint8), y_train=np.arange(40) % 2)
    (tmp_path / "few.yaml").write_text(yaml.safe_dump({**SMALL, "name": "few", "data": {"npz": "few.npz"}}))
    hidden = tmp_path / "hidden.npz"
    original = executor.Ray._let_all_read

    def hide(self: executor.Ray) -> None:
        self._dataset()
        shutil.move(tmp_path / "few.npz", hidden)
        original(self)

    monkeypatch.setattr(executor.Ray, "_let_all_read", hide)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "another"))
    outcome = nas_command("search", "few.yaml", "--executor", "ray", "--address", two_nodes.address)
    assert outcome.code == 2
    assert outcome.err.startswith(f"nas: node {socket.gethostname()}: ")
    assert "few.npz" in outcome.err


def test_a_node_removed_in_mid_training_costs_no_training(two_nodes: TwoNodes) -> None:
    epochs: list[Event] = []

    def remove(event: Event) -> None:
        if isinstance(event, EpochFinished):
            epochs.append(event)
            if len(epochs) == 2:
                two_nodes.remove_second()

    found = results("removed", executor="ray", workers=2, address=two_nodes.address, on_event=remove)
    assert found == results("whole", executor="inline")


def test_an_address_where_nothing_listens_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "SECONDS_TO_CONNECT", 3.0)
    with pytest.raises(UserError, match=r"^--address 127.0.0.1:9: no Ray cluster has answered within 3 s$"):
        results("nowhere", executor="ray", address="127.0.0.1:9")
