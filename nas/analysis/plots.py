"""Figures of a study. ``plot_x(study)`` is ``x_info(study)``, which needs no plotly, and then the drawing of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from nas.analysis.latency import FrontLatency
from nas.analysis.pages import FLOPS_AXIS, PALETTE, laid_out
from nas.analysis.pareto import FrontPoint, front_with_noise, pareto_front
from nas.fronts.growth import Growth, Moment, front_history
from nas.records import Epoch, TrialRecord, metric_name
from nas.search.study import Study
from nas.units import format_count, format_seconds, format_share

if TYPE_CHECKING:
    import plotly.graph_objects as go

_FRONT, _PERHAPS, _LIMIT, _OUTSIDE = "#1f2430", "#9aa1ad", "#c0392b", "#c9a7a2"


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


class CurvesInfo(NamedTuple):
    """What the curve plot shows: each curve of a trained or stopped trial, and which trials are on the front."""

    title: str
    metric: str
    curves: list[tuple[TrialRecord, list[Epoch]]]
    front: frozenset[int]


class ProgressInfo(NamedTuple):
    """What the progress plot shows.

    Attributes:
        title: Of the figure.
        moments: One for each network that was trained to the end, in the order of their ends, with its trial.
        compute: Of all trainings.
        growth: What the last part of the search has added; None where it is too short to tell.
    """

    title: str
    moments: list[tuple[TrialRecord, Moment]]
    compute: int
    growth: Growth | None


def front_info(study: Study) -> FrontInfo:
    """Collect what ``plot_front`` draws."""
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


def curves_info(study: Study) -> CurvesInfo:
    """Collect what ``plot_curves`` draws."""
    curves, trials = study.curves(), study.trials()
    states = ("trained", "stopped")
    shown = [(trial, curves[trial.number]) for trial in trials if trial.state in states and trial.number in curves]
    front = frozenset(trial.number for trial in pareto_front(study))
    return CurvesInfo(f"{study.name}: learning curves", metric_name(study.config.recipe.metric), shown, front)


def progress_info(study: Study) -> ProgressInfo:
    """Collect what ``plot_progress`` draws."""
    trials, ended = {trial.number: trial for trial in study.trials()}, study.ended()
    moments = [(trials[moment.number], moment) for moment in front_history(ended)]
    title = f"{study.name}: hypervolume against compute"
    return ProgressInfo(title, moments, sum(training.compute for training in ended), study.growth())


def plot_front(study: Study) -> go.Figure:
    """Draw accuracy against FLOPs: all networks, the front, the budget and, at the bottom, what was outside it.

    Accuracies are those to expect of the networks (``FrontPoint.shrunk_accuracy``). Error bars show one standard error.
    """
    import plotly.graph_objects as go

    info = front_info(study)
    figure = go.Figure()
    for color, (space, networks) in zip(PALETTE * 9, info.trained.items(), strict=False):
        figure.add_trace(_points(networks, name=space, color=color))
    if info.contenders:
        figure.add_trace(_ringed(info.contenders, name="may be on the front", color=_PERHAPS))
    line = {"color": _FRONT, "width": 2, "shape": "hv"}
    figure.add_trace(_ringed(info.front, name="Pareto front (± 1 standard error)", color=_FRONT, line=line))
    accuracies = [100 * point.shrunk_accuracy for points in info.trained.values() for point in points]
    floor = min(accuracies, default=0) - 0.08 * max(1.0, max(accuracies, default=0) - min(accuracies, default=0))
    if info.infeasible:
        figure.add_trace(_outside(info.infeasible, floor))
    for text, flops in info.limits.items():
        figure.add_vline(x=flops, line={"color": _LIMIT, "dash": "dash"})
        label = f"budget: {text} {format_count(flops)} "
        position = {"x": math.log10(flops), "xanchor": "right", "y": 0.02, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(text=label, showarrow=False, font={"color": _LIMIT}, **position)
    figure.update_xaxes(title=FLOPS_AXIS, type="log", dtick="D2")
    figure.update_xaxes(exponentformat="SI", minorloglabels="complete")
    figure.update_yaxes(title=f"Expected {info.metric} on new images (%)")
    return laid_out(figure, info.title)


def plot_curves(study: Study) -> go.Figure:
    """Draw validation accuracy against epochs: networks on the front in colour, all others in grey."""
    import plotly.graph_objects as go

    info = curves_info(study)
    figure = go.Figure()
    colors = iter(PALETTE * (1 + len(info.front)))
    for trial, curve in sorted(info.curves, key=lambda entry: (entry[0].number in info.front, entry[0].flops)):
        on_front = trial.number in info.front
        figure.add_trace(
            go.Scatter(
                x=[epoch.epoch for epoch in curve],
                y=[100 * epoch.val_accuracy for epoch in curve],
                mode="lines",
                name=f"#{trial.number} {format_count(trial.flops)} {trial.space}" if on_front else "not on the front",
                legendgroup=f"{trial.number}" if on_front else "others",
                showlegend=on_front,
                line={"color": next(colors), "width": 2.5} if on_front else {"color": "#d4d7dd", "width": 1},
                hovertemplate=f"{_hover(trial)}<br>epoch %{{x}}: %{{y:.1f}} %<extra></extra>",
            )
        )
    figure.update_xaxes(title="Epoch", dtick=max(1, max((len(c) for _, c in info.curves), default=1) // 10))
    figure.update_yaxes(title=f"Validation {info.metric} (%)")
    return laid_out(figure, info.title)


def plot_progress(study: Study) -> go.Figure:
    """Draw what the front was worth against the compute spent on it, and the part that tells whether to go on."""
    import plotly.graph_objects as go

    info = progress_info(study)
    xs = [moment.compute for _, moment in info.moments]
    ys = [100 * moment.hypervolume for _, moment in info.moments]
    line, marker = {"color": PALETTE[0], "width": 2.5, "shape": "hv"}, {"size": 6}
    texts = [f"{_hover(trial)}<br>after {format_seconds(moment.seconds)} of training" for trial, moment in info.moments]
    hover = "%{text}<br>%{y:.1f} % of the hypervolume<extra></extra>"
    figure = go.Figure(
        go.Scatter(x=xs, y=ys, mode="lines+markers", line=line, marker=marker, text=texts, hovertemplate=hover)
    )
    if info.growth is not None:
        label = f"last part: {100 * info.growth.gain:.1f} %, not counting noise"
        begin = (1 - info.growth.compute) * info.compute
        place = {"annotation_position": "bottom right", "annotation_text": label}
        figure.add_vrect(x0=begin, x1=info.compute, fillcolor=PALETTE[5], opacity=0.15, line_width=0, **place)
    figure.update_xaxes(title="Compute: epochs × FLOPs per image, over all trainings", exponentformat="SI")
    figure.update_yaxes(title="Hypervolume (% of the final front's)", rangemode="tozero")
    return laid_out(figure, info.title)


def plot_latency(study: Study, front: FrontLatency) -> go.Figure:
    """Draw accuracy against measured latency for the members of a front, and the front by latency."""
    import plotly.graph_objects as go

    figure = go.Figure()
    spaces = [space.name for space in study.config.search.spaces]
    for color, space in zip(PALETTE * (1 + len(spaces)), spaces, strict=False):  # the colours of the other plots
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
                customdata=[_hover(entry.trial) for entry in entries],
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
            line={"color": _FRONT, "width": 2, "shape": "hv"},
            hoverinfo="skip",
        )
    )
    first = front.ranked[0].latency
    what = f"{first.backend}, batch {first.batch}, {first.threads} thread{'s' * (first.threads > 1)} of {first.device}"
    figure.update_xaxes(title=f"Latency in ms, median and p10 to p90 ({what})")
    metric = metric_name(study.config.recipe.metric)
    figure.update_yaxes(title=f"Expected {metric} on new images (%)")
    return laid_out(figure, f"{front.study}: expected {metric} against latency")


def _points(networks: list[FrontPoint], *, name: str, color: str) -> go.Scatter:
    import plotly.graph_objects as go

    return go.Scatter(
        x=[point.trial.flops for point in networks],
        y=[100 * point.shrunk_accuracy for point in networks],
        mode="markers",
        name=name,
        marker={"color": color, "size": 8, "opacity": 0.85},
        text=[_hover_point(point) for point in networks],
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
        marker={"color": _OUTSIDE, "symbol": "x", "size": 7},
        text=[_hover(trial) for trial in trials],
        hovertemplate="%{text}<extra></extra>",
    )


def _hover_point(point: FrontPoint) -> str:
    std = "" if point.std_accuracy is None else f" ± {100 * point.std_accuracy:.2f}"
    measured = f"measured {100 * point.mean_accuracy:.2f}{std} % ({point.seeds} seed{'s' * (point.seeds > 1)})"
    expected = f"expected {100 * point.shrunk_accuracy:.2f} ± {100 * point.standard_error:.2f} %, {measured}"
    chance = f"{format_share(point.front_probability)} likely to be on the front"
    return f"{_hover(point.trial, accuracy=expected)}<br>{chance}"


def _hover(trial: TrialRecord, *, accuracy: str | None = None) -> str:
    if accuracy is None:
        accuracy = "outside the budget" if trial.accuracy is None else f"accuracy {100 * trial.accuracy:.2f} %"
    stopped = f", stopped after epoch {trial.epochs}" if trial.state == "stopped" else ""
    coefficients = f"width {trial.width:g}, depth {trial.depth:g}, resolution {trial.resolution} px"
    counts = zip((trial.flops, trial.params, trial.activations), ("FLOPs", "parameters", "activations"), strict=True)
    lines = [
        f"<b>trial {trial.number}: {trial.space}</b>",
        accuracy + stopped,
        ", ".join((coefficients, *(f"{key} {value}" for key, value in trial.choices.items()))),
        ", ".join(f"{format_count(count)} {name}" for count, name in counts),
    ]
    return "<br>".join(lines)
