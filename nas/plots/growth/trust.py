"""How far short trainings tell the order of long ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nas.plots.axes import log_axis
from nas.plots.looks import FAINT, QUIET, Look, family_look
from nas.plots.pages import FLOPS_AXIS, empty, laid_out
from nas.scaling.trust import HOLDS, Band, Trust
from nas.units import format_count

if TYPE_CHECKING:
    import plotly.graph_objects as go


def trust(found: Trust) -> go.Figure:
    """Draw Kendall's tau of short and long trainings over the cost, with what is lost by the short one's choice."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, bands, look in (("the order holds", True, family_look(2)), ("not known to hold", False, family_look(1))):
        shown = [band for band in found.bands if band.holds == bands]
        if shown:
            figure.add_trace(_bands(shown, name, look))
    figure.add_hline(
        y=HOLDS,
        line={"color": QUIET, "width": 1.5, "dash": "dash"},
        annotation_text="three pairs of four",
        annotation_position="bottom left",
    )
    if found.ceiling is not None:
        text = f"ceiling: two seeds of {found.long} agree by {found.ceiling:.2f}"
        figure.add_hline(
            y=found.ceiling,
            line={"color": FAINT, "width": 1.5, "dash": "dot"},
            annotation_text=text,
            annotation_position="top right",
        )
    ends = [flops for band in found.bands for flops in band.flops]
    figure.update_layout(xaxis=log_axis(ends, format_count, FLOPS_AXIS, room=0.2))
    figure.update_yaxes(
        title="Kendall's τ, with 90 % interval",
        range=[-1.05 if any(band.tau.low < 0 for band in found.bands) else -0.05, 1.05],
    )
    if not found.bands:
        empty(figure, "No networks were trained both short and long.")
    title = f"Do {found.short} tell the order of {found.long}?"
    return laid_out(figure, title, alt=alt(found))


def alt(found: Trust) -> str:
    """Say whether the order holds."""
    return f"Against {found.long}: {found.sentence}."


def _bands(bands: list[Band], name: str, look: Look) -> go.Scatter:
    import plotly.graph_objects as go

    middles = [math.sqrt(band.flops[0] * band.flops[1]) for band in bands]
    return go.Scatter(
        x=middles,
        y=[band.tau.value for band in bands],
        error_x={
            "type": "data",
            "array": [band.flops[1] - middle for band, middle in zip(bands, middles, strict=True)],
            "arrayminus": [middle - band.flops[0] for band, middle in zip(bands, middles, strict=True)],
            "width": 0,
        },
        error_y={
            "type": "data",
            "array": [band.tau.high - band.tau.value for band in bands],
            "arrayminus": [band.tau.value - band.tau.low for band in bands],
        },
        mode="markers+text",
        name=name,
        marker={"color": look.color, "symbol": look.symbol, "size": 11},
        text=[f"{band.networks} networks,<br>choice loses<br>{100 * band.regret.value:.1f} points" for band in bands],
        textposition="bottom center",
        textfont={"size": 11},
        hovertemplate="τ %{y:.2f}<extra></extra>",
    )
