"""The best width, depth and resolution at each cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.architecture.space import COEFFICIENTS
from nas.plots.axes import log_axis, write_number
from nas.plots.looks import FAINT, INK, PAPER, faint, family_look
from nas.plots.pages import laid_out
from nas.scaling.evidence import Evidence, TrainedNetwork
from nas.scaling.intervals import Interval
from nas.scaling.shape import BestShape, Profile, cost_name, profile
from nas.units import format_count, sentence

if TYPE_CHECKING:
    import plotly.graph_objects as go

_TITLES = {"width": "Width", "depth": "Depth", "resolution": "Resolution (px)"}


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
    """Collect what ``shape`` draws, given the trainings that the answer comes from."""
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


def shape(shape: BestShape, evidence: Evidence) -> go.Figure:
    """Draw accuracy over width, depth and resolution at each cost: networks, the surface's curve and the best value.

    A curve shows the best network of each value, so that networks that are wrong in another dimension lie below it.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.03)
    colors = {level: family_look(index).color for index, level in enumerate(shape.levels)}
    unit = cost_name(shape.surface.cost.name)
    for curve in shape_info(shape, evidence):
        place = {"row": 1, "col": COEFFICIENTS.index(curve.dimension) + 1}
        for trace in _shape_traces(curve, f"{format_count(curve.cost)} {unit}", colors[curve.cost]):
            figure.add_trace(trace, **place)
    for column, name in enumerate(COEFFICIENTS, 1):
        told = "" if shape.determined[name] else ":<br>cannot tell"
        values = [getattr(network, name) for network in evidence.networks]
        axis = log_axis(values, write_number, f"{_TITLES[name]}{told}", most=3)
        figure.update_xaxes(axis, row=1, col=column)
    figure.update_yaxes(title="Validation accuracy (%)", row=1, col=1)
    marked = go.Scatter(x=[None], y=[None], mode="markers", name="best, with 90 % interval", marker=_best_marker(INK))
    figure.add_trace(marked, row=1, col=1)
    note = "Curves: the best network of each value, with 90 % bands. Points: trained networks."
    return laid_out(figure, f"{evidence.source}: the best shape at each cost", alt=alt(shape), note=note)


def alt(shape: BestShape) -> str:
    """Say how the best shape grows."""
    return sentence(shape.sentence)


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
            fillcolor=faint(color),
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
            marker=_best_marker(color if curve.determined else FAINT),
            hovertemplate=f"best {curve.dimension} at {name}: %{{x:.3g}}<extra></extra>",
            **group,
        ),
    ]


def _asymmetric(value: Interval, color: str) -> dict[str, object]:
    above, below = [value.high - value.value], [value.value - value.low]
    return {"type": "data", "array": above, "arrayminus": below, "color": color, "thickness": 1.5, "width": 5}


def _best_marker(color: str) -> dict[str, object]:
    return {"color": color, "size": 12, "symbol": "diamond", "line": {"color": PAPER, "width": 1.5}}


def _hover(network: TrainedNetwork) -> str:
    seeds = len(network.accuracies)
    return "<br>".join(
        [
            f"width {network.width:.3g}, depth {network.depth:.3g}, resolution {network.resolution:.3g} px",
            f"{100 * network.accuracy:.2f} % ({seeds} seed{'s' * (seeds > 1)}), {format_count(network.flops)} FLOPs",
        ]
    )
