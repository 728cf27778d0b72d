"""How much of their time hands have something to do."""

from __future__ import annotations

import time
from collections.abc import Hashable


class HandClock:
    """Adds up the seconds that hands train."""

    def __init__(self, hands: int) -> None:
        """Begin to count with the first task."""
        self._hands = hands
        self._began: float | None = None
        self._busy, self._waited = 0.0, 0.0
        self._since = dict[Hashable, float]()

    def begin(self, key: Hashable) -> None:
        """Note that a hand begins."""
        self._since[key] = now = time.monotonic()
        if self._began is None:
            self._began = now
        elif (together := self._hands * (now - self._began)) > 0:
            self._waited = max(0.0, 1 - self.busy_seconds / together)

    def end(self, key: Hashable) -> None:
        """Note that a hand has ended."""
        self._busy += time.monotonic() - self._since.pop(key, time.monotonic())

    @property
    def busy_seconds(self) -> float:
        """Of all hands together, those that train now included."""
        return self._busy + sum(time.monotonic() - since for since in tuple(self._since.values()))

    def waited(self) -> float | None:
        """Return the share of the hands' time in which they had nothing to do, from the first beginning to the last.

        It is in 0 to 1, and None before the first. Hands that are free later wait for nothing: a search that ends has
        nothing more to begin.
        """
        return None if self._began is None else self._waited
