"""Real hands: what they train is what this process trains, and they ask, stop and fail as they should."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import scaled

from nas.architecture.serialization import architecture_to_json
from nas.architecture.space import load_space
from nas.data.sources import DataConfig, Dataset, load_data
from nas.errors import DeviceError, StudyError
from nas.executors import faults, work
from nas.executors.inline import Inline
from nas.executors.processes import Processes
from nas.executors.task import ENDS, Ended, EpochDone, Executor, Failed, Measured, Stopped, Task, Timing, Told
from nas.training.recipe import Recipe

DATA = DataConfig(digits=True, limit=150)
RECIPE = Recipe(epochs=3, batch_size=32, learning_rate=0.2)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_data(DATA)


@pytest.fixture(scope="module")
def processes(dataset: Dataset) -> Iterator[Processes]:
    """Return a hand that is kept for all tests."""
    hands = Processes(DATA, lambda: dataset, devices=["cpu"])
    yield hands
    hands.close()


@pytest.fixture(scope="module")
def inline(dataset: Dataset) -> Inline:
    return Inline(lambda: dataset, device=torch.device("cpu"), stop=lambda: False)


def task(folder: Path, key: str = "a.0.1", *, recipe: Recipe = RECIPE, **values: Any) -> Task:
    sizes = {"width": 0.25, "depth": 0.25, "resolution": 8}
    network = load_space("resnet_small").architecture(**sizes, num_classes=10, in_channels=1)
    given = {"weights": str(folder / f"{key}.weights"), **values}
    document = recipe.model_dump(mode="json")
    return Task(key, architecture_to_json(network), document, 7, str(folder / f"{key}.checkpoint"), **given)


def told_of(executor: Executor, job: Task, answer: Callable[[Told], bool] = lambda told: True) -> list[Told]:
    """Do a task, and return all that is told of it."""
    told: list[Told] = []
    executor.start(job)
    while not (told and isinstance(told[-1], ENDS)):
        assert executor.running or not told
        executor.wait(lambda one: told.append(one) or answer(one), seconds=60)  # type: ignore[func-returns-value]
    assert {one.key for one in told} == {job.key} and not executor.running
    return told


def essence(told: list[Told]) -> list[Any]:
    """Return all but times."""
    plain = [json.loads(json.dumps(asdict(one), default=lambda array: array.tolist())) for one in told]
    for one in plain:
        one.pop("train_seconds", None), one.pop("data_share", None)
        for epoch in [*one.get("curve", []), *([one["epoch"]] if "epoch" in one else [])]:
            del epoch["seconds"]
    return plain


def test_a_hand_trains_what_this_process_does_to_the_bit(processes: Processes, inline: Inline, tmp_path: Path) -> None:
    theirs, ours = (told_of(executor, task(tmp_path, key)) for executor, key in ((processes, "a"), (inline, "b")))
    assert isinstance(theirs[-1], Ended) and len(theirs[-1].curve) == 3 and len(theirs[-1].answers) == 30
    assert essence([replace(one, key="a") for one in ours]) == essence(theirs)
    assert (tmp_path / "a.weights").read_bytes() == (tmp_path / "b.weights").read_bytes()


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_training_asks_at_its_rungs_and_goes_on_from_there(
    executor: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    hands = request.getfixturevalue(executor)

    def until_second(told: Told) -> bool:
        return not isinstance(told, EpochDone) or told.epoch.epoch != 2

    whole = told_of(hands, task(tmp_path, "whole"))
    passed = told_of(hands, task(tmp_path, "passed", rungs=(1, 2)))
    assert [one.asks for one in passed[:-1] if isinstance(one, EpochDone)] == [True, True, False]
    paused = told_of(hands, task(tmp_path, "parts", rungs=(1, 2)), until_second)
    end = paused[-1]
    assert isinstance(end, Ended) and end.paused and len(end.curve) == 2
    assert not (tmp_path / "parts.weights").exists() and (tmp_path / "parts.checkpoint").exists()
    rest = told_of(hands, task(tmp_path, "parts", rungs=()))
    assert essence([replace(one, key="") for one in rest]) == essence([replace(one, key="") for one in whole])


@pytest.mark.parametrize("wanted", [True, False])
def test_the_inference_time_is_told_before_a_training_begins(
    wanted: bool, processes: Processes, tmp_path: Path
) -> None:
    job = task(tmp_path, f"timed{wanted}", timing=Timing("eager", 1), recipe=RECIPE.model_copy(update={"epochs": 1}))
    told = told_of(processes, job, lambda one: wanted)
    assert isinstance(told[0], Measured) and told[0].latency.median_ms > 0
    assert [type(one) for one in told[1:]] == ([EpochDone, Ended] if wanted else [Stopped])


def test_a_hand_that_is_stopped_saves_and_another_goes_on(
    processes: Processes, inline: Inline, dataset: Dataset, tmp_path: Path
) -> None:
    whole = told_of(inline, task(tmp_path, "whole"))
    cut = Processes(DATA, lambda: dataset, devices=["cpu"])
    told: list[Told] = []
    cut.start(task(tmp_path, "cut"))
    while not told:
        cut.wait(lambda one: bool(told.append(one)), seconds=60)  # type: ignore[func-returns-value]
    process = cut._hands[0]
    assert process is not None
    began = time.monotonic()
    cut.stop(lambda one: bool(told.append(one)), seconds=30)  # type: ignore[func-returns-value]
    assert time.monotonic() - began < 10 and process.process.poll() is not None
    assert told[-1] == Stopped("cut") and (tmp_path / "cut.checkpoint").exists()
    rest = told_of(processes, task(tmp_path, "cut"))
    assert essence([replace(one, key="") for one in rest]) == essence([replace(one, key="") for one in whole])


def test_a_loss_that_is_not_finite_is_the_networks(processes: Processes, tmp_path: Path) -> None:
    wild = RECIPE.model_copy(update={"learning_rate": 1e17})
    end = told_of(processes, task(tmp_path, "wild", recipe=wild))[-1]
    assert isinstance(end, Failed) and end.fault == "diverged" and "\n" not in end.reason


def test_a_checkpoint_that_cannot_be_written_is_nobodys_fault(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    blocked = replace(task(tmp_path, "full"), checkpoint=str(tmp_path / "file" / "checkpoint"))
    end = told_of(processes, blocked)[-1]
    assert isinstance(end, Failed) and end.fault == "surroundings" and "checkpoint" in end.reason
    assert isinstance(told_of(processes, task(tmp_path, "next"))[-1], Ended)


@pytest.mark.parametrize(
    ("error", "good", "fault"),
    [
        (DeviceError("no memory"), True, "memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), True, "memory"),
        (MemoryError(), True, "memory"),
        (StudyError("the disk is full"), True, "surroundings"),
        (OSError(28, "No space left on device"), True, "surroundings"),
        (ImportError("libcudnn.so.9: cannot open shared object file"), True, "surroundings"),
        (RuntimeError("an operator is missing"), True, "network"),
        (RuntimeError("the driver is gone"), False, "surroundings"),  # a network that is known to be good fails too
    ],
)
def test_whose_fault_an_error_is(
    error: Exception,
    good: bool,
    fault: str,
    inline: Inline,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: Any, **keywords: Any) -> Any:
        raise error

    monkeypatch.setattr(work, "do_job", fail)
    if not good:
        monkeypatch.setattr(faults, "train", fail)
    end = told_of(inline, task(tmp_path))[-1]
    assert isinstance(end, Failed) and end.fault == fault and str(error) in end.reason


@pytest.mark.endurance
@pytest.mark.skipif(not scaled(0, 1), reason="a network is compiled until there is no compiler: 30 s")
def test_a_missing_compiler_is_nobodys_fault(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CC", "CXX"):
        monkeypatch.setenv(name, "/nowhere/c++")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))  # nothing is compiled yet
    hands = Processes(DATA, lambda: dataset, devices=["cpu"])
    try:
        job = task(tmp_path, recipe=RECIPE.model_copy(update={"compile": True}))
        end = told_of(hands, job)[-1]
    finally:
        hands.close()
    assert isinstance(end, Failed) and end.fault == "surroundings" and "\n" not in end.reason


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_what_a_listener_raises_reaches_the_caller(
    executor: str, dataset: Dataset, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    hands = request.getfixturevalue(executor)

    def listen(told: Told) -> bool:
        raise ZeroDivisionError("of the listener")

    hands.start(task(tmp_path))
    with pytest.raises(ZeroDivisionError, match="of the listener"):
        while True:
            hands.wait(listen, seconds=60)
    while hands.running:  # the next test finds it as it was
        hands.wait(lambda told: True, seconds=60)
