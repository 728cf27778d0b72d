"""Trainings that were made before, for another study: told once more, and not made again."""

from __future__ import annotations

from collections.abc import Callable

from nas.executors.task import EpochDone, Executor, Task, Tell, ended_of
from nas.records import Trained


class Known:
    """An executor that tells at once what is known, and leaves all else to another."""

    def __init__(self, executor: Executor, look_up: Callable[[Task], Trained | None]) -> None:
        """Keep both.

        Args:
            executor: Trains what is not known.
            look_up: Returns what a training of an equal network, recipe, images and seed gave; None for none.
        """
        self._executor, self._look_up = executor, look_up
        self._told = dict[str, Trained]()

    @property
    def hands(self) -> int:
        """How many trainings run at the same time."""
        return self._executor.hands

    @property
    def running(self) -> frozenset[str]:
        """Keys of the tasks that were begun and have not ended."""
        return self._executor.running | self._told.keys()

    def prepare(self, hands: int) -> None:
        """Let so many hands begin to load."""
        self._executor.prepare(hands)

    def start(self, task: Task) -> None:
        """Begin a task, unless its end is known."""
        if (trained := self._look_up(task)) is None:
            self._executor.start(task)
        else:
            self._told[task.key] = trained

    def wait(self, tell: Tell, *, seconds: float) -> None:
        """Tell what is known, and else wait for the hands."""
        if not self._told:
            self._executor.wait(tell, seconds=seconds)
        for key in tuple(self._told):
            trained = self._told.pop(key)
            for epoch in trained.curve:
                tell(EpochDone(key, epoch))
            tell(ended_of(trained, key))

    def stop(self, tell: Tell, *, seconds: float) -> None:
        """Let all save and stop."""
        self._told.clear()  # they are wanted still
        self._executor.stop(tell, seconds=seconds)

    def close(self) -> None:
        """End all hands at once."""
        self._executor.close()
