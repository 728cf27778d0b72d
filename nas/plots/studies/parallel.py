"""Parallel coordinates: dimensions, cost and accuracy of trained networks, one line for each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.analysis.pareto import FrontPoint, front_with_noise
from nas.architecture.space import DIMENSIONS
from nas.plots.axes import log_ticks
from nas.plots.hover import choice_word
from nas.plots.looks import FAINT, FAMILIES, INK, PALE, QUIET
from nas.plots.pages import empty, escaped, laid_out
from nas.plots.words import counted, family_labels, spread_evenly
from nas.records import metric_name
from nas.search.study import Study
from nas.units import format_count

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST = 500
"""Lines that are drawn at most."""


class Axis(NamedTuple):
    """An axis of the figure.

    Attributes:
        label: At its top.
        values: One for each line; of a category, its place among the texts; of a cost, log10.
        ticks: Where there are labels; empty for plain numbers.
        texts: The labels.
    """

    label: str
    values: list[float]
    ticks: list[float]
    texts: list[str]


class ParallelInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        study: Its name.
        metric: By which networks are compared, in words.
        axes: From left to right; the last is the accuracy to expect in percent.
        networks: Number of trained networks.
        shown: Networks that have a line: the front and an even choice of the others.
        front: Those of them that are on the front.
    """

    study: str
    metric: str
    axes: list[Axis]
    networks: int
    shown: list[FrontPoint]
    front: tuple[FrontPoint, ...]


def parallel_info(study: Study) -> ParallelInfo:
    """Collect what ``parallel`` draws. What does not vary has no axis."""
    found, metric = front_with_noise(study), metric_name(study.config.recipe.metric)
    shown = [*spread_evenly(found.others, max(2, MOST - len(found.points))), *found.points]
    labels = family_labels([space.name for space in study.config.search.spaces])
    axes = [
        _categories("family", [labels[point.trial.space] for point in shown]),
        *(_numbers(name, [getattr(point.trial, name) for point in shown]) for name in ("width", "depth")),
        _numbers("px", [point.trial.resolution for point in shown]),
        *(_categories(name.replace("_", " "), [_choice(p, name) for p in shown]) for name in DIMENSIONS),
    ]
    varied = [axis for axis in axes if len(set(axis.values)) > 1]
    accuracy = Axis(f"{metric} (%)", [round(100 * point.shrunk_accuracy, 2) for point in shown], [], [])
    flops = _flops([point.trial.flops for point in shown])
    networks = len(found.points) + len(found.others)
    return ParallelInfo(study.name, metric, [*varied, flops, accuracy], networks, shown, found.points)


def alt(info: ParallelInfo) -> str:
    """Say between which values the most accurate tenth of the networks lies."""
    if not info.shown:
        return f"{info.study}: no network is trained yet."
    ranked = sorted(range(len(info.shown)), key=lambda place: -info.axes[-1].values[place])
    best = ranked[: max(1, len(ranked) // 10)]
    told = ", ".join(_range(axis, best) for axis in info.axes[:-1])
    if len(info.axes) < 3:
        return f"The trained networks ({info.networks:,}) differ in no dimension."
    share = "the most accurate network" if len(best) == 1 else f"the {len(best)} most accurate networks"
    return f"Of {counted(info.networks, 'trained network')}, {share} ({_range(info.axes[-1], best)}): {told}."


def parallel(study: Study) -> go.Figure:
    """Draw each trained network as a line over its dimensions, cost and accuracy; drag along an axis to choose."""
    import plotly.graph_objects as go

    info = parallel_info(study)
    figure = go.Figure()
    if len(info.axes) > 2:
        line = {
            "color": _marked(info.axes[-1].values),
            "colorscale": [[0, FAINT], [1, FAMILIES[1]]],
            "cmin": 0,
            "cmax": 1,
        }
        small = {"size": 11, "color": QUIET}
        figure.add_trace(
            go.Parcoords(
                dimensions=[_drawn(axis) for axis in info.axes],
                line=line,
                customdata=[[point.trial.number] for point in info.shown],
                labelangle=-30,
                labelfont={"size": 12, "color": INK},
                tickfont=small,
                rangefont={"size": 1, "color": "rgba(0,0,0,0)"},  # the ticks say it, in our words
                unselected={"line": {"color": PALE, "opacity": 0.25}},
            )
        )
    else:
        empty(figure, "The trained networks differ in no dimension." if info.shown else "No network is trained yet.")
    left = f"{len(info.shown):,} of {info.networks:,} networks: the front and an even choice of the others. "
    read = "Orange: the most accurate fifth. Drag along an axis to choose lines."
    note = f"{left * (len(info.shown) < info.networks)}{read}"
    title = f"{info.study}: networks, line by line"
    laid_out(figure, title, alt=alt(info), note=note if figure.data else "")
    if not figure.data:
        return figure
    edge = 20 + 7 * max((len(text) for text in info.axes[0].texts), default=2)  # labels stand left of their axis
    return figure.update_layout(margin={"l": edge, "r": 72, "b": 30, "t": figure.layout.margin.t + 46})


def _marked(accuracies: list[float]) -> list[int]:
    """Return 1 for the most accurate fifth of the networks, at least one, and 0 for the others."""
    least = sorted(accuracies)[-max(1, len(accuracies) // 5)]
    return [int(accuracy >= least) for accuracy in accuracies]


def _choice(point: FrontPoint, name: str) -> str:
    value = point.trial.choices.get(name)
    return "none" if value is None else choice_word(value)


def _numbers(label: str, values: list[float]) -> Axis:
    return Axis(label, [round(value, 4) for value in values], [], [])


def _categories(label: str, values: list[str]) -> Axis:
    texts = sorted(set(values), key=lambda text: (float(text) if text.isdecimal() else math.inf, text))
    return Axis(label, [float(texts.index(v)) for v in values], [float(n) for n in range(len(texts))], texts)


def _flops(values: list[int]) -> Axis:
    ticks = log_ticks(min(values), max(values)) if values else []
    logs = [round(math.log10(value), 4) for value in values]
    return Axis("FLOPs", logs, [math.log10(tick) for tick in ticks], [format_count(tick) for tick in ticks])


def _drawn(axis: Axis) -> dict[str, Any]:
    low, high = min(axis.values), max(axis.values)
    room = 0.04 * (high - low) or 0.5
    # plotly takes these ticks as they are, unlike all its other texts
    named = {"tickvals": axis.ticks, "ticktext": axis.texts} if axis.ticks else {}
    return {"label": escaped(axis.label), "values": axis.values, "range": [low - room, high + room], **named}


def _range(axis: Axis, places: list[int]) -> str:
    values = [axis.values[place] for place in places]
    if axis.label == "FLOPs":
        ends = [format_count(10**value) for value in (min(values), max(values))]
    elif axis.texts:
        return f"{axis.label} {' or '.join(axis.texts[int(value)] for value in sorted(set(values)))}"
    else:
        ends = [f"{value:.3g}" for value in (min(values), max(values))]
    return f"{axis.label} {ends[0] if ends[0] == ends[1] else ' to '.join(ends)}"
