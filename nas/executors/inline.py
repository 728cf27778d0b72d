"""Trainings in this process, one after another: for debugging, and for notebooks that ask for it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from nas.data.sources import Dataset
from nas.executors.task import Task, Tell
from nas.executors.work import Unheard, work


class Inline:
    """Trains while it is waited for. A crash of native code ends the search."""

    hands = 1

    def __init__(self, dataset: Callable[[], Dataset], *, device: torch.device, stop: Callable[[], bool]) -> None:
        """Keep what every training needs.

        Args:
            dataset: Gives training and validation images.
            device: Where.
            stop: Asked after each step whether to end there.
        """
        self._dataset, self._device, self._stop = dataset, device, stop
        self._task: Task | None = None

    @property
    def running(self) -> frozenset[str]:
        """Keys of the tasks that were begun and have not ended."""
        return frozenset(() if self._task is None else {self._task.key})

    def prepare(self, hands: int) -> None:
        """Do nothing: this process is there."""

    def start(self, task: Task) -> None:
        """Take a task, to be done when it is waited for."""
        self._task = task

    def wait(self, tell: Tell, *, seconds: float) -> None:
        """Do the task."""
        if (task := self._task) is None:
            time.sleep(seconds)
            return
        self._task = None
        try:
            work(task, self._dataset(), device=self._device, tell=tell, stop=self._stop)
        except Unheard as error:
            raise error.__cause__ or error from None

    def stop(self, tell: Tell, *, seconds: float) -> None:
        """Do nothing: what was interrupted has been told."""

    def close(self) -> None:
        """Do nothing."""
