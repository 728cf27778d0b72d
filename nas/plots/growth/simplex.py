"""The triangle of the shares that width, depth and resolution get of more compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.architecture.space import COEFFICIENTS
from nas.fronts.geometry import Array
from nas.plots.looks import GRID, INK, PAPER, family_look
from nas.plots.pages import escaped, laid_out
from nas.scaling.intervals import Interval
from nas.scaling.shape import Factors, cost_name
from nas.scaling.simplex import OnSimplex, Simplex
from nas.units import sentence

if TYPE_CHECKING:
    import plotly.graph_objects as go

_BAR = {
    "title": {"text": "Expected accuracy (%)", "side": "top"},
    "orientation": "h",
    "thickness": 12,
    "y": -0.08,
    "yanchor": "top",
}
_EDGE = {"color": INK, "width": 1.5}


class SimplexInfo(NamedTuple):
    """What the triangle shows.

    Attributes:
        accuracies: Expected in each cell, in percent, (cells,).
        rules: Where rules lie, by name.
        title: Of the figure.
    """

    accuracies: list[float]
    rules: dict[str, OnSimplex]
    title: str


def simplex_info(answer: Simplex, rules: Mapping[str, Factors]) -> SimplexInfo:
    """Collect what ``simplex`` draws."""
    title = f"The shares of {answer.times:g} times the {cost_name(answer.surface.cost.name)}"
    placed = {name: answer.place(rule) for name, rule in rules.items()}
    return SimplexInfo([100 * (1 - float(error)) for error in answer.errors], placed, title)


def simplex(answer: Simplex, rules: Mapping[str, Factors]) -> go.Figure:
    """Draw the expected accuracy over the triangle of shares, where its best may be, and rules."""
    import plotly.graph_objects as go

    info = simplex_info(answer, rules)
    figure = go.Figure()
    scale = {"colorscale": "Cividis", "showscale": True, "colorbar": _BAR}
    cells = _ternary(answer.shares, name="expected accuracy", showlegend=False)
    hover = "width %{a:.2f}, depth %{b:.2f}, resolution %{c:.2f}: %{text}<extra></extra>"
    cells.update(marker={"color": info.accuracies, "size": 13, "symbol": "hexagon", **scale})
    cells.update(text=[f"{accuracy:.1f} %" for accuracy in info.accuracies], hovertemplate=hover)
    figure.add_trace(cells)
    region = _ternary(answer.shares[answer.region], name="the best is here (90 %)", hoverinfo="skip")
    figure.add_trace(region.update(marker={"color": "rgba(0,0,0,0)", "size": 13, "line": _EDGE, "symbol": "hexagon"}))
    best = np.array([[answer.best[name].value for name in COEFFICIENTS]])
    figure.add_trace(
        _ternary(best, name="best").update(marker={"color": PAPER, "size": 18, "symbol": "star", "line": _EDGE})
    )
    for index, (name, rule) in enumerate(info.rules.items(), 1):
        point = _ternary(np.array([rule.shares]), name=f"{escaped(name)} ({_penalty(rule.penalty)})")
        figure.add_trace(
            point.update(marker={"color": family_look(index).color, "size": 13, "symbol": "diamond", "line": _EDGE})
        )
    axes = {
        f"{axis}axis": {"title": f"{name}", "tickformat": ".0%", "gridcolor": GRID, "nticks": 5}
        for axis, name in zip("abc", COEFFICIENTS, strict=True)
    }
    figure.update_layout(ternary={"sum": 1, "bgcolor": PAPER, **axes})
    note = "Which share width, depth and resolution should get, each corner all of it."
    laid_out(figure, info.title, alt=alt(answer), note=note)
    top = figure.layout.margin.t + 30
    return figure.update_layout(margin={"t": top, "l": 60, "r": 60}, height=680, legend={"y": -0.28})


def alt(answer: Simplex) -> str:
    """Say which shares are best."""
    return sentence(answer.sentence)


def _ternary(shares: Array, **options: object) -> go.Scatterternary:
    import plotly.graph_objects as go

    width, depth, resolution = shares.T
    return go.Scatterternary(a=width, b=depth, c=resolution, mode="markers", cliponaxis=False, **options)


def _penalty(penalty: Interval) -> str:
    return f"{'loses' if penalty.value >= 0 else 'gains'} {penalty.points()}"
