"""How good predictions are, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.cli.tables.fitted import Column, fitted_table
from nas.predict.evaluation import BINS, Evaluation
from nas.units import format_percent

if TYPE_CHECKING:
    from rich.console import Console

_MATRIX = 12  # classes of which a terminal has room for a matrix
_PAIRS = 10


def show_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Print accuracy, calibration and what was taken for what."""
    few = " (of so few images it comes out too high)" if evaluation.images < 100 * BINS else ""
    lines = (
        f"accuracy {format_percent(evaluation.accuracy)} of {evaluation.images:,} images, mean probability"
        f" {format_percent(evaluation.confidence)}",
        f"expected calibration error {format_percent(evaluation.calibration_error)} over {BINS} bins{few}",
    )
    for line in lines:
        console.print(line, soft_wrap=True)
    classes = sorted({name for pair in evaluation.counts for name in pair})
    if len(classes) <= _MATRIX:
        columns = [Column("class", justify="left"), *(Column(name) for name in classes)]
        matrix = zip(classes, evaluation.confusion(classes), strict=True)
        rows = [(name, *(str(count) if count else "·" for count in counts)) for name, counts in matrix]
        console.print(fitted_table(columns, rows, width=console.width, title="row: true class; column: taken for"))
        return
    pairs = evaluation.confused()
    if not pairs:
        return
    columns = [Column("true class", justify="left"), Column("taken for", justify="left"), Column("images")]
    title = f"the {min(len(pairs), _PAIRS)} most frequent of {len(pairs):,} kinds of mistakes; --json has all"
    rows = [(label, named, f"{count:,}") for label, named, count in pairs[:_PAIRS]]
    console.print(fitted_table(columns, rows, width=console.width, title=title))
