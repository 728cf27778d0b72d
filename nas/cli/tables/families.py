"""Families of networks that a rule makes, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from nas.cli.tables.fitted import Column, fitted_table
from nas.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from nas.scaling.costs import CostKind
    from nas.scaling.family import Member

LARGE_DRIFT = 5.0
"""In percent; more is worth a word."""


def family_table(members: Sequence[Member], kind: CostKind, *, width: int) -> Table:
    """Return one row for each network of a family: what it is made of, what it costs, how far that is from 2^phi."""
    timed = any(member.train_seconds is not None for member in members)
    columns = [
        *(Column(header) for header in ("phi", "width", "depth", "px")),
        Column("channels", drop=1, justify="left"),
        Column("repeats", drop=2, justify="left"),
        Column("FLOPs"),
        Column("drift" if kind.name == "flops" else f"{kind.label} drift"),
        Column("conv+linear", drop=4),
        *([Column("drift", drop=4)] if kind.name == "flops" else []),
        Column("params", drop=5),
        Column("activations", drop=3),
        *([Column("peak memory")] if kind.name == "peak_memory" else []),
        *([Column("training")] if timed else []),
    ]
    return fitted_table(columns, [_row(member, kind, timed=timed) for member in members], width=width)


def _row(member: Member, kind: CostKind, *, timed: bool) -> list[str]:
    cost, seconds = member.cost, member.train_seconds
    return [
        f"{member.phi:g}",
        f"{member.point.width:.3g}",
        f"{member.point.depth:.3g}",
        str(member.point.resolution),
        " ".join(map(str, member.channels)),
        " ".join(map(str, member.repeats)),
        format_count(cost.flops),
        drift_text(member.drift),
        format_count(cost.multiply_adds),
        *([drift_text(member.multiply_adds_drift)] if kind.name == "flops" else []),
        format_count(cost.params),
        format_count(cost.activations),
        *([format_bytes(cost.peak_memory)] if kind.name == "peak_memory" else []),
        *(["" if seconds is None else format_seconds(seconds)] if timed else []),
    ]


def drift_text(percent: float) -> str:
    """Write a drift in percent with its sign."""
    return f"{percent:+.1f} %".replace("+0.0 %", "0.0 %").replace("-0.0 %", "0.0 %")


def family_notes(members: Sequence[Member], *, exact: bool) -> list[str]:
    """Return what the table does not say by itself."""
    notes = ["conv+linear are the multiply-adds of convolutions and linear layers, the figure that papers quote"]
    farthest = max(members, key=lambda member: abs(member.drift))
    if abs(farthest.drift) > LARGE_DRIFT and exact:
        notes.append(f"phi {farthest.phi:g}: rounding leaves no network of this rule nearer to 2^phi")
    elif abs(farthest.drift) > LARGE_DRIFT:
        notes.append("--exact takes the networks of the rule that are nearest to 2^phi")
    return notes
