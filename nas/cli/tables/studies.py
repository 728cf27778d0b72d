"""Fronts, seeds and replays as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from nas.cli.tables.fitted import Column, fitted_table
from nas.units import format_count, format_seconds, format_share

if TYPE_CHECKING:
    from nas.analysis.pareto import FrontPoint, NoisyFront
    from nas.analysis.replays import ReplaySummary
    from nas.training.repeat import SeedResult


_CONTENDERS = 5
"""Networks off the front that are named, at most."""


def front_table(front: NoisyFront, *, title: str, width: int) -> Table:
    """Return the Pareto front as a table, cheapest first."""
    repeated = any(point.seeds > 1 for point in front.points)
    columns = [
        *(Column(header) for header in ("trial", "expected", "measured")),
        *([Column("seeds", drop=4)] if repeated else []),
        *(Column(header) for header in ("P(front)", "FLOPs")),
        Column("params", drop=2),
        Column("width", drop=3),
        Column("depth", drop=3),
        Column("px", drop=3),
        Column("trained in", drop=1),
        Column("near"),
        Column("space", justify="left", folds=True),
    ]
    rows = [
        (
            str(point.trial.number),
            f"{100 * point.shrunk_accuracy:.2f} %",
            mean_and_std_cell(point),
            *([str(point.seeds)] if repeated else []),
            format_share(point.front_probability),
            format_count(point.trial.flops),
            format_count(point.trial.params),
            f"{point.trial.width:g}",
            f"{point.trial.depth:g}",
            str(point.trial.resolution),
            f"{point.trial.train_seconds or 0:.1f} s",
            "" if point.within_noise_of is None else f"#{point.within_noise_of}",
            f"{point.trial.space} {point.trial.chosen}".rstrip(),
        )
        for point in front.points
    ]
    return fitted_table(columns, rows, width=width, title=title)


def replay_table(summaries: Sequence[ReplaySummary], *, title: str, width: int) -> Table:
    """Return replayed rules as a table, one row each; the figures to 95 % are blank where they were not reached."""
    columns = [
        Column("rule", justify="left", folds=True),
        Column("final share"),
        Column("trained", drop=2),
        Column("to 95 %: proposals"),
        Column("compute"),
        Column("time", drop=1),
    ]

    def shown(value: float, text: str) -> str:
        return text if math.isfinite(value) else "–"

    rows = [
        (
            summary.rule,
            f"{100 * summary.share:.1f} %",
            f"{summary.trained:.0f}",
            shown(summary.proposals, f"{summary.proposals:.0f}"),
            shown(summary.compute, f"{100 * summary.compute:.1f} %"),
            shown(summary.seconds, format_seconds(summary.seconds) if math.isfinite(summary.seconds) else ""),
        )
        for summary in summaries
    ]
    return fitted_table(columns, rows, width=width, title=title)


def mean_and_std_cell(point: FrontPoint) -> str:
    """Return a network's mean accuracy in percent, with the deviation over its seeds where it has several."""
    std = "" if point.std_accuracy is None else f" ± {100 * point.std_accuracy:.2f}"
    return f"{100 * point.mean_accuracy:.2f}{std} %"


def front_notes(front: NoisyFront) -> list[str]:
    """Return what a table of the front has no room for: the noise, what is near, and who may be on the front too."""
    if not front.points:
        return []
    expected = (
        "expected: on new images, over all seeds; measured means, without the luck that brought them to the front."
    )
    near = ["near: within noise (two standard deviations) of that trial, the one before it on the front."]
    near = near if any(point.within_noise_of is not None for point in front.points) else []
    some = ", ".join(f"#{p.trial.number} ({format_share(p.front_probability)})" for p in front.contenders[:_CONTENDERS])
    more = len(front.contenders) - _CONTENDERS
    also = [f"May be on the front too: {some}{f' and {more} more' if more > 0 else ''}."] if some else []
    return [expected, str(front.noise), *near, *also]


def seeds_table(results: Sequence[SeedResult], *, title: str, width: int) -> Table:
    """Return the trainings of one network, one row each, with mean and standard deviation below."""
    from nas.training.repeat import mean_and_std

    few = len(results[0].test.confusion) <= 5  # all classes are among the five best
    columns = [
        Column("seed", justify="left"),
        Column("validation"),
        Column("test"),
        *([] if few else [Column("top 5", drop=2)]),
        Column("seconds", drop=1),
        Column("images/s", drop=3),
    ]
    figures = [
        (
            100 * result.val_accuracy,
            100 * result.test.accuracy,
            *(() if few else (100 * result.test.top5,)),
            result.train_seconds,
            result.images_per_second,
        )
        for result in results
    ]
    shares = 2 if few else 3
    forms, units = ["{:.2f}"] * shares + ["{:.1f}", "{:,.0f}"], [" %"] * shares + ["", ""]
    rows = [
        (str(result.repeat + 1), *(form.format(v) + unit for form, unit, v in zip(forms, units, values, strict=True)))
        for result, values in zip(results, figures, strict=True)
    ]
    if len(results) > 1:
        totals = [mean_and_std(column) for column in zip(*figures, strict=True)]
        means = [
            " ± ".join(form.format(value) for value in total) + unit
            for form, unit, total in zip(forms, units, totals, strict=True)
        ]
        rows.append(("mean ± std", *means))
    return fitted_table(columns, rows, width=width, title=title)
