"""What commands of the lab that train share: the baseline, and how a scaling study is run and shown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import command_line, refuse_typed, shown_search

if TYPE_CHECKING:
    from rich.console import Console

    from nas.architecture.point import Point
    from nas.search.lab.shape import Run
    from nas.search.lab.source import Source
    from nas.search.study import Study

Source_ = Annotated[
    str,
    typer.Argument(
        metavar="STUDY|TABLE", help="A study, to which trainings are added, or a table of trainings (.csv, .csv.gz)."
    ),
]
Baseline = Annotated[
    int | None,
    typer.Option(help="Number of the trial whose network grows.  [default: one of the lower third of the front]"),
]
Space = Annotated[str | None, typer.Option(help="Space of the network that grows, where the study has several.")]
Width = Annotated[float | None, typer.Option(help="Width coefficient of the network that grows.")]
Depth = Annotated[float | None, typer.Option(help="Depth coefficient of the network that grows.")]
Resolution = Annotated[int | None, typer.Option(help="Resolution of the network that grows, in pixels.")]
Seeds = Annotated[int, typer.Option(min=1, max=1000, help="Number of trainings of each network.")]
Train = Annotated[bool, typer.Option("--train/--no-train", help="Train what is missing, or go by what there is.")]
Workers = Annotated[int, typer.Option(min=1, help="Number of networks to train at the same time.")]

TRAINING = ("--seeds", "--workers", "--device")
"""Options that only apply where something is trained."""


def make_run(console: Console, *, workers: int, device: str) -> Run:
    """Return what runs a scaling study and shows how it goes."""
    from nas.search.run.start import run_study

    command = command_line(*sys.argv[1:])  # with all that was typed: other options may mean other networks

    def run(study: Study) -> Study:
        planned = study.missing_trials()
        with shown_search(console, study, planned=planned, command=command) as show:
            return run_study(study, workers=workers, device=device, on_event=show)

    return run


def chosen_baseline(
    source: Source,
    console: Console,
    *,
    baseline: int | None,
    space: str | None,
    width: float | None,
    depth: float | None,
    resolution: int | None,
) -> Point:
    """Return the network that grows: of a study as the options say, of a table the one nearest to them, and tell it."""
    from nas.search.lab.studies import baseline_of

    if source.table is not None:
        refuse_typed("--baseline", *TRAINING, unless=False, reason=f"{source.name} is a table")
        nearest = source.nearest(space=space, width=width, depth=depth, resolution=resolution)
        asked = {"width": width, "depth": depth, "resolution": resolution}
        if any(getattr(nearest, key) != value for key, value in asked.items()):
            console.print(f"The network that grows is {nearest.architecture().name}, of the table the nearest.")
        return nearest
    return baseline_of(source.opened, number=baseline, space=space, width=width, depth=depth, resolution=resolution)


def parse_numbers(text: str, *, fewest: int, most: float, what: str, example: str) -> tuple[float, ...]:
    """Read different numbers above zero, separated by commas, and return them in rising order.

    Raises:
        ValueError: They are none, fewer than ``fewest``, or one is above ``most``.
    """
    try:
        numbers = tuple(sorted({float(word) for word in text.split(",")}))
    except ValueError:
        numbers = ()
    if len(numbers) < fewest or not 0 < numbers[0] <= numbers[-1] <= most:
        raise ValueError(f"{text!r} must be {fewest} or more {what}, separated by commas, such as {example}")
    return numbers
