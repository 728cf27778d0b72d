"""What a search tells on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from nas.data.sources import Dataset
from nas.records import Epoch, Repeat, TrialRecord


@dataclass(frozen=True, slots=True)
class ImagesLoaded:
    """The images of a study are there."""

    dataset: Dataset


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that the user should know before a search begins, in one line."""

    text: str


@dataclass(frozen=True, slots=True)
class TrainingBegan:
    """A hand trains a trial's network, or trains it once more from another seed, counted from 1."""

    trial: TrialRecord
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class TrainingLeft:
    """A training was given back without an end: it goes on later, here or on another machine."""

    trial: TrialRecord
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class EpochFinished:
    """A trial has another point on its curve, or on that of a further training, counted from 1."""

    trial: TrialRecord
    epoch: Epoch
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial has ended, whatever its state; one that was paused and went on ends once more."""

    trial: TrialRecord
    went_on: bool = False


@dataclass(frozen=True, slots=True)
class RepeatFinished:
    """A network was trained once more."""

    trial: TrialRecord
    repeat: Repeat


@dataclass(frozen=True, slots=True)
class NothingLeft:
    """A search has ended early: all networks within the bounds, so many, were proposed."""

    networks: int


@dataclass(frozen=True, slots=True)
class Stagnant:
    """A search has ended early: what was spent last has brought too little."""

    reason: str


@dataclass(frozen=True, slots=True)
class TimeIsUp:
    """A search has ended early: its hours are over."""

    reason: str


Event: TypeAlias = (
    ImagesLoaded
    | Noted
    | TrainingBegan
    | TrainingLeft
    | EpochFinished
    | TrialFinished
    | RepeatFinished
    | NothingLeft
    | Stagnant
    | TimeIsUp
)
