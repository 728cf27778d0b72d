"""Several processes run trials of one study side by side."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from typing import Any

from nas.errors import NasError, UserError
from nas.processes.interrupts import interruptible, interrupts_held, let_interrupts_through
from nas.search.run.events import Event, Stagnant
from nas.search.run.limits import Limits
from nas.search.study import Study


def run_workers(
    study: Study,
    *,
    trials: int,
    workers: int,
    device: str,
    limits: Limits,
    on_event: Callable[[Event], None] | None,
) -> None:
    """Run ``trials`` trials in ``workers`` processes and pass their events on.

    Raises:
        NasError: A worker ended with an error.
        UserError: A worker met a mistake of the user's, such as a full disk.
        KeyboardInterrupt: After the workers have put away what they had finished.
    """
    context = multiprocessing.get_context("spawn")
    tickets, events = context.Value("i", trials), context.Queue()
    arguments = (study, tickets, events, limits)
    processes = [
        context.Process(target=_work, args=(*arguments, _device_of(device, i)), name=f"worker {i}")
        for i in range(workers)
    ]
    with interrupts_held():  # a worker that is still loading would answer with a traceback
        for process in processes:
            process.start()
    try:
        _pass_on(processes, events, on_event)
    except KeyboardInterrupt:
        for process in processes:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGINT)
        raise
    finally:
        for process in processes:
            process.join()
    failed = [process.name for process in processes if process.exitcode]
    if failed:
        raise NasError(f"{', '.join(failed)} ended with an error; finished trials are kept")


def _pass_on(processes: list[SpawnProcess], events: Any, on_event: Callable[[Event], None] | None) -> None:
    """Pass events on until all processes have ended; then raise what stopped one of them."""
    error: UserError | None = None
    while True:
        alive = any(process.is_alive() for process in processes)
        try:
            event = events.get(timeout=0.2)
        except queue.Empty:
            if alive:
                continue
            if error is not None:
                raise error from None
            return
        if isinstance(event, UserError):
            error = event
        elif on_event is not None:
            on_event(event)


def _work(study: Study, tickets: Any, events: Any, limits: Limits, device: str) -> None:
    """Run trials until the tickets are gone; the body of a worker process."""
    from nas.search.run.loop import run_trials

    # a terminal signals the whole group and the parent signals again: the second must not disturb the putting away
    with suppress(KeyboardInterrupt), interruptible(once=True) as check:
        let_interrupts_through()

        def emit(event: Event) -> None:
            if isinstance(event, Stagnant):
                _stop_all(tickets)
            events.put(event)
            check()
            _end_with_parent()

        try:
            run_trials(study, tickets=_take(tickets), device=device, limits=limits, on_event=emit)
        except UserError as error:
            _stop_all(tickets)
            events.put(error)


def _stop_all(tickets: Any) -> None:
    with tickets.get_lock():
        tickets.value = 0


def _take(tickets: Any) -> Iterator[int]:
    while True:
        _end_with_parent()
        with tickets.get_lock():
            if tickets.value <= 0:
                return
            tickets.value -= 1
            left = tickets.value
        yield left


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise KeyboardInterrupt


def _device_of(device: str, worker: int) -> str:
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{worker % gpus}" if device == "auto" and gpus else device
