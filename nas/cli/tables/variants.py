"""What nas compress made, as a table: each network below the one that it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from nas.cli.tables.fitted import Column, fitted_table
from nas.records import Figures, Variant
from nas.units import format_bytes, format_count, format_percent

if TYPE_CHECKING:
    from nas.analysis.pareto import FrontPoint


def variants_table(
    variants: Sequence[Variant], *, title: str, width: int, searched: Mapping[str, FrontPoint | None] | None = None
) -> Table:
    """Return a table of variants and what they were made of.

    Args:
        variants: In the order in which they were made.
        title: Above the table.
        width: Of the terminal.
        searched: By name, the network that the search has for no more FLOPs.
    """
    columns = [
        Column("network", justify="left", folds=True),
        Column("validation"),
        Column("lost"),
        Column("FLOPs"),
        Column("weights"),
        Column("file", drop=1),
        Column("ms"),
        Column("faster"),
        Column("test", drop=3),
        *([] if searched is None else [Column("searched")]),
        Column("", justify="left", drop=2),
    ]
    rows, shown = list[list[str]](), set[str]()
    for variant in variants:
        if variant.parent not in shown:
            empty = ["", "", *([] if searched is None else [""]), ""]
            rows.append([variant.parent, *_cells(variant.parent_figures), *empty])
        shown |= {variant.parent, variant.name}
        speed = "" if variant.speed is None else f"{variant.speed:.2f}x"
        test = "" if variant.test_accuracy is None else f"{100 * variant.test_accuracy:.2f} %"
        beside = [] if searched is None else [_searched(searched.get(variant.name))]
        cells = [*_cells(variant.figures, lost=variant.drop), speed, test, *beside]
        rows.append([variant.name, *cells, "kept though refused" if variant.refused else ""])
    return fitted_table(columns, rows, width=width, title=title)


def variant_notes(variants: Sequence[Variant], *, searched: bool = False) -> list[str]:
    """Return what a table of variants has no room for."""
    beside = ["searched: to expect of the front's most accurate network of no more FLOPs; - where there is none."]
    settings = dict.fromkeys(str(variant.provenance.get("setting", "")) for variant in variants)
    times = [f"ms: {setting}; faster: than the network that it was made of." for setting in settings if setting]
    refused = [f"Kept though refused: {one.name}: {one.refused}." for one in variants if one.refused]
    unknown = any(variant.figures.val_accuracy is None for variant in variants)
    return [
        *(beside if searched else []),
        *times,
        *refused,
        *(["The accuracy was not measured: there are no images."] if unknown else []),
    ]


def _searched(point: FrontPoint | None) -> str:
    if point is None:
        return "-"
    return f"{format_percent(point.shrunk_accuracy, point.standard_error)} #{point.trial.number}"


def _cells(figures: Figures, *, lost: float | None = None) -> list[str]:
    accuracy = "not measured" if figures.val_accuracy is None else f"{100 * figures.val_accuracy:.2f} %"
    return [
        accuracy,
        "" if lost is None else f"{100 * lost:.2f}",
        format_count(figures.flops),
        format_bytes(figures.weight_bytes),
        format_bytes(figures.file_bytes),
        "" if figures.latency_ms is None else f"{figures.latency_ms:.3g}",
    ]
