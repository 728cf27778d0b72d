"""What becomes of a training that shares its process: short memory, a lost GPU, an end."""

from __future__ import annotations

from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import torch
from trainings import CPU, DATA, task

from nas.data.sources import Dataset, load_data
from nas.executors import shared
from nas.executors import work as working
from nas.executors.task import Ended, Stopped, Task, Told
from nas.executors.turns import Seat, Turns
from nas.executors.work import Crowded, Unheard, work
from nas.training.step import Step


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_data(DATA)


class Beside:
    """Neighbours that are there, or not."""

    def __init__(self, crowded: bool) -> None:
        self.crowded = crowded

    def let_go_on(self) -> None:
        pass


@pytest.mark.parametrize("crowded", [True, False])
def test_beside_neighbours_no_batch_is_halved_where_memory_is_short(
    crowded: bool, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward = Step._backward

    def limited(self: Step, images: torch.Tensor, *rest: Any, **share: Any) -> torch.Tensor:
        if len(images) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return backward(self, images, *rest, **share)

    monkeypatch.setattr(Step, "_backward", limited)
    told: list[Told] = []

    def do() -> bool:
        one, tell = task(tmp_path, 0), lambda what: not told.append(what)  # type: ignore[func-returns-value]
        return work(one, dataset, device=CPU, tell=tell, stop=lambda: False, neighbours=Beside(crowded))

    if crowded:
        with pytest.raises(Crowded):
            do()
        assert not told
    else:
        assert do() and isinstance(told[-1], Ended) and told[-1].micro_batch == 16


@pytest.mark.parametrize("crowded", [True, False])
def test_a_lost_gpu_is_told_of_one_that_had_it_for_itself(
    crowded: bool, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **keywords: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(working, "do_job", fail)
    told: list[Told] = []
    one, tell = task(tmp_path, 0), lambda what: not told.append(what)  # type: ignore[func-returns-value]
    assert not work(one, dataset, device=CPU, tell=tell, stop=lambda: False, neighbours=Beside(crowded))
    assert len(told) == (0 if crowded else 1)


class Listening:
    """A hand as those who share its process know it."""

    def __init__(self, stopped: bool = False) -> None:
        self.told, self.reported = list[Told](), list[Any]()
        self.stopped = lambda: stopped
        self.report = self.reported.append

    def tell(self, told: Told) -> bool:
        self.told.append(told)
        return True


def test_what_ends_a_training_that_shares_its_process(tmp_path: Path) -> None:
    seat, one = Seat(Turns(), CPU), task(tmp_path, 0)

    def ended_by(hand: Listening, end: BaseException | bool) -> bool:
        def train(given: Task, *, tell: Any, stop: Any, neighbours: Any) -> bool:
            assert (given, stop, neighbours) == (one, hand.stopped, seat) and not neighbours.crowded
            if isinstance(end, bool):
                return end
            raise end

        with seat.taken():
            return shared._do(hand, train, seat, one)  # type: ignore[arg-type]

    hand = Listening()
    assert ended_by(hand, True) and not ended_by(hand, False)
    assert ended_by(hand, Crowded()) and hand.reported == [{"crowded": "0"}] and not hand.told
    assert ended_by(late := Listening(stopped=True), ZeroDivisionError()) and late.told == [Stopped("0")]
    with pytest.raises(ZeroDivisionError):
        ended_by(hand, ZeroDivisionError())


@pytest.mark.parametrize("stopped", [True, False])
def test_a_training_that_nobody_hears_leaves_its_neighbours_time_to_save(stopped: bool, tmp_path: Path) -> None:
    seats, hand = Queue[Seat](), Listening(stopped)
    seats.put(seat := Seat(Turns(), CPU))

    def unheard(told: Told) -> bool:
        raise BrokenPipeError

    def train(task: Task, **keywords: Any) -> bool:
        raise Unheard

    hand.tell = unheard  # type: ignore[method-assign]
    shared._serve(hand, train, seats, task(tmp_path, 0))  # type: ignore[arg-type]
    assert seats.get_nowait() is seat and not seat.crowded
