"""Studies side by side as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from nas.analysis.compared import interval_words, ratio_words
from nas.cli.tables.fitted import Column, fitted_table
from nas.units import format_count

if TYPE_CHECKING:
    from nas.analysis.compared import Comparison
    from nas.analysis.pareto import FrontPoint


def studies_table(found: Comparison, *, width: int) -> Table:
    """Return one row for each study: its front, and what it spent."""
    columns = [
        Column("study", justify="left", folds=True),
        Column("hypervolume"),
        Column("95 %", drop=3),
        Column("front", drop=2),
        Column("trained", drop=4),
        Column("trainings"),
        Column("FLOPs × epochs", drop=1),
        Column("hours"),
    ]
    rows = [
        (
            one.name,
            "1" if one.ratio is None else ratio_words(one.ratio.median),
            "" if one.ratio is None else interval_words(one.ratio),
            str(len(one.front.points)),
            f"{one.states.get('trained', 0):,}",
            f"{one.spent.trainings:,}",
            format_count(one.spent.compute),
            f"{one.spent.hours:.2f}",
        )
        for one in found.studies
    ]
    return fitted_table(columns, rows, width=width, title="Fronts, and what they cost")


def costs_table(found: Comparison, *, width: int) -> Table:
    """Return one row for each bound of the FLOPs: the best of each study within it."""
    columns = [Column("FLOPs up to"), *(Column(one.name) for one in found.studies), Column("ahead", justify="left")]
    rows = [
        (
            format_count(at.max_flops),
            *(_accuracy(point) for point in at.best),
            "within noise" if at.ahead is None else found.studies[at.ahead].name,
        )
        for at in found.at_costs
    ]
    return fitted_table(columns, rows, width=width, title="The best at equal cost")


def _accuracy(point: FrontPoint | None) -> str:
    if point is None:
        return "–"
    return f"{100 * point.shrunk_accuracy:.2f} ± {100 * point.standard_error:.2f} % (#{point.trial.number})"
