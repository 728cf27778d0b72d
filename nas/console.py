"""How a search looks in a terminal: a line for each trial, live progress. Only the command line uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nas.units import format_count

if TYPE_CHECKING:
    from nas.data.sources import Dataset
    from nas.search.objective import Event
    from nas.search.store import TrialRecord


def make_console(*, stderr: bool = False) -> Console:
    """Return a console; where the output is no terminal, tables are as wide as they need."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=160)


def trial_line(trial: TrialRecord) -> str:
    """Return what became of a trial in one line."""
    outcomes = {
        "trained": f"accuracy {100 * (trial.accuracy or 0):6.2f} %   {trial.train_seconds or 0:5.1f} s",
        "repeated": f"accuracy {100 * (trial.accuracy or 0):6.2f} %   same network as #{trial.repeat_of}",
        "infeasible": f"outside the budget: {trial.error}" if trial.error else "outside the budget",
        "diverged": f"diverged: {trial.error}",
        "failed": f"failed: {trial.error}",
    }
    outcome = outcomes.get(trial.state, trial.state)
    return f"#{trial.number:<4}{format_count(trial.flops):>6} FLOPs  {outcome:<38} {trial.label}"


def data_line(dataset: Dataset) -> str:
    """Return what images there are in one line."""
    skipped = f"; {dataset.skipped} broken ones left out" if dataset.skipped else ""
    return (
        f"{dataset.name}: {len(dataset.train):,} training and {len(dataset.validation):,} validation images of"
        f" {len(dataset.classes)} classes{skipped}"
    )


class SearchProgress:
    """Live progress of a search: a line for each finished trial and, on a terminal, a bar with the current epoch."""

    def __init__(self, console: Console, *, total: int, epochs: int | None) -> None:
        """Prepare a bar of ``total`` trials; it shows when entered."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("trials"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
        )
        self._console = console
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._progress.add_task("searching", total=total)
        self._epochs = epochs
        self._ended = False

    def __enter__(self) -> SearchProgress:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Take the bar away."""
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        from nas.search.objective import EpochFinished, ImagesLoaded, NothingLeft

        if isinstance(event, NothingLeft):
            if not self._ended:  # each worker says so
                self._console.print(f"all {event.networks} networks within the budget were proposed", highlight=False)
            self._ended = True
            return
        if isinstance(event, ImagesLoaded):
            self._console.print(data_line(event.dataset), highlight=False, soft_wrap=True, markup=False)
            return
        if isinstance(event, EpochFinished):
            accuracy = 100 * event.epoch.val_accuracy
            of = "" if self._epochs is None else f"/{self._epochs}"
            text = f"#{event.trial.number} epoch {event.epoch.epoch}{of} {accuracy:.1f} %"
            self._progress.update(self._task, description=text)
            return
        self._console.print(trial_line(event.trial), highlight=False, soft_wrap=True, markup=False)
        self._progress.advance(self._task)
