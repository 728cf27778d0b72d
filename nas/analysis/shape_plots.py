"""Figures of how a network should grow: the best shape at each cost, the triangle of shares, trust in short trainings.

``plot_x(answer)`` is ``x_info(answer)``, which needs no plotly, and then the drawing of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.analysis.pages import FLOPS_AXIS, PALETTE, laid_out
from nas.architecture.space import COEFFICIENTS
from nas.scaling.evidence import Evidence, TrainedNetwork
from nas.scaling.intervals import Interval
from nas.scaling.shape import BestShape, Factors, Profile, cost_name, profile
from nas.scaling.simplex import OnSimplex, Simplex
from nas.scaling.trust import HOLDS, Band, Trust
from nas.units import format_count

if TYPE_CHECKING:
    import plotly.graph_objects as go

_DARK, _GREY, _LIMIT = "#1f2430", "#9aa1ad", "#c0392b"
_TITLES = {"width": "Width coefficient", "depth": "Depth coefficient", "resolution": "Resolution (px)"}


class ShapeCurve(NamedTuple):
    """One dimension at one cost.

    Attributes:
        dimension: Its name.
        cost: Of all networks on the curve.
        profile: The least error for each value.
        best: The best value.
        determined: Whether it can be told.
        networks: Those of about that cost.
    """

    dimension: str
    cost: float
    profile: Profile
    best: Interval
    determined: bool
    networks: tuple[TrainedNetwork, ...]


def shape_info(shape: BestShape, evidence: Evidence) -> list[ShapeCurve]:
    """Collect what ``plot_shape`` draws, given the trainings that the answer comes from."""
    surface, costs = shape.surface, np.log2(shape.levels)
    away = np.abs(np.log2(evidence.column(surface.cost.name))[:, None] - costs)
    nearest = np.where(away.min(axis=1) <= 0.5, away.argmin(axis=1), -1)
    return [
        ShapeCurve(
            dimension,
            cost,
            profile(surface, cost, dimension),
            shape.best[dimension][level],
            shape.determined[dimension],
            tuple(network for network, near in zip(evidence.networks, nearest, strict=True) if near == level),
        )
        for dimension in COEFFICIENTS
        for level, cost in enumerate(shape.levels)
    ]


def plot_shape(shape: BestShape, evidence: Evidence) -> go.Figure:
    """Draw accuracy over width, depth and resolution at each cost: networks, the surface's curve and the best value.

    A curve shows the best network of each value, so that networks that are wrong in another dimension lie below it.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.03)
    colors = dict(zip(shape.levels, PALETTE * len(shape.levels), strict=False))
    unit = cost_name(shape.surface.cost.name)
    for curve in shape_info(shape, evidence):
        place = {"row": 1, "col": COEFFICIENTS.index(curve.dimension) + 1}
        for trace in _shape_traces(curve, f"{format_count(curve.cost)} {unit}", colors[curve.cost]):
            figure.add_trace(trace, **place)
    for column, name in enumerate(COEFFICIENTS, 1):
        told = "" if shape.determined[name] else ": cannot tell"
        figure.update_xaxes(title=f"{_TITLES[name]}{told}", type="log", dtick=math.log10(2), row=1, col=column)
    figure.update_yaxes(title="Validation accuracy (%)", row=1, col=1)
    marked = go.Scatter(x=[None], y=[None], mode="markers", name="best, with 90 % interval", marker=_best_marker(_DARK))
    figure.add_trace(marked, row=1, col=1)
    return laid_out(figure, f"{evidence.source}: the best shape at each cost")


def _shape_traces(curve: ShapeCurve, name: str, color: str) -> list[go.Scatter]:
    """Return the networks, the band, the curve and the best value."""
    import plotly.graph_objects as go

    values, errors = curve.profile
    group = {"legendgroup": name, "showlegend": False}
    best = float(np.interp(curve.best.value, values, 100 * (1 - errors.mean)))
    return [
        go.Scatter(
            x=[getattr(network, curve.dimension) for network in curve.networks],
            y=[100 * network.accuracy for network in curve.networks],
            mode="markers",
            marker={"color": color, "size": 6, "opacity": 0.45},
            text=[_hover(network) for network in curve.networks],
            hovertemplate="%{text}<extra></extra>",
            **group,
        ),
        go.Scatter(
            x=[*values, *values[::-1]],
            y=[*(100 * (1 - errors.low)), *(100 * (1 - errors.high[::-1]))],
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=_faint(color),
            hoverinfo="skip",
            **group,
        ),
        go.Scatter(
            x=values,
            y=100 * (1 - errors.mean),
            mode="lines",
            line={"color": color, "width": 2.5},
            name=name,
            legendgroup=name,
            showlegend=curve.dimension == COEFFICIENTS[0],
            hovertemplate=f"{name}<br>{curve.dimension} %{{x:.3g}}: %{{y:.1f}} %<extra></extra>",
        ),
        go.Scatter(
            x=[curve.best.value],
            y=[best],
            error_x=_asymmetric(curve.best, color),
            mode="markers",
            marker=_best_marker(color if curve.determined else _GREY),
            hovertemplate=f"best {curve.dimension} at {name}: %{{x:.3g}}<extra></extra>",
            **group,
        ),
    ]


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
    """Collect what ``plot_simplex`` draws."""
    title = f"Which share of {answer.times:g} times the {cost_name(answer.surface.cost.name)} each dimension should get"
    placed = {name: answer.place(rule) for name, rule in rules.items()}
    return SimplexInfo([100 * (1 - float(error)) for error in answer.errors], placed, title)


def plot_simplex(answer: Simplex, rules: Mapping[str, Factors]) -> go.Figure:
    """Draw the expected accuracy over the triangle of shares, where its best may be, and rules."""
    import plotly.graph_objects as go

    info = simplex_info(answer, rules)
    figure = go.Figure()
    scale = {"colorscale": "Viridis", "showscale": True, "colorbar": {"title": "Expected<br>accuracy (%)"}}
    cells = _ternary(answer.shares, name="expected accuracy", showlegend=False)
    hover = "width %{a:.2f}, depth %{b:.2f}, resolution %{c:.2f}: %{text}<extra></extra>"
    cells.update(marker={"color": info.accuracies, "size": 13, "symbol": "hexagon", **scale})
    cells.update(text=[f"{accuracy:.1f} %" for accuracy in info.accuracies], hovertemplate=hover)
    figure.add_trace(cells)
    region = _ternary(answer.shares[answer.region], name="the best is here (90 %)", hoverinfo="skip")
    figure.add_trace(
        region.update(marker={"color": "rgba(0,0,0,0)", "size": 13, "line": _line(_DARK), "symbol": "hexagon"})
    )
    best = np.array([[answer.best[name].value for name in COEFFICIENTS]])
    figure.add_trace(
        _ternary(best, name="best").update(
            marker={"color": "white", "size": 18, "symbol": "star", "line": _line(_DARK)}
        )
    )
    for color, (name, rule) in zip(PALETTE[1:] * 9, info.rules.items(), strict=False):
        point = _ternary(np.array([rule.shares]), name=f"{name} ({_penalty(rule.penalty)})")
        figure.add_trace(point.update(marker={"color": color, "size": 13, "symbol": "diamond", "line": _line(_DARK)}))
    axes = {
        f"{axis}axis": {"title": f"{name}", "tickformat": ".0%", "gridcolor": "rgba(0,0,0,0.15)"}
        for axis, name in zip("abc", COEFFICIENTS, strict=True)
    }
    figure.update_layout(ternary={"sum": 1, "bgcolor": "white", **axes})
    return laid_out(figure, info.title).update_layout(margin={"t": 110}, height=640)


def plot_trust(found: Trust) -> go.Figure:
    """Draw Kendall's tau of short and long trainings over the cost, with what is lost by the short one's choice."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, bands, color in (("the order holds", True, PALETTE[2]), ("not known to hold", False, PALETTE[1])):
        shown = [band for band in found.bands if band.holds == bands]
        if shown:
            figure.add_trace(_bands(shown, name, color))
    figure.add_hline(
        y=HOLDS,
        line=_line(_LIMIT, dash="dash"),
        annotation_text="three pairs of four",
        annotation_position="bottom left",
    )
    if found.ceiling is not None:
        text = f"ceiling: two seeds of {found.long} agree by {found.ceiling:.2f}"
        figure.add_hline(
            y=found.ceiling, line=_line(_GREY, dash="dot"), annotation_text=text, annotation_position="top right"
        )
    figure.update_xaxes(title=FLOPS_AXIS, type="log", dtick="D2")
    ends = [math.log10(flops) for band in found.bands for flops in band.flops]
    room = {"range": [min(ends, default=0) - 0.1, max(ends, default=1) + 0.3]}
    figure.update_xaxes(exponentformat="SI", minorloglabels="complete", **room)
    figure.update_yaxes(title="Kendall's τ, with 90 % interval", range=[-1.05 if _negative(found) else -0.05, 1.05])
    return laid_out(figure, f"{found.short} against {found.long}: is the order of networks the same?")


def _bands(bands: list[Band], name: str, color: str) -> go.Scatter:
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
        marker={"color": color, "size": 11},
        text=[
            f" {band.networks} networks,<br> its choice loses {100 * band.regret.value:.1f} points" for band in bands
        ],
        textposition="bottom right",
        hovertemplate="τ %{y:.2f}<extra></extra>",
    )


def _ternary(shares: np.ndarray[tuple[int, int], np.dtype[np.float64]], **options: object) -> go.Scatterternary:
    import plotly.graph_objects as go

    width, depth, resolution = shares.T
    return go.Scatterternary(a=width, b=depth, c=resolution, mode="markers", cliponaxis=False, **options)


def _negative(found: Trust) -> bool:
    return any(band.tau.low < 0 for band in found.bands)


def _penalty(penalty: Interval) -> str:
    return f"{'loses' if penalty.value >= 0 else 'gains'} {penalty.points()}"


def _asymmetric(value: Interval, color: str) -> dict[str, object]:
    above, below = [value.high - value.value], [value.value - value.low]
    return {"type": "data", "array": above, "arrayminus": below, "color": color, "thickness": 1.5, "width": 5}


def _best_marker(color: str) -> dict[str, object]:
    return {"color": color, "size": 12, "symbol": "diamond", "line": _line("white")}


def _line(color: str, **options: object) -> dict[str, object]:
    return {"color": color, "width": 1.5, **options}


def _faint(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.13)"


def _hover(network: TrainedNetwork) -> str:
    seeds = len(network.accuracies)
    return "<br>".join(
        [
            f"width {network.width:.3g}, depth {network.depth:.3g}, resolution {network.resolution:g} px",
            f"{100 * network.accuracy:.2f} % ({seeds} seed{'s' * (seeds > 1)}), {format_count(network.flops)} FLOPs",
        ]
    )
