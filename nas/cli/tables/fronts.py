"""The front of a study as a table, with a bar of what to expect of each network, and the notes under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table

from nas.cli.tables.fitted import Column, fitted_table
from nas.units import format_count, format_percent, format_share

if TYPE_CHECKING:
    from nas.analysis.costs import CostFront
    from nas.analysis.pareto import FrontPoint, NoisyFront
    from nas.analysis.recommendation import Recommendation
    from nas.records import Reference

_CONTENDERS = 5
"""Networks off the front that are named, at most."""
_ROOMY = 140
"""Columns of a terminal from which on bars are longer."""


class Mark(NamedTuple):
    """A sign beside the number of a trial, and what it means."""

    sign: str
    meaning: str


TAKE = Mark("*", "recommended")
CHEAPEST = Mark("~", "the cheapest within noise of it")
KNEE = Mark(
    "^",
    "the knee, the network farthest above the straight line from the cheapest to the most accurate (over log {cost})",
)


def marks_of(answer: Recommendation | None, knee: FrontPoint | None) -> dict[int, tuple[Mark, ...]]:
    """Return the marks of trials, by number."""
    if answer is None:
        return {}
    found = dict[int, tuple[Mark, ...]]()
    for mark, point in ((TAKE, answer.best), (CHEAPEST, answer.cheapest), (KNEE, knee)):
        if point is not None:
            found[point.trial.number] = (*found.get(point.trial.number, ()), mark)
    return found


def front_table(
    front: NoisyFront | CostFront, *, title: str, width: int, marks: Mapping[int, Sequence[Mark]] | None = None
) -> Table:
    """Return the Pareto front as a table, cheapest first.

    Args:
        front: Over FLOPs or another cost.
        title: Above the table.
        width: Of the terminal.
        marks: Of trials, by number.
    """
    repeated = any(point.seeds > 1 for point in front.points)
    bars = _bars(front.points, width=16 if width >= _ROOMY else 8)
    costs = _cost_columns(front)
    signs = {number: "".join(mark.sign for mark in given) for number, given in (marks or {}).items()}
    columns = [
        Column("trial"),
        *([Column("", justify="left")] if signs else []),
        Column("expected"),
        Column(bars.header, drop=4, justify="left"),
        Column("measured"),
        *([Column("seeds", drop=5)] if repeated else []),
        Column("P(front)"),
        *(column for column, _ in costs),
        Column("width", drop=3),
        Column("depth", drop=3),
        Column("px", drop=3),
        Column("near"),
        Column("space", justify="left", folds=True),
    ]
    rows = [
        (
            str(point.trial.number),
            *([signs.get(point.trial.number, "")] if signs else []),
            f"{100 * point.shrunk_accuracy:.2f} %",
            bar,
            mean_and_std_cell(point),
            *([str(point.seeds)] if repeated else []),
            format_share(point.front_probability),
            *(cells[index] for _, cells in costs),
            f"{point.trial.width:g}",
            f"{point.trial.depth:g}",
            str(point.trial.resolution),
            "" if point.within_noise_of is None else f"#{point.within_noise_of}",
            f"{point.trial.space} {point.trial.chosen}".rstrip(),
        )
        for index, (point, bar) in enumerate(zip(front.points, bars.drawn, strict=True))
    ]
    return fitted_table(columns, rows, width=width, title=title)


def _cost_columns(front: NoisyFront | CostFront) -> list[tuple[Column, list[str]]]:
    """Return the columns of costs with their cells, first the one that the front goes by."""
    trials = [point.trial for point in front.points]

    def cells(of: str) -> list[str]:
        return [format_count(getattr(trial, of)) for trial in trials]

    own, costed = "flops", getattr(front, "costed", None)
    found = [(Column("FLOPs"), cells("flops"))]
    if costed is not None and costed.cost.name != "flops":
        own = costed.cost.name
        found = [
            (Column(costed.cost.label), [costed.cost.write(costed.values[trial.number]) for trial in trials]),
            (Column("FLOPs", drop=2), cells("flops")),
        ]
    if own != "params":
        found.append((Column("params", drop=2), cells("params")))
    if own != "train_seconds":
        found.append((Column("trained in", drop=1), [f"{trial.train_seconds or 0:.1f} s" for trial in trials]))
    return found


class _Bars(NamedTuple):
    header: str
    drawn: list[str]


def _bars(points: Sequence[FrontPoint], *, width: int) -> _Bars:
    """Return an interval for each point on one axis of whole percents, whose ends the header names."""
    values = [(100 * point.shrunk_accuracy, 100 * point.standard_error) for point in points]
    low = max(0, int(min((value - error for value, error in values), default=0)))
    high = min(100, int(max((value + error for value, error in values), default=0)) + 1)
    drawn = [interval_bar(value, error, axis=(low, high), width=width) for value, error in values]
    return _Bars(f"{low}-{high} %", drawn)


def interval_bar(value: float, error: float, *, axis: tuple[float, float], width: int) -> str:
    """Return a value and its error to both sides as one line of ``width`` characters on an axis: ``  ├─●─┤ ``."""
    cell = (axis[1] - axis[0]) / (width - 1)
    at, half = round((value - axis[0]) / cell), round(error / cell)
    first, last = max(0, at - half), min(width - 1, at + half)
    cells = [" "] * width
    cells[first : last + 1] = "─" * (last + 1 - first)
    cells[first], cells[last] = "├", "┤"
    cells[at] = "●"
    return "".join(cells)


def mean_and_std_cell(point: FrontPoint) -> str:
    """Return a network's mean accuracy in percent, with the deviation over its seeds where it has several."""
    std = "" if point.std_accuracy is None else f" ± {100 * point.std_accuracy:.2f}"
    return f"{100 * point.mean_accuracy:.2f}{std} %"


def front_notes(
    front: NoisyFront, marks: Mapping[int, Sequence[Mark]] | None = None, *, cost: str = "FLOPs"
) -> list[str]:
    """Return what a table of the front has no room for: marks, noise, what is near, and who may be on the front too."""
    if not front.points:
        return []
    shown = {point.trial.number for point in front.points}
    used = {mark for number, given in (marks or {}).items() if number in shown for mark in given}
    known = [f"{mark.sign} {mark.meaning.format(cost=cost)}" for mark in (TAKE, CHEAPEST, KNEE) if mark in used]
    signs = [f"{'; '.join(known)}."] if known else []
    expected = (
        "expected: on new images, over all seeds; measured means, without the luck that brought them to the front."
        " Bars, where there is room, reach one standard error to both sides."
    )
    near = ["near: within noise (two standard deviations) of that trial, the one before it on the front."]
    near = near if any(point.within_noise_of is not None for point in front.points) else []
    some = ", ".join(f"#{p.trial.number} ({format_share(p.front_probability)})" for p in front.contenders[:_CONTENDERS])
    more = len(front.contenders) - _CONTENDERS
    also = [f"May be on the front too: {some}{f' and {more} more' if more > 0 else ''}."] if some else []
    return [*signs, expected, str(front.noise), *near, *also]


def reference_lines(references: Sequence[Reference]) -> list[str]:
    """Return one line for each reference network: what was trained on the same images, and how good it is."""
    return [
        f"Reference {one.name}: {_measured(one)} at {format_count(one.flops)} FLOPs, {one.resolution} px,"
        f" {one.epochs} epoch{'s' * (one.epochs != 1)}{', begun from given weights' * one.pretrained}."
        for one in references
    ]


def _measured(reference: Reference) -> str:
    from statistics import stdev

    seeds = len(reference.accuracies)
    if seeds == 1:
        return f"{format_percent(reference.mean_accuracy)} (one seed)"
    return f"{format_percent(reference.mean_accuracy, stdev(reference.accuracies))} ({seeds} seeds)"
