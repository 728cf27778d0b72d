"""Other trainings in the same process, as one of them sees them."""

from __future__ import annotations

from typing import Protocol


class Neighbours(Protocol):
    """Those beside whom a training runs; all of them go on while it lets them."""

    @property
    def crowded(self) -> bool:
        """Whether there are some, so that memory may be short for their sake."""

    def let_go_on(self) -> None:
        """Let them go on; called wherever the training can be left for a while, such as after a step."""


class _Nobody:
    crowded = False

    def let_go_on(self) -> None:
        pass


NOBODY: Neighbours = _Nobody()
"""Of a training that has its process for itself."""
