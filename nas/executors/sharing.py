"""Which trainings may share a process on one GPU. Knows no process and no device."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from nas.executors.task import Task


@dataclass(frozen=True, slots=True)
class Sharing:
    """Trainings share a process as long as its device has the memory for all of them.

    Attributes:
        needs: Tells how many bytes of the device a training takes, at most.
        room: Bytes that the device has for all trainings together.
    """

    needs: Callable[[Task], int]
    room: int

    def admits(self, task: Task, beside: Collection[Task]) -> bool:
        """Tell whether a training may begin beside others; beside none it may, however much it takes."""
        if not beside:
            return True
        if task.alone or any(other.alone for other in beside):
            return False
        return self.needs(task) + sum(self.needs(other) for other in beside) <= self.room
