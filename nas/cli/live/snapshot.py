"""What there is to see of a search at a moment, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nas.cli.live.chart import Cloud
from nas.records import TrialRecord


@dataclass(frozen=True, slots=True)
class InTraining:
    """A network that is being trained.

    Attributes:
        trial: That proposed it.
        repeat: The further training that it is, counted from 1; 0 for the trial's own.
        epoch: The last that has ended; None where that is not known.
        accuracy: After it, in 0 to 1.
    """

    trial: TrialRecord
    repeat: int = 0
    epoch: int | None = None
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """What halving has not spent on networks that pause.

    Attributes:
        compute: FLOPs of one image times epochs.
        share: Of what all would have taken to the end, in 0 to 1.
    """

    compute: float
    share: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A search at a moment.

    Attributes:
        study: Its name.
        metric: What accuracies are, in words.
        states: Number of trials by state.
        further: Number of further trainings that have ended.
        done: Trials that have ended, of those that ``planned`` counts.
        planned: Trials to come to; None where there is no such number.
        cloud: Networks that were trained to the end; None before the first.
        saved: By halving; None where the study does not halve or nothing has paused.
        epochs: Of a training to its end; None where that is not known.
        running: What is being trained.
        last: Lines on what ended last, the latest at the end.
        seconds: Since the search began; None where nobody searches.
        left: Seconds that the proposals are likely to take still; None where that is not known.
        further_to_come: Whether further trainings may come after them, which ``left`` does not count.
        note: What else there is to say, in one line.
    """

    study: str
    metric: str = "accuracy"
    states: Mapping[str, int] = field(default_factory=dict)
    further: int = 0
    done: int = 0
    planned: int | None = None
    cloud: Cloud | None = None
    saved: Saved | None = None
    epochs: int | None = None
    running: tuple[InTraining, ...] = ()
    last: tuple[str, ...] = ()
    seconds: float | None = None
    left: float | None = None
    further_to_come: bool = False
    note: str = ""
