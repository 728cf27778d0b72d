"""What a tracker is told: a training that has ended, or the front at the end of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from nas.records import Epoch, Repeat, TrialRecord

Value: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A training that has ended.

    Attributes:
        name: ``trial-12``, or ``trial-12-seed-2`` for a further training; the same whenever it goes on.
        settings: What was trained, and how.
        curve: Figures after each epoch, in order; each has ``epoch`` among them.
        after: Epochs that were told when the training paused.
        outcome: What became of it.
        failed: Whether it came to nothing.
    """

    name: str
    settings: Mapping[str, Value]
    curve: Sequence[Mapping[str, float]]
    after: int
    outcome: Mapping[str, Value]
    failed: bool

    def new(self, *, resumed: bool) -> Sequence[Mapping[str, float]]:
        """Return the part of the curve to tell, given whether the tracker knows the training."""
        return [point for point in self.curve if point["epoch"] > self.after] if resumed else self.curve


@dataclass(frozen=True, slots=True)
class Front:
    """How a study stands.

    Attributes:
        rows: Networks of the front, cheapest first.
        counts: Number of trials by state.
    """

    rows: Sequence[Mapping[str, Value]] = field(default_factory=tuple)
    counts: Mapping[str, int] = field(default_factory=dict)


def entry_of(trial: TrialRecord, curve: Sequence[Epoch], *, after: int) -> Entry:
    """Return a trial that was trained, whatever became of it."""
    outcome = {
        "state": trial.state,
        "accuracy": trial.accuracy,
        "train_seconds": trial.train_seconds,
        "device": trial.device,
        "error": trial.error,
    }
    return Entry(
        f"trial-{trial.number}",
        settings_of(trial, seed=trial.seed),
        [_figures(point) for point in curve],
        after,
        _known(outcome),
        trial.state in ("failed", "diverged"),
    )


def repeat_entry(trial: TrialRecord, repeat: Repeat) -> Entry:
    """Return a further training."""
    outcome = {
        "state": repeat.state,
        "accuracy": repeat.accuracy,
        "train_seconds": repeat.train_seconds,
        "device": repeat.device,
        "error": repeat.error,
    }
    return Entry(
        f"trial-{trial.number}-seed-{repeat.repeat + 1}",
        settings_of(trial, seed=repeat.seed),
        [_figures(point) for point in repeat.curve],
        0,
        _known(outcome),
        repeat.state != "trained",
    )


def settings_of(trial: TrialRecord, *, seed: int | None) -> dict[str, Value]:
    """Return what a trial's network is."""
    settings = {
        "trial": trial.number,
        "space": trial.space,
        "width": trial.width,
        "depth": trial.depth,
        "resolution": trial.resolution,
        **trial.choices,
        "flops": trial.flops,
        "params": trial.params,
        "activations": trial.activations,
        "network": trial.digest,
        "seed": seed,
    }
    return _known(settings)


def entry_from_json(document: Mapping[str, Any]) -> Entry | Front:
    """Return what ``asdict`` of an entry has become on its way."""
    return Front(**document) if "rows" in document else Entry(**document)


def _figures(point: Epoch) -> dict[str, float]:
    return {key: value for key, value in asdict(point).items() if value is not None}


def _known(values: Mapping[str, Any]) -> dict[str, Value]:
    return {key: value for key, value in values.items() if value is not None}
