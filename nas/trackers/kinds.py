"""Which trackers there are, and what each is asked to do."""

from __future__ import annotations

import importlib
from typing import NamedTuple, Protocol

from nas.data.extras import require_extra
from nas.errors import ConfigError
from nas.trackers.entries import Entry, Front

KINDS = {
    "trackio": "nas.trackers.trackio_runs:Trackio",
    "wandb": "nas.trackers.wandb_runs:Wandb",
    "mlflow": "nas.trackers.mlflow_runs:Mlflow",
}
"""Where the class of each is; its library, and the extra that installs it, have the same name."""


class Tracker(Protocol):
    """Writes to a tracker; whatever it raises ends it, and not the search."""

    def __init__(self, project: str, study: str) -> None:
        """Begin, or go on with, what a project has of a study."""

    def training(self, entry: Entry) -> None:
        """Write a training that has ended, or go on with it."""

    def front(self, front: Front) -> None:
        """Write how the study stands."""

    def close(self) -> None:
        """Wait until all is written."""


class Wanted(NamedTuple):
    """A tracker that somebody asks for."""

    kind: str
    project: str


def wanted(text: str, *, study: str) -> Wanted:
    """Read ``KIND`` or ``KIND:PROJECT``; without a project it is called as the study.

    Raises:
        ConfigError: There is no such tracker, or the project has no name.
        DataError: Its library is not installed.
    """
    kind, colon, project = text.partition(":")
    if kind not in KINDS:
        raise ConfigError(f"--track: unknown tracker {kind!r}; known: {', '.join(KINDS)}")
    if colon and not project.strip():
        raise ConfigError(f"--track: {text!r} names no project; write {kind} or {kind}:PROJECT")
    require_extra(kind, extra=kind, what=f"--track {kind}")
    return Wanted(kind, project.strip() or study)


def make_tracker(chosen: Wanted, *, study: str) -> Tracker:
    """Load a tracker's library and begin."""
    module, _, name = KINDS[chosen.kind].partition(":")
    made: Tracker = getattr(importlib.import_module(module), name)(chosen.project, study)
    return made
