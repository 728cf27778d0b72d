"""What the executor makes of what Ray's driver tells; a small script stands for the driver."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas.data.sources import DataConfig, load_data
from nas.errors import ConfigError, DataError, NasError, StudyError
from nas.executors import ray
from nas.executors.driver import Broken, Opening, require_alike, room, share_of_gpu
from nas.executors.ray import Ray
from nas.executors.task import Died, Stopped, Task, Told
from tests.conftest import Outcome, wait_until

DATA = DataConfig(digits=True, limit=100)
TASK = Task("1.1", "{}", {}, 0, "/nowhere/checkpoint")
SPEAKS = """
import json, sys
def tell(**said): print(json.dumps(said), flush=True)
def order(): return json.loads(sys.stdin.readline())
opening = order()
tell(connected=True)
tell(nodes=["far"], gpu=GPU)
tell(hand=0, placed="far")
images = order()["order"]
tell(hand=0, said={"ready": 1})
"""


@pytest.fixture
def speaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ray]]:
    """Return a function that makes an executor whose driver is a script."""
    monkeypatch.setattr(ray, "require_extra", lambda module, *, extra, what: None)
    made: list[Ray] = []

    def make(script: str, *, hands: int = 1, gpu: bool = False) -> Ray:
        made.append(
            Ray(
                DATA,
                lambda: load_data(DATA),
                hands=hands,
                address="far:1",
                device="auto",
                cpus=1,
                seen=lambda: nullcontext("/nowhere/seen"),
                stop=lambda: False,
                command=[sys.executable, "-c", script.replace("GPU", str(gpu))],
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def told_after(executor: Ray, *tasks: Task) -> list[Told]:
    heard: list[Told] = []
    for task in tasks:
        executor.start(task)
    while executor.running:
        executor.wait(lambda told: bool(heard.append(told)), seconds=10)
    return heard


def test_a_lost_node_is_no_death_and_a_killed_process_is_one(speaking: Callable[..., Ray]) -> None:
    lost = speaking(SPEAKS + 'order(); tell(hand=0, lost="the node has died"); order()')
    assert told_after(lost, TASK) == [Stopped("1.1")]
    died = speaking(SPEAKS + 'order(); tell(hand=0, died="killed by SIGSEGV"); order()')
    assert told_after(died, TASK) == [Died("1.1", "killed by SIGSEGV")]


def test_a_task_goes_to_the_hand_that_is_placed(speaking: Callable[..., Ray]) -> None:
    said = """tell(hand=order()["hand"], said={"kind": "Stopped", "key": "1.1"}); order()"""
    executor = speaking(SPEAKS.replace("hand=0", "hand=2") + said, hands=3)
    assert executor.hands == 1
    assert told_after(executor, TASK) == [Stopped("1.1")]
    assert executor.hands == 1


def test_hands_that_are_alike_are_told_apart(speaking: Callable[..., Ray]) -> None:
    both = (
        SPEAKS.partition("tell(hand=0")[0]
        + """
tell(hand=0, placed="far")
tell(hand=1, placed="far")
asked = [order()["hand"], order()["hand"]]
for hand in asked: tell(hand=hand, said={"ready": 1})
for _ in range(2):
    told = order()
    reason = str([*asked, told["hand"]])
    key = told["order"]["task"]["key"]
    tell(hand=told["hand"], said={"kind": "Failed", "key": key, "fault": "network", "reason": reason})
order()
"""
    )
    reasons = {
        getattr(told, "reason", "") for told in told_after(speaking(both, hands=2), TASK, replace(TASK, key="2.1"))
    }
    assert reasons == {"[0, 1, 0]", "[0, 1, 1]"}


def test_a_sign_of_life_is_no_news_and_silence_ends_a_hand(
    speaking: Callable[..., Ray], monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = 'order(); tell(hand=0, said={"alive": True}); tell(hand=0, said={"kind": "Stopped", "key": "1.1"}); order()'
    assert told_after(speaking(SPEAKS + alive), TASK) == [Stopped("1.1")]
    monkeypatch.setattr(ray, "SECONDS_OF_SILENCE", 2.0)
    heard: list[Told] = []
    executor = speaking(SPEAKS + 'order(); open("ended", "w").write(str(order())); order()')
    executor.start(TASK)
    for _ in range(50):
        if executor.running:
            executor.wait(lambda told: bool(heard.append(told)), seconds=0.1)
    assert heard == [Died("1.1", "ended after no step for 2.0 s")]
    wait_until(lambda: Path("ended").exists() and Path("ended").read_text())
    assert Path("ended").read_text() == "{'hand': 0, 'order': None}"


def test_hands_are_told_the_device_that_ray_gives_them(speaking: Callable[..., Ray]) -> None:
    for gpu, device in ((True, "cuda:0"), (False, "cpu")):
        said = 'order(); tell(hand=0, died=images["device"]); order()'
        assert told_after(speaking(SPEAKS + said, gpu=gpu), TASK) == [Died("1.1", device)]


def test_a_cluster_that_goes_away_ends_the_search_in_one_line(speaking: Callable[..., Ray]) -> None:
    executor = speaking(SPEAKS + 'order(); sys.exit("GCS is gone")')
    with pytest.raises(StudyError, match="^the Ray cluster at far:1 is gone: GCS is gone$"):
        told_after(executor, TASK)
    left: list[Told] = []
    executor.stop(lambda told: bool(left.append(told)), seconds=1)
    assert left == [Stopped("1.1")]


def test_hands_that_are_lost_again_and_again_before_they_begin_end_it(speaking: Callable[..., Ray]) -> None:
    executor = speaking(SPEAKS.partition("images")[0] + 'for _ in range(9): tell(hand=0, lost="gone")\norder()')
    with pytest.raises(NasError, match="Ray lost 5 hands in a row before they began, the last so: gone"):
        told_after(executor, TASK)


def test_images_that_cannot_be_read_name_the_node(speaking: Callable[..., Ray]) -> None:
    broken = 'tell(hand=0, said={"broken": "/data/x: no such folder", "type": "DataError"}); order()'
    with pytest.raises(DataError, match="^node far: /data/x: no such folder$"):
        told_after(speaking(SPEAKS.replace('tell(hand=0, said={"ready": 1})', broken)), TASK)


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ('tell(broken="no cluster")', "--address far:1: no cluster"),
        ('sys.exit("it fell over")', "--address far:1: Ray has ended: it fell over"),
        ("order()", "--address far:1: no Ray cluster has answered within 2 s"),
    ],
)
def test_no_cluster_is_one_line(
    speaking: Callable[..., Ray], monkeypatch: pytest.MonkeyPatch, script: str, line: str
) -> None:
    monkeypatch.setattr(ray, "SECONDS_TO_CONNECT", 2.0)
    with pytest.raises(ConfigError) as raised:
        speaking(SPEAKS.partition("tell(connected")[0] + script).prepare(1)
    assert str(raised.value) == line


def test_what_the_command_line_refuses(nas_command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.extras.find_spec", lambda module: None)
    missing = nas_command("search", "digits", "--executor", "ray")
    assert (missing.code, missing.err) == (
        2,
        "nas: --executor ray needs ray, which is not installed: pip install 'nas-explorer[cluster]'\n",
    )
    monkeypatch.undo()
    alone = nas_command("search", "digits", "--address", "auto", "--executor", "processes")
    assert (alone.code, alone.err) == (2, "nas: --address is for --executor ray, but the executor is processes\n")


@pytest.mark.parametrize(
    ("hands", "gpus", "share"), [(1, 4, 1.0), (4, 4, 1.0), (5, 4, 0.5), (8, 4, 0.5), (3, 1, 0.3333), (7, 1, 0.1428)]
)
def test_hands_share_gpus_evenly(hands: int, gpus: int, share: float) -> None:
    assert share_of_gpu(hands, gpus) == share
    assert room([{"CPU": 64, "GPU": 1}] * gpus, cpus=1, gpu_share=share) >= hands


def test_room_is_that_of_whole_nodes() -> None:
    assert room([{"CPU": 3}, {"CPU": 3}], cpus=2, gpu_share=0) == 2
    assert room([{"CPU": 8, "GPU": 1}, {"CPU": 8}], cpus=1, gpu_share=0.5) == 2
    assert room([{"CPU": 1, "GPU": 4}], cpus=1, gpu_share=0.5) == 1


def opening(**versions: str) -> Opening:
    return Opening("auto", 1, None, 1, versions, "s3://bucket/folder/.nas-1")


@pytest.mark.parametrize(
    ("there", "problem", "line"),
    [
        ("2.13.0", "", None),
        ("2.11.0", "", "node far has torch 2.11.0, and this machine 2.13.0: install the same version on all nodes"),
        (None, "", "node far has no torch, and this machine 2.13.0: install the same version on all nodes"),
        (
            "2.13.0",
            "no",
            "node far cannot read s3://bucket/folder (no): put the study on a folder that all nodes share",
        ),
    ],
)
def test_nodes_must_be_alike(there: str | None, problem: str, line: str | None) -> None:
    facts: dict[str, Any] = {"node": "far", "versions": {"torch": there}, "problem": problem}
    if line is None:
        require_alike(facts, opening(torch="2.13.0"))
        return
    with pytest.raises(Broken) as raised:
        require_alike(facts, opening(torch="2.13.0"))
    assert str(raised.value).startswith(line)


def test_a_gpu_of_its_own_is_for_ray_to_choose(tmp_path: Path, nas_command: Callable[..., Outcome]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "require_extra", lambda module, *, extra, what: None)
        refused = nas_command("search", "digits", "--executor", "ray", "--device", "cuda:1")
    assert (refused.code, refused.err) == (
        2,
        "nas: --device cuda:1: on a cluster Ray chooses; known: auto, cpu, cuda\n",
    )
