"""The console, and how a training looks in it; how a search looks is told in ``nas/cli/live``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.status import Status
from rich.table import Column
from rich.text import Text

from nas.cli.output import Output, as_stream, harmless

if TYPE_CHECKING:
    from nas.records import Epoch
    from nas.training.recipe import Recipe
    from nas.training.repeat import SeedResult
    from nas.training.result import StepDone

_REFRESH_SECONDS = 0.25


class PlainConsole(Console):
    """A console that takes text for text: nothing in it is markup, an emoji or a command to the terminal."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        """Print on standard output or standard error."""
        file = as_stream(Output(stderr=stderr))
        super().__init__(file=file, width=width, markup=False, emoji=False, soft_wrap=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the pieces of what is printed, all of them harmless."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else harmless(text), style, control)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text to print; what a terminal obeys is seen in it and not left out."""
        return super().render_str(harmless(text), **options)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """Return a line that says what the program does."""
        return _PlainStatus(status, console=self, **options)


class _PlainStatus(Status):
    """A status whose text is no markup."""

    def __init__(self, status: RenderableType, **options: Any) -> None:
        super().__init__(_as_text(status), **options)

    def update(self, status: RenderableType | None = None, **options: Any) -> None:
        super().update(None if status is None else _as_text(status), **options)


def _as_text(renderable: RenderableType) -> RenderableType:
    return Text(harmless(renderable)) if isinstance(renderable, str) else renderable


def make_console(*, stderr: bool = False) -> Console:
    """Return a console; where the output is no terminal, tables are as wide as they need."""
    console = PlainConsole(stderr=stderr)
    return console if console.is_terminal else PlainConsole(stderr=stderr, width=160)


class TrainingProgress:
    """A line for each training's end and, on a terminal, a bar with accuracy, speed and time left, step by step."""

    def __init__(self, console: Console, recipe: Recipe, *, images: int, seeds: int) -> None:
        """Prepare a bar over all steps of all seeds, given the number of training images."""
        self._epochs, self._steps = recipe.total_epochs(images), recipe.total_steps(images)
        self._batch = recipe.step_images(images)
        self._steps_of_epoch = images // self._batch
        time_left = TimeRemainingColumn(table_column=Column(min_width=len("0:00:00"), no_wrap=True))
        columns = (TextColumn("{task.description}", markup=False), BarColumn(8), time_left, TextColumn("left"))
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._progress.add_task("training", total=seeds * self._steps)
        self._console = console
        self._seeds = seeds
        self._validated = ""
        self._repeat = 0
        self._shown = 0.0
        self._counted_from = (0, 0.0)  # step and time

    def __enter__(self) -> TrainingProgress:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Take the bar away."""
        self._progress.stop()

    def step(self, repeat: int, step: StepDone) -> None:
        """Show a step, several times a second at most."""
        now = time.monotonic()
        if repeat != self._repeat or self._counted_from[1] == 0.0:
            self._repeat, self._counted_from, self._validated = repeat, (step.done, now), ""
        if self._progress.disable or now - self._shown < _REFRESH_SECONDS:
            return
        self._shown = now
        first, began = self._counted_from
        speed = f" {(step.done - first) * self._batch / (now - began):,.0f} images/s" if now > began else ""
        epoch = min(self._epochs, 1 + (step.done - 1) // self._steps_of_epoch)
        accuracy = self._validated or f" train {100 * step.accuracy():.1f} %"
        self._progress.update(
            self._task,
            description=f"seed {repeat + 1}/{self._seeds} epoch {epoch}/{self._epochs}{accuracy}{speed}",
            completed=repeat * self._steps + step.done,
        )

    def epoch(self, repeat: int, epoch: Epoch) -> None:
        """Show the accuracy after an epoch."""
        self._validated = f" val {100 * epoch.val_accuracy:.1f} %"

    def result(self, result: SeedResult) -> None:
        """Show a line that stays."""
        epochs = len(result.curve)
        self._progress.update(self._task, completed=(result.repeat + 1) * self._steps)
        self._console.print(
            f"seed {result.repeat + 1}/{self._seeds}  validation {100 * result.val_accuracy:.2f} %  test"
            f" {100 * result.test.accuracy:.2f} %  after {epochs} epoch{'s' * (epochs != 1)}",
        )

    def diverged(self, repeat: int, reason: str) -> None:
        """Show a line that stays for a training that has no result."""
        self._progress.update(self._task, completed=(repeat + 1) * self._steps)
        self._console.print(f"seed {repeat + 1}/{self._seeds}  diverged: {reason}", soft_wrap=True)
