"""A process that trains: it reads tasks, one JSON line each, from standard input, and tells on standard output.

Run as ``python -m nas.executors.hand``. It ends when its standard input does, within ten seconds, so that none outlives
the search that started it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from queue import Queue
from typing import TYPE_CHECKING, Any, TextIO

from nas.executors.task import Told, asks, task_from_json, told_to_json

if TYPE_CHECKING:
    import torch

_SECONDS_BETWEEN_SIGNS = 5.0
"""How often, at most, a hand tells that it takes steps."""
SECONDS_TO_END = 8.0
"""A hand without its coordinator saves and ends; one that cannot in this time ends anyway."""


class Hand:
    """Speaks with the coordinator."""

    def __init__(self, orders: TextIO, reports: TextIO) -> None:
        """Begin to listen."""
        self._reports = reports
        self._writing = threading.Lock()
        self._told = time.monotonic()
        self._stopped = threading.Event()
        self._tasks = Queue[Mapping[str, Any] | None]()
        self._asked = dict[str, Queue[bool]]()  # where a task that asks waits for the answer
        threading.Thread(target=self._listen, args=(orders,), daemon=True).start()

    def _listen(self, orders: TextIO) -> None:
        for line in orders:
            order = json.loads(line)
            if "answer" in order:
                self._asked[order["key"]].put(order["answer"])
            elif "stop" in order:
                self._stop()
            else:
                self._tasks.put(order)
        self._stop()  # nobody is there any more
        self._tasks.put(None)
        time.sleep(SECONDS_TO_END)
        os._exit(1)

    def _stop(self) -> None:
        self._stopped.set()
        for asked in tuple(self._asked.values()):
            asked.put(False)

    def next_order(self) -> Mapping[str, Any] | None:
        """Wait for an order; None where there will be none."""
        return self._tasks.get()

    def stopped(self) -> bool:
        """Tell whether to end; who asks after each step is alive, and that is told now and then."""
        if not self._stopped.is_set() and time.monotonic() - self._told > _SECONDS_BETWEEN_SIGNS:
            self.report({"alive": True})
        return self._stopped.is_set()

    def report(self, document: Mapping[str, Any]) -> None:
        """Tell something."""
        self._told = time.monotonic()
        with self._writing:
            self._reports.write(json.dumps(document) + "\n")
            self._reports.flush()

    def tell(self, told: Told) -> bool:
        """Tell what came of a task; where that asks, wait for the answer, which is no once all are told to stop."""
        if not asks(told):
            self.report(told_to_json(told))
            return True
        answer = self._asked[told.key] = Queue[bool]()  # before a look whether to stop: one of the two tells it
        self.report(told_to_json(told))
        return not self._stopped.is_set() and answer.get()

    def serve(self, train: Callable[..., bool]) -> None:
        """Do tasks, one after another, until there are no more.

        Args:
            train: Does a task, as ``work`` does, on images that are read.
        """
        self.report({"ready": os.getpid()})
        while (order := self.next_order()) is not None and not self.stopped():
            if not train(task_from_json(order["task"]), tell=self.tell, stop=self.stopped):
                os._exit(1)


def connect() -> Hand:
    """Return this process's way to its coordinator; whatever else is printed goes to standard error."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the coordinator decides what they mean; SLURM sends them to all
        signal.signal(number, signal.SIG_IGN)
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return Hand(sys.stdin, reports)


def main() -> None:
    """Import what trains, load the images that the first order names, then do tasks."""
    hand = connect()
    try:
        from nas.executors import shared, work  # takes seconds, in which the search reads its images too

        order = hand.next_order()
        if order is None:
            return
        device, train = _prepare(order, work.work)
    except BaseException as error:
        hand.report({"broken": " ".join(str(error).split()) or type(error).__name__, "type": type(error).__name__})
        raise
    if (places := order.get("places", 1)) > 1:
        shared.serve(hand, train, places=places, device=device)
    else:
        hand.serve(train)


def _prepare(order: Mapping[str, Any], work: Callable[..., bool]) -> tuple[torch.device, Callable[..., bool]]:
    """Read the images, and return the device and what trains on them there.

    Raises:
        DataError: They cannot be read.
        StudyError: They are not those that the search has read.
    """
    import torch

    from nas.data.sources import DataConfig, load_data
    from nas.errors import StudyError

    device = torch.device(order["device"])
    dataset = load_data(DataConfig.model_validate_json(json.dumps(order["data"])))
    if (dataset.fingerprint, dataset.content_digest()) != (order["fingerprint"], order["content"]):
        raise StudyError(f"{dataset.name}: a training process reads other images than the search did")
    return device, partial(work, dataset=dataset, device=device)


if __name__ == "__main__":
    main()
