"""A search as it runs: a view on a terminal, lines elsewhere, and little where one asks for quiet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from rich.console import Console
from rich.control import Control
from rich.live import Live

from nas.cli.live.lines import data_line, repeat_line, trial_line
from nas.cli.live.snapshot import Snapshot
from nas.cli.live.tally import Tally
from nas.cli.live.view import SearchView
from nas.search.run.events import (
    Event,
    ImagesLoaded,
    Noted,
    NothingLeft,
    RepeatFinished,
    Stagnant,
    TimeIsUp,
    TrainingBegan,
    TrialFinished,
)
from nas.units import format_seconds, format_share

REFRESHES_PER_SECOND = 2.0
"""Few, for each draws all lines anew in the process that searches."""
FAILED = ("failed", "diverged")


def is_live(console: Console) -> bool:
    """Tell whether a console can show what changes."""
    return console.is_terminal and not console.is_dumb_terminal


class Display:
    """Shows a snapshot on a terminal, again and again, until it is left."""

    def __init__(self, console: Console, look: Callable[[], Snapshot], *, stays: bool) -> None:
        """Show nothing yet.

        Args:
            console: A terminal.
            look: Gives what to show; a thread of its own calls it.
            stays: Whether what was shown last stays on the terminal.
        """
        self._console, self._look, self._size = console, look, console.size
        self._live = Live(
            console=console,
            get_renderable=self._view,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=not stays,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Display:
        """Begin."""
        self._live.start(refresh=True)
        return self

    def __exit__(self, *exception: object) -> None:
        """End."""
        self._live.stop()

    def _view(self) -> SearchView:
        """Return what to show; where the terminal was resized, begin on a blank one.

        What was drawn for another width may have been wrapped or joined since, and where it begins is not known.
        """
        if self._console.size != self._size:
            self._size = self._console.size
            self._console.control(Control.clear(), Control.home())
            self._live._live_render._shape = None  # rich has no other way to say that nothing is to be taken away
        return SearchView(self._look())


class SearchLines:
    """Prints a line for each event that stays: all of them, or what matters."""

    def __init__(self, console: Console, metric: str, *, wanted: Callable[[Event], bool] = lambda event: True) -> None:
        """Print nothing yet.

        Args:
            console: Where to print.
            metric: By which networks are compared, in words.
            wanted: Tells which events to print.
        """
        self._console, self._metric, self._wanted = console, metric, wanted
        self._ended = False

    def __call__(self, event: Event) -> None:
        """Print an event."""
        if not self._wanted(event):
            return
        if isinstance(event, NothingLeft | Stagnant | TimeIsUp):
            if not self._ended:  # several may say so
                self._print(end_line(event))
            self._ended = True
        elif isinstance(event, ImagesLoaded):
            for line in (data_line(event.dataset), *event.dataset.notes):
                self._print(line)
        elif isinstance(event, Noted):
            self._print(event.text)
        elif isinstance(event, RepeatFinished):
            self._print(repeat_line(event.trial, event.repeat, self._metric))
        elif isinstance(event, TrialFinished):
            self._print(trial_line(event.trial, self._metric))

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


def end_line(event: NothingLeft | Stagnant | TimeIsUp) -> str:
    """Return why a search ends early."""
    if isinstance(event, NothingLeft):
        return f"all {event.networks} networks within the budget have been proposed"
    return event.reason


def went_wrong(event: Event) -> bool:
    """Tell whether a training came to nothing."""
    if isinstance(event, RepeatFinished):
        return event.repeat.state in FAILED
    return isinstance(event, TrialFinished) and event.trial.state in FAILED


class OnlyWhatMatters:
    """Chooses what is told in quiet: what went wrong, what comes in between, and why a search ends."""

    def __init__(self) -> None:
        """Begin before the first training."""
        self._began = False

    def __call__(self, event: Event) -> bool:
        """Tell whether an event matters; what is noted of a study before its first training is no news."""
        self._began |= isinstance(event, TrainingBegan)
        noted = isinstance(event, Noted) and self._began
        return noted or went_wrong(event) or isinstance(event, NothingLeft | Stagnant | TimeIsUp)


class LiveSearch:
    """A view of a search on a terminal. What went wrong, notes and reasons to end stay above it."""

    def __init__(self, console: Console, tally: Tally) -> None:
        """Show nothing yet."""
        self._tally, self._console = tally, console
        self._lines = SearchLines(console, tally.metric, wanted=lambda event: not _is_ordinary(event))
        self._display = Display(console, tally.snapshot, stays=False)

    def __enter__(self) -> LiveSearch:
        """Show the view."""
        self._display.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Take the view away, and leave a line that says what became of the trials."""
        self._display.__exit__(*exception)
        if line := closing_line(self._tally.snapshot()):
            self._console.print(line, soft_wrap=True)

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        self._lines(event)
        self._tally(event)


def _is_ordinary(event: Event) -> bool:
    return isinstance(event, TrialFinished | RepeatFinished) and not went_wrong(event)


def closing_line(snapshot: Snapshot) -> str:
    """Return what a search leaves behind; empty where it has done nothing."""
    if not snapshot.done and not snapshot.last:
        return ""
    states = ", ".join(f"{count:,} {state}" for state, count in Counter(snapshot.states).most_common())
    saved = "" if snapshot.saved is None else f"; halving saved {format_share(snapshot.saved.share)} of the compute"
    further = f"; {snapshot.further:,} further trainings" if snapshot.further else ""
    took = "" if snapshot.seconds is None else f"; {format_seconds(snapshot.seconds)}"
    return f"{snapshot.study}: {states}{further}{saved}{took}"
