"""Trainings that share a process: one of them at a time launches work, in turns, and the device does all of it at once.

A training has a thread and, on a GPU, a stream of its own. Whoever has the turn has the process for itself: the random
states, which torch has once for all threads, are as that training left them, and while it captures a graph nobody else
launches anything. So no result depends on the neighbours. A turn lasts a step, or a batch of a validation; an inference
time is measured in one, so that the device has nothing else to do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor


class Turns:
    """Whose turn it is: that of whoever asked first."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._lock = threading.Lock()
        self._taken = False
        self._waiting = deque[threading.Event]()
        self.seats = 0
        """How many trainings have begun and not ended; only who has the turn changes it."""

    def take(self) -> None:
        """Wait for the turn."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            called = threading.Event()
            self._waiting.append(called)
        called.wait()

    def give(self) -> None:
        """Hand the turn to who has waited longest."""
        with self._lock:
            self._taken = bool(self._waiting)
            if self._waiting:
                self._waiting.popleft().set()


class _State(NamedTuple):
    """What torch keeps once for a process, and each training needs for itself.

    Attributes:
        host: Of the random numbers that are drawn on the CPU.
        device: Of those of the GPU; a captured graph goes on with the state under which it was captured.
    """

    host: Tensor
    device: torch.Generator | None

    @classmethod
    def present(cls, generator: torch.Generator | None) -> _State:
        device = None if generator is None else generator.graphsafe_get_state()
        return cls(torch.get_rng_state(), device)

    def restore(self, generator: torch.Generator | None) -> None:
        torch.set_rng_state(self.host)
        if generator is not None and self.device is not None:
            generator.graphsafe_set_state(self.device)


class Seat:
    """The place of one training in a process; it is its ``Neighbours``, too."""

    def __init__(self, turns: Turns, device: torch.device) -> None:
        """Take a place that is empty yet.

        Args:
            turns: Of the process.
            device: Where all its trainings are.
        """
        self._turns, self._cuda = turns, device.type == "cuda"
        self._generator: torch.Generator | None = None
        self._stream: torch.cuda.Stream | None = None
        self._launched: torch.cuda.Event | None = None  # what of the turn before the last the device may not have done
        if self._cuda:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            self._generator = torch.cuda.default_generators[device.index]
            # streams of this priority are nobody else's: images come on others, and a capture must have one for itself
            self._stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    @property
    def crowded(self) -> bool:
        """Whether others have begun and not ended."""
        return self._turns.seats > 1

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Train here: begin with the first turn, and end with giving it back."""
        self._turns.take()
        self._turns.seats += 1
        self._launched = None
        try:
            if self._generator is not None:
                self._generator.graphsafe_set_state(self._generator.clone_state())
            with self._on_stream():
                yield
        finally:
            self._turns.seats -= 1
            self._turns.give()

    def _on_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let others have the turn, while this thread does what has nothing to do with torch."""
        left = _State.present(self._generator)
        self._turns.give()
        try:
            yield
        finally:
            self._turns.take()
            left.restore(self._generator)

    def let_go_on(self) -> None:
        """Let others have a turn; on a GPU no training is further ahead of the device than what it launched since.

        Whoever has the turn and waits for the device, as at the end of an epoch, then waits for little.
        """
        before, self._launched = self._launched, self._note()
        with self.aside():
            if before is not None:
                before.synchronize()

    def _note(self) -> torch.cuda.Event | None:
        if self._stream is None:
            return None
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(self._stream)
        return event
