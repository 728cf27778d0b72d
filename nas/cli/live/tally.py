"""What a search has done so far, counted from its trials and further trainings."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from nas.cli.live.chart import Cloud
from nas.cli.live.lines import repeat_line, trial_line
from nas.cli.live.snapshot import InTraining, Saved, Snapshot
from nas.fronts.noise import over_seeds
from nas.records import UNFINISHED, Repeat, TrialRecord, metric_name
from nas.search.run.events import (
    EpochFinished,
    Event,
    ImagesLoaded,
    Noted,
    RepeatFinished,
    TrainingBegan,
    TrainingLeft,
    TrialFinished,
)
from nas.search.study import Study

LAST = 5
"""Trainings that ended last, of which a snapshot tells."""
COUNTING_SHARE = 0.01
"""Share of the time, at most, that goes into counting all trials anew."""


class Counted(NamedTuple):
    """What all trials of a study come to."""

    states: Counter[str]
    further: int
    cloud: Cloud | None
    saved: Saved | None


def count(trials: Iterable[TrialRecord], repeats: Iterable[Repeat], *, epochs: int | None) -> Counted:
    """Count trials; the front is that of the means over seeds as they were measured.

    Args:
        trials: Of a study.
        repeats: Of the study.
        epochs: Of a training to its end; None where that is not known.
    """
    trials, repeats = list(trials), list(repeats)
    known = over_seeds(trials, repeats)
    means = [sum(values) / len(values) for values in known.values()]
    cloud = Cloud.of([trial.flops for trial in known], means) if known else None
    ended = sum(repeat.state not in UNFINISHED for repeat in repeats)
    return Counted(Counter(trial.state for trial in trials), ended, cloud, saved(trials, epochs))


def saved(trials: Iterable[TrialRecord], epochs: int | None) -> Saved | None:
    """Return what was not spent on networks that paused, against training them to the end.

    Args:
        trials: Of a study.
        epochs: Of a training to its end; where it is not known, those of the longest.
    """
    trials = [trial for trial in trials if trial.epochs]
    whole = epochs or max((trial.epochs or 0 for trial in trials), default=0)
    kept = sum((whole - (trial.epochs or 0)) * trial.flops for trial in trials if trial.state == "stopped")
    spent = sum((trial.epochs or 0) * trial.flops for trial in trials)
    return Saved(kept, kept / (kept + spent)) if kept else None


class Tally:
    """Listens to a search and tells at any time how it stands; another thread may ask.

    Trials that ended before it began are read once from the database.
    """

    def __init__(self, study: Study, *, planned: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Count nothing yet.

        Args:
            study: That is searched.
            planned: Trials to come; None where there is no such number.
            clock: In seconds.
        """
        self._study, self._planned, self._clock = study, planned, clock
        self.metric = metric_name(study.config.recipe.metric)
        self._epochs = study.config.recipe.epochs
        self._lock = threading.Lock()
        self._trials = dict[int, TrialRecord]()
        self._repeats = dict[tuple[int, int], Repeat]()
        self._running = dict[tuple[int, int], InTraining]()
        self._last = deque[str](maxlen=LAST)
        self._began, self._done, self._note = clock(), 0, ""
        self._counted, self._stale, self._next_count = count((), (), epochs=None), True, 0.0

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        earlier = self._earlier() if isinstance(event, ImagesLoaded) else None
        with self._lock:
            if earlier is not None:
                self._trials, self._repeats = earlier
            self._take(event)
            self._stale |= isinstance(event, ImagesLoaded | TrialFinished | RepeatFinished)

    def snapshot(self) -> Snapshot:
        """Return how the search stands."""
        with self._lock:
            counted, now = self._count(), self._clock()
            search, running = self._study.config.search, tuple(self._running.values())
            return Snapshot(
                self._study.name,
                self.metric,
                states=counted.states,
                further=counted.further,
                done=self._done,
                planned=self._planned,
                cloud=counted.cloud,
                saved=counted.saved if search.halving else None,
                epochs=self._epochs,
                running=running,
                last=tuple(self._last),
                seconds=now - self._began,
                left=seconds_left(now - self._began, done=self._done, planned=self._planned),
                further_to_come=search.replicates is not None,
                note=self._note,
            )

    def _earlier(self) -> tuple[dict[int, TrialRecord], dict[tuple[int, int], Repeat]]:
        """Return what ended in searches before this one."""
        trials = {trial.number: trial for trial in self._study.trials() if trial.state not in UNFINISHED}
        repeats = {(one.number, one.repeat): one for one in self._study.repeats() if one.state not in UNFINISHED}
        return trials, repeats

    def _take(self, event: Event) -> None:
        if isinstance(event, ImagesLoaded):
            self._epochs = self._study.config.recipe.total_epochs(len(event.dataset.train))
            self._began = self._clock()
        elif isinstance(event, Noted):
            self._note = event.text
        elif isinstance(event, TrainingBegan):
            before = 0 if event.repeat else event.trial.epochs or 0  # it had paused there
            self._running[event.trial.number, event.repeat] = InTraining(event.trial, event.repeat, before)
        elif isinstance(event, TrainingLeft):
            self._running.pop((event.trial.number, event.repeat), None)
        elif isinstance(event, EpochFinished):
            key, epoch = (event.trial.number, event.repeat), event.epoch
            training = self._running.get(key) or InTraining(event.trial, event.repeat)
            self._running[key] = replace(training, epoch=epoch.epoch, accuracy=epoch.val_accuracy)
        elif isinstance(event, TrialFinished):
            self._running.pop((event.trial.number, 0), None)
            self._trials[event.trial.number] = event.trial
            self._done += not event.went_on
            self._last.append(trial_line(event.trial, self.metric))
        elif isinstance(event, RepeatFinished):
            self._running.pop((event.trial.number, event.repeat.repeat), None)
            self._repeats[event.trial.number, event.repeat.repeat] = event.repeat
            self._last.append(repeat_line(event.trial, event.repeat, self.metric))

    def _count(self) -> Counted:
        """Return all trials counted; where that takes long, as they were a while ago."""
        if self._stale and self._clock() >= self._next_count:
            began = time.perf_counter()
            self._counted = count(self._trials.values(), self._repeats.values(), epochs=self._epochs)
            self._stale = False
            self._next_count = self._clock() + (time.perf_counter() - began) / COUNTING_SHARE
        return self._counted


def seconds_left(seconds: float | None, *, done: int, planned: int | None) -> float | None:
    """Return how long the proposals that are left are likely to take, by those that were made; None if unknown."""
    if seconds is None or planned is None or not done or done >= planned:
        return None
    return seconds / done * (planned - done)
