"""How good predictions are, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from nas.cli.tables.fitted import Column, fitted_table
from nas.predict.evaluation import BINS, Evaluation
from nas.units import format_percent

if TYPE_CHECKING:
    from rich.console import Console

_MATRIX = 12  # classes of which a terminal has room for a matrix
_PAIRS = 10


def show_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Print accuracy, calibration and what was taken for what."""
    few = " (chance adds to it where images are so few)" if evaluation.images < 100 * BINS else ""
    lines = (
        f"accuracy {format_percent(evaluation.accuracy)} of {evaluation.images:,} images, mean probability"
        f" {format_percent(evaluation.confidence)}",
        f"expected calibration error {format_percent(evaluation.calibration_error)} over {BINS} bins{few}",
    )
    for line in lines:
        console.print(line, soft_wrap=True)
    classes = sorted({name for pair in evaluation.counts for name in pair})
    if evaluation.accuracy < 1:
        fits = len(classes) <= _MATRIX and 2 + sum(len(name) + 2 for name in (max(classes, key=len), *classes))
        title, table = (_matrix if fits and fits <= console.width else _pairs)(evaluation, classes, console.width)
        console.print(title, soft_wrap=True)
        console.print(table)


def _matrix(evaluation: Evaluation, classes: Sequence[str], width: int) -> tuple[str, Table]:
    columns = [Column("class", justify="left"), *(Column(name) for name in classes)]
    matrix = zip(classes, evaluation.confusion(classes), strict=True)
    rows = [(name, *(str(count) if count else "·" for count in counts)) for name, counts in matrix]
    return "each row is a true class, each column what it was taken for", fitted_table(columns, rows, width=width)


def _pairs(evaluation: Evaluation, classes: Sequence[str], width: int) -> tuple[str, Table]:
    pairs = evaluation.confused()
    columns = [Column("true class", justify="left"), Column("taken for", justify="left"), Column("images")]
    rows = [(label, named, f"{count:,}") for label, named, count in pairs[:_PAIRS]]
    title = f"mistakes: the most frequent {len(rows)} of {len(pairs):,} kinds; --json has all"
    return title, fitted_table(columns, rows, width=width)
