"""Trainings that take turns in one process: to the bit what each is by itself, and they save when they are told to."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from conftest import wait_until
from trainings import ALL, CPU, DATA, RECIPE, essence, task

from nas.data.sources import Dataset, load_data
from nas.executors.processes import Processes
from nas.executors.task import ENDS, Ended, EpochDone, Failed, Stopped, Task, Told
from nas.executors.turns import Seat, Turns
from nas.executors.work import work


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_data(DATA)


def together(
    tasks: list[Task], dataset: Dataset, *, device: torch.device = CPU, stop: Callable[[], bool] = lambda: False
) -> dict[str, list[Told]]:
    """Do tasks in threads that take turns."""
    turns, told = Turns(), {one.key: list[Told]() for one in tasks}
    begin = threading.Barrier(len(tasks))

    def do(one: Task) -> None:
        seat = Seat(turns, device)
        begin.wait()
        with seat.taken():
            tell = lambda what: not told[one.key].append(what)  # type: ignore[func-returns-value]  # noqa: E731
            work(one, dataset, device=device, tell=tell, stop=stop, neighbours=seat)

    threads = [threading.Thread(target=do, args=(one,)) for one in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def alone(one: Task, dataset: Dataset, device: torch.device = CPU) -> list[Told]:
    told: list[Told] = []
    work(one, dataset, device=device, tell=lambda what: not told.append(what), stop=lambda: False)  # type: ignore[func-returns-value]
    return told


@pytest.mark.parametrize("extra", [{}, {"jitter": 0.3, "rand_augment": 9}], ids=["torch", "kornia"])
def test_neighbours_change_no_bit_of_a_training(extra: dict[str, Any], dataset: Dataset, tmp_path: Path) -> None:
    if extra and find_spec("kornia") is None:
        pytest.skip("needs the extra augment")
    recipe = RECIPE.model_copy(update=extra)
    (tmp_path / "alone").mkdir()
    steps: list[int] = []

    def stop() -> bool:
        steps.append(threading.get_ident())
        return False

    beside = together([task(tmp_path, number, recipe) for number in range(3)], dataset, stop=stop)
    for number in range(3):
        expected = alone(task(tmp_path / "alone", number, recipe), dataset)
        assert isinstance(expected[-1], Ended) and essence(beside[str(number)]) == essence(expected)
        weights = [(folder / f"{number}.weights").read_bytes() for folder in (tmp_path, tmp_path / "alone")]
        assert weights[0] == weights[1]
    assert len(set(steps[:3])) == 3  # they did take turns


def test_who_asked_first_has_the_next_turn() -> None:
    turns, order = Turns(), list[int]()
    turns.take()

    def take(number: int) -> None:
        turns.take()
        order.append(number)
        turns.give()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    for number, thread in enumerate(threads):
        thread.start()
        wait_until(lambda: len(turns._waiting) == number + 1)  # noqa: B023 - called here
    turns.give()
    turns.take()  # after all that wait
    assert order == [0, 1, 2, 3, 4]
    turns.give()


def test_a_real_hand_trains_several_at_once_and_then_others(dataset: Dataset, tmp_path: Path) -> None:
    hands = Processes(DATA, lambda: dataset, devices=["cpu"] * 2, sharing=ALL)
    told: dict[str, list[Told]] = {str(number): [] for number in range(3)}

    def tell(one: Told) -> bool:
        told[one.key].append(one)
        return not (isinstance(one, EpochDone) and one.key == "1" and one.asks)

    try:
        wild = RECIPE.model_copy(update={"learning_rate": 1e17})
        for one in (task(tmp_path, 0, wild), task(tmp_path, 1, rungs=(2,)), task(tmp_path, 2, rungs=(2,))):
            hands.start(one)
            while len(hands._held) == hands.hands:
                hands.wait(tell, seconds=60)
        while hands.running:
            hands.wait(tell, seconds=60)
    finally:
        hands.close()
    assert isinstance(told["0"][-1], Failed) and told["0"][-1].fault == "diverged"
    assert isinstance(told["1"][-1], Ended) and told["1"][-1].paused
    (tmp_path / "alone").mkdir()
    assert essence(told["2"]) == essence(alone(task(tmp_path / "alone", 2, rungs=(2,)), dataset))


def test_all_trainings_of_a_hand_save_when_they_are_told_to_stop(dataset: Dataset, tmp_path: Path) -> None:
    hands = Processes(DATA, lambda: dataset, devices=["cpu"] * 3, sharing=ALL)
    long = RECIPE.model_copy(update={"epochs": 10_000})
    told: list[Told] = []
    for number in range(3):
        hands.start(task(tmp_path, number, long))
    while len({one.key for one in told}) < 3:
        hands.wait(lambda one: not told.append(one), seconds=60)  # type: ignore[func-returns-value]
    for number in range(3):
        (tmp_path / f"{number}.checkpoint").unlink()
    began = time.monotonic()
    hands.stop(lambda one: not told.append(one), seconds=30)  # type: ignore[func-returns-value]
    assert time.monotonic() - began < 5
    assert sorted(one.key for one in told if isinstance(one, Stopped)) == ["0", "1", "2"]
    assert all((tmp_path / f"{number}.checkpoint").exists() for number in range(3))
    assert not any(isinstance(one, ENDS) and not isinstance(one, Stopped) for one in told)


def test_a_hand_whose_coordinator_is_gone_saves_all_and_ends(tmp_path: Path) -> None:
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from trainings import ALL, DATA, RECIPE, task
from nas.data.sources import load_data
from nas.executors.processes import Processes
hands = Processes(DATA, lambda: load_data(DATA), devices=["cpu"] * 2, sharing=ALL)
for number in range(2):
    hands.start(task(Path({str(tmp_path)!r}), number, RECIPE.model_copy(update={{"epochs": 10_000}})))
print(hands._hands[0].process.pid, flush=True)
while True:
    hands.wait(lambda one: True, seconds=1)
"""
    checkpoints = [tmp_path / f"{number}.checkpoint" for number in range(2)]
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        hand = psutil.Process(int(process.stdout.readline()))
        wait_until(lambda: all(path.exists() for path in checkpoints))
        before = [path.stat().st_mtime_ns for path in checkpoints]
        process.kill()
    began = time.monotonic()
    gone, alive = psutil.wait_procs([hand], timeout=10)
    assert not alive and time.monotonic() - began < 10
    assert all(path.stat().st_mtime_ns > old for path, old in zip(checkpoints, before, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_each_training_draws_its_own_random_numbers() -> None:
    turns, device, drawn = Turns(), torch.device("cuda:0"), dict[int, list[list[float]]]()
    begin = threading.Barrier(2)

    def draw(seed: int, between: Callable[[], None]) -> list[list[float]]:
        torch.manual_seed(seed)
        found = list[list[float]]()
        for _ in range(10):
            found.append(torch.rand(3, device=device).tolist() + torch.rand(3).tolist())
            between()
        return found

    def train(seed: int) -> None:
        seat = Seat(turns, device)
        begin.wait()
        with seat.taken():
            drawn[seed] = draw(seed, seat.let_go_on)

    threads = [threading.Thread(target=train, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == {seed: draw(seed, lambda: None) for seed in (1, 2)}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_neighbours_change_no_more_than_a_second_run_does(dataset: Dataset, tmp_path: Path) -> None:
    device, recipe = torch.device("cuda:0"), RECIPE.model_copy(update={"precision": "float32", "epochs": 6})
    (tmp_path / "alone").mkdir()
    beside = together([task(tmp_path, number, recipe) for number in range(3)], dataset, device=device)
    for number in range(3):
        one = alone(task(tmp_path / "alone", number, recipe), dataset, device)[-1]
        other = beside[str(number)][-1]
        assert isinstance(one, Ended) and isinstance(other, Ended)
        losses = [[epoch.train_loss for epoch in end.curve] for end in (one, other)]
        assert losses[0] == pytest.approx(losses[1], rel=0.05)
