"""A search that another process runs, as its database tells."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console

from nas.cli.live.lines import trial_line
from nas.cli.live.search import Display, closing_line, is_live
from nas.cli.live.snapshot import InTraining, Snapshot
from nas.cli.live.tally import LAST, count, seconds_left
from nas.errors import StudyError
from nas.records import UNFINISHED, Repeat, TrialRecord, metric_name
from nas.search.storage.coordinators import Coordinator
from nas.search.study import Study

READING_SHARE = 0.02
"""Share of a processor, at most, that reading the database takes."""


class Watch:
    """Looks at a study now and then."""

    def __init__(self, study: Study, *, seconds: float, sleep: Callable[[float], object] = time.sleep) -> None:
        """Look once.

        Args:
            study: That has been run.
            seconds: Between two looks, at least; where reading takes long, they are longer.
            sleep: Waits for so many seconds.
        """
        self._study, self._seconds, self._sleep = study, seconds, sleep
        self._took = 0.0
        self._lock = threading.Lock()
        self._snapshot = self._look()

    @property
    def runs(self) -> bool:
        """Whether somebody searched the study at the last look."""
        return self.snapshot().seconds is not None

    def snapshot(self) -> Snapshot:
        """Return what the last look showed; another thread may ask."""
        with self._lock:
            return self._snapshot

    def wait(self) -> None:
        """Wait, and look again; a database that does not answer is told of and asked again."""
        self._sleep(max(self._seconds, self._took / READING_SHARE))
        try:
            snapshot = self._look()
        except StudyError as error:
            snapshot = replace(self.snapshot(), note=f"as of a while ago: {error}")
        with self._lock:
            self._snapshot = snapshot

    def _look(self) -> Snapshot:
        began = time.process_time()
        found = stored_snapshot(self._study)
        self._took = time.process_time() - began
        return found


def watch(console: Console, study: Study, *, seconds: float) -> None:
    """Show a study until nobody searches it any more.

    Args:
        console: A terminal shows a view that changes; elsewhere there is a line for each trial that ends.
        study: That has been run.
        seconds: Between two looks at the database, at least.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, which is the usual end.
    """
    looks = Watch(study, seconds=seconds)
    if is_live(console):
        with Display(console, looks.snapshot, stays=True):
            while looks.runs:
                looks.wait()
    else:
        _print_lines(console, study, looks)
    if line := closing_line(looks.snapshot()):
        console.print(f"Nobody searches it now. {line}", soft_wrap=True)


def _print_lines(console: Console, study: Study, looks: Watch) -> None:
    """Print a line for each trial that ends, and one where the database does not answer."""
    metric = metric_name(study.config.recipe.metric)
    known, told = {trial.number: trial.state for trial in study.trials()}, ""
    while looks.runs:
        looks.wait()
        note = looks.snapshot().note
        try:
            trials = [] if note else study.trials()
        except StudyError as error:
            trials, note = [], str(error)
        if note != told and (told := note):
            console.print(note, soft_wrap=True)
        for trial in trials:
            if trial.state not in UNFINISHED and known.get(trial.number) != trial.state:
                console.print(trial_line(trial, metric), soft_wrap=True)
            known[trial.number] = trial.state


def stored_snapshot(study: Study) -> Snapshot:
    """Return how a study stands, from its database.

    Raises:
        StudyError: The database does not answer.
    """
    trials, repeats, ends = study.trials(), study.repeats(), study.ends()
    search, recipe = study.config.search, study.config.recipe
    metric = metric_name(recipe.metric)
    searching = [one for one in study.searches()[0] if is_at_work(one)]
    counted = count(trials, repeats, epochs=recipe.epochs)
    began = min((one.since for one in searching), default=None)
    seconds = None if began is None else max(0.0, time.time() - began)
    ended = [trial for trial in trials if trial.state not in UNFINISHED]
    now_done = sum(began is not None and number in ends and ends[number].timestamp() >= began for number in ends)
    last = sorted((trial for trial in ended if trial.number in ends), key=lambda trial: ends[trial.number])[-LAST:]
    return Snapshot(
        study.name,
        metric,
        states=counted.states,
        further=counted.further,
        done=len(ended),
        planned=max(search.trials, len(ended)),
        cloud=counted.cloud,
        saved=counted.saved if search.halving else None,
        epochs=recipe.epochs,
        running=(*_running(study, trials), *_repeated(trials, repeats)) if searching else (),
        last=tuple(trial_line(trial, metric) for trial in last),
        seconds=seconds,
        left=seconds_left(seconds, done=now_done, planned=now_done + search.trials - len(ended)),
        further_to_come=search.replicates is not None,
    )


def is_at_work(search: Coordinator) -> bool:
    """Tell whether a search works on its study."""
    return not search.left and not search.gone and search.lapsed < 0


def _running(study: Study, trials: list[TrialRecord]) -> list[InTraining]:
    """Return the trials that are being trained."""
    running = [trial for trial in trials if trial.state == "running"]
    curves = study.curves([trial.number for trial in running]) if running else {}
    points = {number: curve[-1] for number, curve in curves.items() if curve}
    return [
        InTraining(trial, 0, points[trial.number].epoch, points[trial.number].val_accuracy)
        if trial.number in points
        else InTraining(trial, 0, 0)
        for trial in running
    ]


def _repeated(trials: list[TrialRecord], repeats: list[Repeat]) -> list[InTraining]:
    """Return the further trainings that are being made; only their end is written, so how far they are is not known."""
    known = {trial.number: trial for trial in trials}
    return [InTraining(known[one.number], one.repeat) for one in repeats if one.state == "running"]
