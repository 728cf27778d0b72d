"""A snapshot of a search as something to print that fits its terminal, wide or narrow, high or low."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from nas.cli.live.chart import below, chart
from nas.cli.live.snapshot import InTraining, Snapshot
from nas.cli.output import harmless
from nas.units import format_count, format_seconds, format_share

STATE_STYLES = {"trained": "green", "stopped": "yellow", "infeasible": "magenta", "failed": "bold red"}
"""Of the counts above the chart; those of nothing are dim."""
_HIGHEST, _LOWEST = 16, 6
"""Lines of the chart, its axis included; where there is room for fewer, there is no chart."""
_WIDEST = 100
_RUNNING = 4
"""Trainings that are shown where lines are few."""
_LAST = 3
_ECHO = len("^C")
"""A terminal writes Ctrl-C behind the last line; there must be room, or it begins a new one and what is drawn moves."""


@dataclass(frozen=True, slots=True)
class SearchView:
    """Prints a snapshot; it takes no more lines than the terminal has."""

    snapshot: Snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield one line after another, none wider than the terminal."""
        width, height = max(1, options.max_width - _ECHO), options.size.height
        yield from search_lines(self.snapshot, width=width, height=height, ascii_only=options.ascii_only)


def search_lines(snapshot: Snapshot, *, width: int, height: int, ascii_only: bool = False) -> list[Text]:
    """Return the lines of a snapshot.

    What matters least is left out first: trainings that ended before the last, then the chart, then all but the first
    trainings that run.

    Args:
        snapshot: Of a search.
        width: Characters of the terminal.
        height: Lines of the terminal; one is left free for the cursor.
        ascii_only: Use characters that every terminal has.
    """
    room = max(3, height - 1)
    head = [
        _title(snapshot),
        *_bar(snapshot, width, ascii_only=ascii_only),
        *_counts(snapshot, width, ascii_only=ascii_only),
    ]
    note = [_line(snapshot.note, "yellow")] if snapshot.note else []
    room -= len(head) + len(note)
    running = _running(snapshot, width, most=max(1, min(room // 2, max(_RUNNING, room - _LOWEST - 4))))
    last = [_line(text, "dim") for text in snapshot.last[-_LAST:]]
    drawn = _chart(snapshot, width, room - len(running) - 2, ascii_only=ascii_only)
    room -= len(drawn) + len(running)
    last = last[-max(0, room - 1) :] if room > 1 else []
    last = [Text("ended last", "bold"), *last] if last else []
    lines = [*head, *drawn, *running, *last, *note]
    return [_fitted(line, width, ascii_only=ascii_only) for line in lines[: max(1, height - 1)]]


def _title(snapshot: Snapshot) -> Text:
    text = Text(harmless(snapshot.study), "bold")
    if snapshot.seconds is not None:
        text.append(f"  {format_seconds(snapshot.seconds)}", "not bold")
    if snapshot.left is not None:
        further = ", then further seeds" if snapshot.further_to_come else ""
        text.append(f", about {format_seconds(snapshot.left)} left{further}", "not bold")
    return text


def _bar(snapshot: Snapshot, width: int, *, ascii_only: bool) -> Iterator[Text]:
    """Yield how far the search has come as a bar."""
    if not snapshot.planned:
        yield Text(f"{snapshot.done:,} trials")
        return
    text = f" {snapshot.done:,}/{snapshot.planned:,} trials"
    length = max(0, min(40, width - len(text) - 1))
    full = min(length, length * snapshot.done // snapshot.planned)
    mark = "=" if ascii_only else "━"
    yield Text.assemble((mark * full, "green"), (mark * (length - full), "bright_black"), text)


def _counts(snapshot: Snapshot, width: int, *, ascii_only: bool) -> list[Text]:
    """Return the numbers of trials by state, on as many lines as they take."""
    states = snapshot.states
    failed = states.get("failed", 0) + states.get("diverged", 0)
    shown = [(name, states.get(name, 0)) for name in ("trained", "stopped", "infeasible")]
    parts = [(f"{number:,} {name}", STATE_STYLES[name] if number else "dim") for name, number in shown]
    parts.append((f"{failed:,} failed", STATE_STYLES["failed"] if failed else "dim"))
    parts += [(f"{number:,} repeated", "") for number in [states.get("repeated", 0)] if number]
    parts += [(f"{snapshot.further:,} further seeds", "")] if snapshot.further else []
    if snapshot.saved is not None:
        parts.append((f"halving saved {format_share(snapshot.saved.share)} of the compute", "cyan"))
    lines, between = [Text()], ", " if ascii_only else " · "
    for text, style in parts:
        if lines[-1] and len(lines[-1]) + len(between) + len(text) > width:
            lines.append(Text())
        lines[-1].append(between if lines[-1] else "", "dim").append(text, style)
    return lines


def _chart(snapshot: Snapshot, width: int, room: int, *, ascii_only: bool) -> list[Text]:
    """Return the front so far with a line that says what it is; nothing where there is no room."""
    height = min(_HIGHEST, room - 1)
    if snapshot.cloud is None or height < _LOWEST or width < 30:
        return []
    outside = below(snapshot.cloud)
    hidden = f"; {outside:,} below it" if outside else ""
    what = f"as measured, luck included: {snapshot.metric} against FLOPs{hidden}"
    drawn = chart(snapshot.cloud, width=min(_WIDEST, width), height=height, ascii_only=ascii_only)
    return [Text(f"front so far, {what}", "bold"), *drawn]


def _running(snapshot: Snapshot, width: int, *, most: int) -> list[Text]:
    """Return what is being trained, one line each."""
    if not snapshot.running:
        return []
    shown = list(snapshot.running[:most])
    lines = [_training(training, snapshot.epochs, width) for training in shown]
    if left := len(snapshot.running) - len(shown):
        lines[-1].append(f"  and {left} more", "dim")
    return [Text("in training", "bold"), *lines]


def _training(training: InTraining, epochs: int | None, width: int) -> Text:
    seed = f" seed {training.repeat + 1}" if training.repeat else ""
    of = "" if epochs is None else f"/{epochs}"
    epoch = "" if training.epoch is None else f"epoch {training.epoch}{of}"
    accuracy = "" if training.accuracy is None else f"{100 * training.accuracy:.1f} %"
    text = Text(f"#{training.trial.number:<4}{epoch:<12}{accuracy:>7} {format_count(training.trial.flops):>6}{seed}")
    return text.append(f"  {harmless(training.trial.label)}", "dim")


def _line(text: str, style: str) -> Text:
    return Text(harmless(text).replace("\n", " "), style)


def _fitted(line: Text, width: int, *, ascii_only: bool) -> Text:
    """Return a line that is cut where the terminal ends."""
    line.no_wrap, line.overflow = True, "crop" if ascii_only else "ellipsis"
    line.truncate(width, overflow=line.overflow)
    return line
