"""Accuracy against bytes of a network whose numbers have fewer bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nas.plots.axes import log_axis
from nas.plots.looks import INK, QUIET, family_look
from nas.plots.pages import empty, laid_out
from nas.units import format_bytes

if TYPE_CHECKING:
    import plotly.graph_objects as go

FLOAT_BITS = 32
"""Of the row that the others are compared with."""


class Row(Protocol):
    """What a network comes to with so many bits, as ``nas.fixed_point_table`` tells it."""

    @property
    def bits(self) -> int:
        """Of each number."""

    @property
    def bytes(self) -> int:
        """Of all numbers."""

    @property
    def val_accuracy(self) -> float:
        """In 0 to 1."""


class BitsInfo(NamedTuple):
    """What the figure shows: a point for each number of bits, fewest first, and float32's accuracy where it is told."""

    bits: list[int]
    bytes: list[int]
    percent: list[float]
    float_percent: float | None


def bits_info(rows: Sequence[Row]) -> BitsInfo:
    """Collect what ``bits`` draws."""
    few = sorted((row for row in rows if row.bits < FLOAT_BITS), key=lambda row: row.bits)
    whole = [100 * row.val_accuracy for row in rows if row.bits >= FLOAT_BITS]
    percent = [100 * row.val_accuracy for row in few]
    return BitsInfo([row.bits for row in few], [row.bytes for row in few], percent, whole[0] if whole else None)


def alt(info: BitsInfo) -> str:
    """Say what the fewest and the most bits come to."""
    if not info.bits:
        return "There are no rows."
    ends = dict.fromkeys((0, len(info.bits) - 1))
    parts = [f"{info.bits[i]} bits: {info.percent[i]:.1f} % at {format_bytes(info.bytes[i])}" for i in ends]
    return "; ".join([*parts, *([] if info.float_percent is None else [f"float32: {info.float_percent:.1f} %"])]) + "."


def bits(rows: Sequence[Row], *, title: str = "Fixed point: accuracy and bytes") -> go.Figure:
    """Draw accuracy against bytes, a point for each number of bits, and a line at float32's accuracy.

    Args:
        rows: Of ``nas.fixed_point_table``.
        title: Of the figure.
    """
    import plotly.graph_objects as go

    info, look = bits_info(rows), family_look(0)
    drawn = {
        "mode": "lines+markers+text",
        "text": [str(number) for number in info.bits],
        "textposition": "bottom center",
        "cliponaxis": False,
    }
    drawn |= {"marker": {"size": 9, "symbol": look.symbol}, "line": {"color": look.color}, "textfont": {"color": INK}}
    hover = "%{text} bits: %{y:.1f} % at %{x:.3s}B<extra></extra>"
    figure = go.Figure(go.Scatter(x=info.bytes, y=info.percent, hovertemplate=hover, **drawn))
    figure.update_layout(xaxis=log_axis(info.bytes, format_bytes, "Bytes of all numbers"), showlegend=False)
    figure.update_yaxes(title="Validation accuracy (%)")
    if info.float_percent is not None and info.bits:
        named = {"annotation_text": f"float32: {info.float_percent:.1f} %", "annotation_position": "top left"}
        figure.add_hline(y=info.float_percent, line={"color": QUIET, "dash": "dash", "width": 1}, **named)
    if not info.bits:
        return laid_out(empty(figure, "There are no rows."), title, alt=alt(info))
    return laid_out(figure, title, alt=alt(info), note="Numbers: bits of each weight and bias.")
