"""What ends a search before its proposals are used up."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from nas.errors import ConfigError

STAGNANT = "stagnant"
ENDLESS = 2**31 - 1
"""Number of trials of a search that only its limits end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a search ends early.

    Attributes:
        until_stagnant: Make no new proposal once the study is stagnant (``nas/fronts/growth.py``).
        hours: Of the run.
        hand_hours: That its hands train, all together.
        began: When the run began, on the monotonic clock, in seconds.
    """

    until_stagnant: bool = False
    hours: float = math.inf
    hand_hours: float = math.inf
    began: float = field(default_factory=lambda: time.monotonic(), compare=False)

    def seconds_left(self, busy_seconds: float, *, hands: int = 1) -> float:
        """Return how many seconds one more training may take.

        Args:
            busy_seconds: That the hands have trained, all together.
            hands: That train beside, which use up their hours too.
        """
        clock = 3600 * self.hours - (time.monotonic() - self.began)
        return min(clock, (3600 * self.hand_hours - busy_seconds) / hands)

    @property
    def are_hours(self) -> bool:
        """Whether the time is limited."""
        return min(self.hours, self.hand_hours) < math.inf

    @property
    def reason(self) -> str:
        """Why nothing new begins, for people."""
        given = [f"{self.hours:g} h"] if self.hours < math.inf else []
        given += [f"{self.hand_hours:g} h of training"] if self.hand_hours < math.inf else []
        return f"time is up after {' or '.join(given)}: nothing new is started"


def make_limits(*, until: str | None, max_hours: float | None, max_gpu_hours: float | None = None) -> Limits:
    """Return the limits of a search that begins now.

    Raises:
        ConfigError: A value is not allowed.
    """
    if until not in (None, STAGNANT):
        raise ConfigError(f"--until: unknown condition {until!r}; known: {STAGNANT}")
    for option, hours in (("--max-hours", max_hours), ("--max-gpu-hours", max_gpu_hours)):
        if hours is not None and not 0 < hours < math.inf:
            raise ConfigError(f"{option} must be a number above 0, but is {hours:g}")
    return Limits(until == STAGNANT, max_hours or math.inf, max_gpu_hours or math.inf)
