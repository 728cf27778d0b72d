"""Accuracy against measured latency for the members of a front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.analysis.latency import FrontLatency
from nas.plots.hover import hover
from nas.plots.looks import FAMILIES, INK
from nas.plots.pages import laid_out
from nas.records import metric_name
from nas.search.study import Study

if TYPE_CHECKING:
    import plotly.graph_objects as go


def latency(study: Study, front: FrontLatency) -> go.Figure:
    """Draw accuracy against measured latency for the members of a front, and the front by latency."""
    import plotly.graph_objects as go

    figure = go.Figure()
    spaces = [space.name for space in study.config.search.spaces]
    for color, space in zip(FAMILIES * (1 + len(spaces)), spaces, strict=False):  # the colours of the other plots
        entries = [entry for entry in front.ranked if entry.trial.space == space]
        if not entries:
            continue
        medians = [entry.latency.median_ms for entry in entries]
        figure.add_trace(
            go.Scatter(
                x=medians,
                y=[100 * entry.accuracy for entry in entries],
                error_x={
                    "type": "data",
                    "array": [entry.latency.p90_ms - entry.latency.median_ms for entry in entries],
                    "arrayminus": [entry.latency.median_ms - entry.latency.p10_ms for entry in entries],
                    "thickness": 1.5,
                },
                mode="markers+text",
                name=space,
                marker={"color": color, "size": 9},
                text=[f"#{entry.trial.number}" for entry in entries],
                textposition="bottom right",
                customdata=[hover(entry.trial) for entry in entries],
                hovertemplate="%{customdata}<br>%{x:.2f} ms<extra></extra>",
            )
        )
    kept = [entry for entry in front.ranked if entry.beaten_by is entry.level_with is None]
    figure.add_trace(
        go.Scatter(
            x=[entry.latency.median_ms for entry in kept],
            y=[100 * entry.accuracy for entry in kept],
            mode="lines",
            name="front by latency",
            line={"color": INK, "width": 2, "shape": "hv"},
            hoverinfo="skip",
        )
    )
    first = front.ranked[0].latency
    what = f"{first.backend}, batch {first.batch}, {first.threads} thread{'s' * (first.threads > 1)} of {first.device}"
    figure.update_xaxes(title=f"Latency in ms, median and p10 to p90 ({what})")
    metric = metric_name(study.config.recipe.metric)
    figure.update_yaxes(title=f"Expected {metric} on new images (%)")
    return laid_out(figure, f"{front.study}: expected {metric} against latency")
