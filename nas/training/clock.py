"""How much of a training's time goes into making batches: a loader that is too slow is told, not guessed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import torch

ItemT = TypeVar("ItemT")


class DataClock:
    """Times the making of batches against the steps, on the device where the work is done; the host does not wait."""

    def __init__(self, device: torch.device) -> None:
        """Begin with nothing timed."""
        self._cuda = device.type == "cuda"
        self._making = self._total = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event, torch.cuda.Event]] = []

    def timed(self, batches: Iterable[ItemT]) -> Iterator[ItemT]:
        """Yield batches, timing how long each takes to come and to be used."""
        iterator = iter(batches)
        while True:
            began = self._now()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            made = self._now()
            yield batch
            self._add(began, made, self._now())

    def reset(self) -> None:
        """Forget what was timed."""
        self._making = self._total = 0.0
        self._events.clear()

    @property
    def share(self) -> float:
        """Share of the time so far that went into making batches, in 0 to 1."""
        making, total = self.state()
        return making / total if total else 0.0

    def state(self) -> tuple[float, float]:
        """Return the time of making batches, and in all; on a GPU this waits for its work."""
        for began, made, used in self._events:
            used.synchronize()
            self._making += began.elapsed_time(made)
            self._total += began.elapsed_time(used)
        self._events.clear()
        return self._making, self._total

    def restore(self, state: Sequence[float]) -> None:
        """Go on from a state."""
        self._making, self._total = state

    def _now(self) -> float | torch.cuda.Event:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _add(
        self, began: float | torch.cuda.Event, made: float | torch.cuda.Event, used: float | torch.cuda.Event
    ) -> None:
        if isinstance(began, float) and isinstance(made, float) and isinstance(used, float):
            self._making += made - began
            self._total += used - began
        else:
            self._events.append((began, made, used))  # type: ignore[arg-type]
