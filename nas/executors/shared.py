"""What a hand does whose trainings share its process: each is a thread, and they take turns."""

from __future__ import annotations

import gc
import os
import threading
import traceback
from collections.abc import Callable
from queue import Queue

import torch

from nas.executors.hand import Hand
from nas.executors.task import Stopped, Task, Told, task_from_json
from nas.executors.turns import Seat, Turns
from nas.executors.work import Crowded, Unheard


def serve(hand: Hand, train: Callable[..., bool], *, places: int, device: torch.device) -> None:
    """Do tasks beside one another until there are no more; those that run then end first.

    Args:
        hand: Speaks with the coordinator.
        train: Does a task, as ``work`` does, on images that are read.
        places: How many tasks at the same time.
        device: Where.
    """
    turns, seats = Turns(), Queue[Seat]()
    for _ in range(places):
        seats.put(Seat(turns, device))
    hand.report({"ready": os.getpid()})
    while (order := hand.next_order()) is not None:
        # of the process, and the same for all of a study: a training that ends must leave it as it is
        torch.set_num_threads(order["task"]["recipe"]["cpu_threads"])
        threading.Thread(target=_serve, args=(hand, train, seats, task_from_json(order["task"]))).start()


def _serve(hand: Hand, train: Callable[..., bool], seats: Queue[Seat], task: Task) -> None:
    seat = seats.get()
    try:
        with seat.taken():
            goes_on = _do(hand, train, seat, task)
    except (Unheard, BrokenPipeError):  # nobody is there any more: the neighbours save, and the process ends by itself
        goes_on = True
    except BaseException:
        traceback.print_exc()
        goes_on = False
    if not goes_on:
        os._exit(1)
    seats.put(seat)


def _do(hand: Hand, train: Callable[..., bool], seat: Seat, task: Task) -> bool:
    """Do a task; tell whether this process can do another."""

    def tell(told: Told) -> bool:
        with seat.aside():
            return hand.tell(told)

    if hand.stopped():
        return tell(Stopped(task.key))
    if task.alone:
        gc.collect()  # what others have left in cycles of references holds memory
    try:
        return train(task, tell=tell, stop=hand.stopped, neighbours=seat)
    except Crowded:
        hand.report({"crowded": task.key})
        return True
