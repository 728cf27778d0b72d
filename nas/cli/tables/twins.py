"""A taught network beside its twins, which learned alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from nas.cli.tables.fitted import Column, fitted_table
from nas.units import format_count


def twins_table(trained: Mapping[str, Mapping[str, Any]], *, width: int) -> Table:
    """Return trainings as a table, one row each: how long, at what cost, how accurate.

    Args:
        trained: How each was trained, and its figures: epochs, FLOPs, and accuracies with mean, std and values.
        width: Of the console.
    """
    columns = [
        Column("trained", justify="left", folds=True),
        Column("epochs"),
        Column("FLOPs", drop=2),
        Column("seeds", drop=1),
        Column("validation"),
        Column("test"),
    ]
    rows = [
        (
            how,
            f"{figures['epochs']:.4g}",
            format_count(figures["training_flops"]),
            str(len(figures["val_accuracy"]["values"])),
            _percent(figures["val_accuracy"]),
            _percent(figures["test_accuracy"]),
        )
        for how, figures in trained.items()
    ]
    return fitted_table(columns, rows, width=width, title="with a teacher and alone")


def _percent(figures: Mapping[str, Any]) -> str:
    mean, std = 100 * figures["mean"], figures["std"]
    return f"{mean:.2f} %" if std is None else f"{mean:.2f} ± {100 * std:.2f} %"
