"""Seeds and replays as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from nas.cli.tables.fitted import Column, fitted_table
from nas.units import format_seconds

if TYPE_CHECKING:
    from nas.analysis.replays import ReplaySummary
    from nas.training.repeat import SeedResult


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
