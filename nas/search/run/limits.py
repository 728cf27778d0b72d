"""What ends a search before its proposals are used up."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from nas.errors import ConfigError

STAGNANT = "stagnant"
ENDLESS = 2**31 - 1
"""Number of trials of a search that only its limits end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a search ends early.

    Attributes:
        until_stagnant: Make no new proposal once the study is stagnant (``nas/fronts/growth.py``).
        hours: Of the run, for people; None for as many as it takes.
        deadline: Begin nothing new from this time on, in seconds since the epoch.
    """

    until_stagnant: bool = False
    hours: float | None = None
    deadline: float = math.inf

    def time_is_up(self) -> bool:
        """Tell whether nothing new may begin."""
        return time.time() >= self.deadline


def make_limits(*, until: str | None, max_hours: float | None) -> Limits:
    """Return the limits of a search that begins now.

    Raises:
        ConfigError: A value is not allowed.
    """
    if until not in (None, STAGNANT):
        raise ConfigError(f"--until: unknown condition {until!r}; known: {STAGNANT}")
    if max_hours is None:
        return Limits(until == STAGNANT)
    if not 0 < max_hours < math.inf:
        raise ConfigError(f"--max-hours must be a number above 0, but is {max_hours:g}")
    return Limits(until == STAGNANT, max_hours, time.time() + 3600 * max_hours)
