"""Accuracy against FLOPs: all networks of a study, the front, the budget and what was outside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from nas.analysis.pareto import FrontPoint, front_with_noise
from nas.plots.hover import hover, hover_point
from nas.plots.looks import FAINT, FAMILIES, INK, QUIET
from nas.plots.pages import FLOPS_AXIS, laid_out
from nas.records import TrialRecord, metric_name
from nas.search.study import Study
from nas.units import format_count

if TYPE_CHECKING:
    import plotly.graph_objects as go


class FrontInfo(NamedTuple):
    """What the front plot shows.

    Attributes:
        title: Of the figure.
        metric: By which networks are compared, in words.
        trained: Trained networks by space.
        infeasible: Trials outside the budget: they have a cost and no accuracy.
        front: Cheapest first.
        contenders: Off the front, and perhaps on that of the true means.
        limits: FLOPs bounds of the budget, by what they are.
    """

    title: str
    metric: str
    trained: dict[str, list[FrontPoint]]
    infeasible: list[TrialRecord]
    front: tuple[FrontPoint, ...]
    contenders: tuple[FrontPoint, ...]
    limits: dict[str, int]


def front_info(study: Study) -> FrontInfo:
    """Collect what ``front`` draws."""
    trials, found = study.trials(), front_with_noise(study)
    spaces = [space.name for space in study.config.search.spaces]
    limit = study.config.budget.flops
    limits = {"largest": limit.max, "smallest": limit.min or None} if limit else {}
    return FrontInfo(
        title=f"{study.name}: expected {metric_name(study.config.recipe.metric)} against FLOPs",
        metric=metric_name(study.config.recipe.metric),
        trained={name: [p for p in (*found.points, *found.others) if p.trial.space == name] for name in spaces},
        infeasible=[trial for trial in trials if trial.state == "infeasible"],
        front=found.points,
        contenders=found.contenders,
        limits={f"{key} allowed": value for key, value in limits.items() if value is not None},
    )


def front(study: Study) -> go.Figure:
    """Draw accuracy against FLOPs: all networks, the front, the budget and, at the bottom, what was outside it.

    Accuracies are those to expect of the networks (``FrontPoint.shrunk_accuracy``). Error bars show one standard error.
    """
    import plotly.graph_objects as go

    info = front_info(study)
    figure = go.Figure()
    for color, (space, networks) in zip(FAMILIES * 9, info.trained.items(), strict=False):
        figure.add_trace(_points(networks, name=space, color=color))
    if info.contenders:
        figure.add_trace(_ringed(info.contenders, name="may be on the front", color=FAINT))
    line = {"color": INK, "width": 2, "shape": "hv"}
    figure.add_trace(_ringed(info.front, name="Pareto front (± 1 standard error)", color=INK, line=line))
    accuracies = [100 * point.shrunk_accuracy for points in info.trained.values() for point in points]
    floor = min(accuracies, default=0) - 0.08 * max(1.0, max(accuracies, default=0) - min(accuracies, default=0))
    if info.infeasible:
        figure.add_trace(_outside(info.infeasible, floor))
    for text, flops in info.limits.items():
        figure.add_vline(x=flops, line={"color": QUIET, "dash": "dash"})
        label = f"budget: {text} {format_count(flops)} "
        position = {"x": math.log10(flops), "xanchor": "right", "y": 0.02, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(text=label, showarrow=False, font={"color": QUIET}, **position)
    figure.update_xaxes(title=FLOPS_AXIS, type="log", dtick="D2")
    figure.update_xaxes(exponentformat="SI", minorloglabels="complete")
    figure.update_yaxes(title=f"Expected {info.metric} on new images (%)")
    return laid_out(figure, info.title)


def _points(networks: list[FrontPoint], *, name: str, color: str) -> go.Scatter:
    import plotly.graph_objects as go

    return go.Scatter(
        x=[point.trial.flops for point in networks],
        y=[100 * point.shrunk_accuracy for point in networks],
        mode="markers",
        name=name,
        marker={"color": color, "size": 8, "opacity": 0.85},
        text=[hover_point(point) for point in networks],
        hovertemplate="%{text}<extra></extra>",
    )


def _ringed(
    points: tuple[FrontPoint, ...], *, name: str, color: str, line: dict[str, object] | None = None
) -> go.Scatter:
    """Draw rings with error bars around points, and a line through them where one is given."""
    import plotly.graph_objects as go

    errors = [100 * point.standard_error for point in points]
    return go.Scatter(
        x=[point.trial.flops for point in points],
        y=[100 * point.shrunk_accuracy for point in points],
        mode="markers" if line is None else "lines+markers",
        name=name,
        line=line,
        marker={"color": "rgba(0,0,0,0)", "size": 15, "line": {"color": color, "width": 2}},
        error_y={"type": "data", "array": errors, "color": color, "thickness": 1.5, "width": 4},
        hoverinfo="skip",
    )


def _outside(trials: list[TrialRecord], floor: float) -> go.Scatter:
    import plotly.graph_objects as go

    return go.Scatter(
        x=[trial.flops for trial in trials],
        y=[floor] * len(trials),
        mode="markers",
        name="outside the budget (not trained)",
        marker={"color": QUIET, "symbol": "x", "size": 7},
        text=[hover(trial) for trial in trials],
        hovertemplate="%{text}<extra></extra>",
    )
