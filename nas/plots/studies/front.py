"""Accuracy against what it costs: all networks of a study, the front, the budget, and what was not trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.analysis.costs import COSTS, CostFront, StudyCost, front_against
from nas.analysis.pareto import FrontPoint
from nas.analysis.recommendation import Recommendation, recommend
from nas.errors import StudyError
from nas.plots.costs import cost_axis, cost_line, cost_words, stored_cost
from nas.plots.hover import POINT, point_data
from nas.plots.looks import INK, PAPER, QUIET, STATE_LOOKS, family_look
from nas.plots.marks import CROWD, MANY, STATE_NAMES, bars, dots, front_line, percent, rings, strip, without_accuracy
from nas.plots.pages import empty, escaped, laid_out
from nas.plots.words import counted, expected_words, family_labels
from nas.records import Reference, TrialRecord, metric_name
from nas.search.study import Study
from nas.units import format_count, sentence

if TYPE_CHECKING:
    import plotly.graph_objects as go

_FEW = 60
"""Networks up to which each has an error bar."""
_LABEL = 16
"""Letters of a reference's name that stand beside its point."""


class FrontInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        study: Its name.
        metric: By which networks are compared, in words.
        cost: What accuracy is held against.
        values: Costs of trained networks by the numbers of their trials.
        families: Trained networks by family, as the legend names it.
        front: Cheapest first.
        contenders: Off the front, and perhaps on that of the true means.
        others: Trials without a final accuracy: ``stopped``, ``infeasible`` and ``failed``.
        limits: Bounds of the budget and the one asked for, by what they are.
        references: Networks trained beside the search that have such a cost.
        recommendation: Which network to take; None where there is none.
        refusal: Why none is, although networks are trained; else empty.
        noise: Standard deviation of one training, in 0 to 1.
        notes: What is left out or assumed, each in one sentence.
    """

    study: str
    metric: str
    cost: StudyCost
    values: dict[int, float]
    families: dict[str, list[FrontPoint]]
    front: tuple[FrontPoint, ...]
    contenders: tuple[FrontPoint, ...]
    others: dict[str, list[TrialRecord]]
    limits: dict[str, float]
    references: tuple[Reference, ...]
    recommendation: Recommendation | None
    refusal: str
    noise: float
    notes: tuple[str, ...]

    @property
    def trained(self) -> int:
        """Number of trained networks."""
        return sum(map(len, self.families.values()))


def front_info(
    study: Study,
    *,
    against: str = "flops",
    max_flops: int | None = None,
    references: Sequence[Reference] | None = None,
) -> FrontInfo:
    """Collect what ``front`` draws.

    Raises:
        ConfigError: There is no such cost.
        StudyError: It was measured of no network; the message says how to measure it.
    """
    found = front_against(study, against)
    cost, spaces = found.costed.cost, [space.name for space in study.config.search.spaces]
    labels, networks = family_labels(spaces), (*found.points, *found.others)
    others = without_accuracy(study.trials())
    beside = study.references() if references is None else references
    recommendation, refusal = _recommended(study, max_flops) if found.points else (None, "")
    shown = tuple(one for one in beside if stored_cost(one, cost.name) is not None)
    return FrontInfo(
        study=study.name,
        metric=metric_name(study.config.recipe.metric),
        cost=cost,
        values={
            **found.costed.values,
            **{one.number: value for ones in others.values() for one in ones if (value := stored_cost(one, cost.name))},
        },
        families={labels[name]: [point for point in networks if point.trial.space == name] for name in spaces},
        front=found.points,
        contenders=found.contenders,
        others=others,
        limits=_limits(study, cost.name, max_flops),
        references=shown,
        recommendation=recommendation,
        refusal=refusal,
        noise=found.noise.std,
        notes=(*([refusal] if refusal else []), *_notes(found, others), *_left_out(len(beside) - len(shown), cost)),
    )


def alt(info: FrontInfo) -> str:
    """Say what the front is, in a sentence or two."""
    if not info.front:
        others = ", ".join(f"{len(trials):,} {STATE_NAMES[state]}" for state, trials in info.others.items())
        return f"No network is trained to the end yet{f' ({others})' * bool(others)}."
    first, last = info.front[0], info.front[-1]
    here = [cost_words(info.cost, info.values[point.trial.number]) for point in (first, last)]
    ends = f"from {expected_words(first)} at {here[0]} to {expected_words(last)} at {here[1]}"
    which = f"{len(info.front)} of {counted(info.trained, 'trained network')}"
    are = "form the front" if len(info.front) > 1 else "is the front"
    ends = ends if len(info.front) > 1 else f"{expected_words(first)} at {here[0]}"
    perhaps = f" {len(info.contenders)} more may be on it." if info.contenders else ""
    told = info.refusal if info.recommendation is None else info.recommendation.sentence
    return f"{which} {are}, {ends}.{perhaps} {told}".rstrip()


def front(
    study: Study,
    *,
    against: str = "flops",
    max_flops: int | None = None,
    references: Sequence[Reference] | None = None,
) -> go.Figure:
    """Draw accuracy against a cost: networks, the front, budget, recommendation, references, and what was not trained.

    Accuracies are those to expect of the networks (``FrontPoint.shrunk_accuracy``); bars show one standard error.

    Args:
        study: A study that has been run.
        against: A cost: ``flops``, ``params``, ``activations``, ``weight_bytes``, ``peak_memory``, ``latency_ms`` or
            ``train_seconds``.
        max_flops: Most FLOPs of a network to recommend, drawn as a line; by default the study's own budget.
        references: Networks to compare with; by default those that ``nas train`` has trained on the study's images.

    Raises:
        ConfigError: There is no such cost.
        StudyError: It was measured of no network; the message says how to measure it.
    """
    import plotly.graph_objects as go

    info = front_info(study, against=against, max_flops=max_flops, references=references)
    figure = go.Figure()
    for trace in (*_families(info), *_marked(info), *_below(info)):
        figure.add_trace(trace)
    beside = [stored_cost(one, info.cost.name) or 0 for one in info.references]
    shown = [*info.values.values(), *info.limits.values(), *beside]
    figure.update_layout(xaxis=cost_axis(info.cost, shown))
    for row, (text, value) in enumerate(info.limits.items()):
        _add_limit(figure, text, value, row)
    figure.update_yaxes(title=f"Expected {info.metric} (%)")
    figure.update_layout(showlegend=True)
    if not info.values:
        empty(figure, "No network is trained, stopped or refused yet.")
    elif not info.front:
        figure.update_yaxes(showticklabels=False, range=[-3, 1])  # there are no accuracies to read
        place = {"x": 0.5, "y": 0.6, "xref": "paper", "yref": "paper", "font": {"size": 15, "color": QUIET}}
        figure.add_annotation(text="No network is trained to the end yet.", showarrow=False, **place)
    title = f"{info.study}: {info.metric} against {info.cost.label}"
    laid_out(figure, title, alt=alt(info), note=" ".join(info.notes))
    return figure.update_layout(margin={"t": figure.layout.margin.t + 15 * len(info.limits)})


def _families(info: FrontInfo) -> list[go.Scatter]:
    """Return the trained networks, family by family."""
    traces, cost = [], cost_line(info.cost)
    for index, (name, points) in enumerate(info.families.items()):
        if points:
            look = family_look(index)
            options: dict[str, Any] = {"opacity": 0.5, "size": 5} if info.trained > CROWD else {}
            options |= {"customdata": point_data(points), "hovertemplate": f"{POINT}{cost}<extra></extra>"}
            if info.trained <= _FEW:
                options["error_y"] = {**bars(points, look.color), "thickness": 0.8, "width": 0}
            x = [info.values[point.trial.number] for point in points]
            traces.append(dots(x, percent(points), look, name=name, many=info.trained > MANY, **options))
    return traces


def _marked(info: FrontInfo) -> list[go.Scatter]:
    """Return the front, its contenders, the recommended network and the references."""
    traces = []
    if info.contenders:
        x = [info.values[point.trial.number] for point in info.contenders]
        traces.append(rings(x, info.contenders, name="may be on the front"))
    if info.front:
        x = [info.values[point.trial.number] for point in info.front]
        traces.append(front_line(x, info.front, name="Pareto front (± 1 standard error)"))
    if info.references:
        traces.append(_references(info))
    best = None if info.recommendation is None else info.recommendation.best
    if best is not None and best.trial.number in info.values:
        traces.append(
            dots(
                [info.values[best.trial.number]],
                percent([best]),
                STATE_LOOKS["recommended"],
                name=f"recommended: trial {best.trial.number}",
                size=17,
                opacity=1,
                line={"color": PAPER, "width": 1},
                customdata=point_data([best]),
                hovertemplate=f"{POINT}{cost_line(info.cost)}<extra></extra>",
            )
        )
    return traces


def _references(info: FrontInfo) -> go.Scatter:
    ones = info.references
    names = [[f"{escaped(one.name)}{' (given weights)' * one.pretrained}"] for one in ones]
    errors = [round(100 * info.noise / math.sqrt(len(one.accuracies)), 3) for one in ones]
    return dots(
        [stored_cost(one, info.cost.name) or 0 for one in ones],
        [round(100 * one.mean_accuracy, 3) for one in ones],
        STATE_LOOKS["reference"],
        name="reference",
        size=11,
        mode="markers+text",
        text=[escaped(_label(one.name)) for one in ones],
        customdata=names,
        textposition="bottom center",
        textfont={"size": 11, "color": INK},
        error_y={"type": "data", "array": errors, "color": INK, "thickness": 1.5, "width": 4},
        hovertemplate="<b>%{customdata[0]}</b><br>%{y:.2f} ± %{error_y.array:.2f} %<br>"
        + cost_line(info.cost)
        + "<extra></extra>",
    )


def _label(name: str) -> str:
    """Return so much of a name as stands beside a point and covers few others."""
    return name if len(name) <= _LABEL else f"{name[: _LABEL - 1].rstrip()}…"


def _below(info: FrontInfo) -> list[go.Scatter]:
    """Return the rows of trials without a final accuracy, below the lowest accuracy."""
    shown = [100 * point.shrunk_accuracy for points in info.families.values() for point in points]
    shown += [100 * one.mean_accuracy for one in info.references]
    span = max(shown) - min(shown) if shown else 0.0
    return strip(info.others, info.values, min(shown, default=0.0), max(0.05 * span, 0.3))


def _add_limit(figure: go.Figure, text: str, value: float, row: int) -> None:
    low, high = figure.layout.xaxis.range
    side = "right" if math.log10(value) > (low + high) / 2 else "left"  # so that the words stay on the figure
    figure.add_vline(x=value, line={"color": QUIET, "width": 1.5, "dash": "dash"})
    place = {"x": math.log10(value), "xanchor": side, "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 15 * row}
    figure.add_annotation(text=text, showarrow=False, font={"color": QUIET, "size": 12}, **place)


def _limits(study: Study, name: str, max_flops: int | None) -> dict[str, float]:
    limit = getattr(study.config.budget, name, None)
    write = COSTS[name].write
    limits = {} if limit is None else {"at least": limit.min, "at most": limit.max}
    found = {f"budget: {key} {write(value)}": float(value) for key, value in limits.items() if value}
    if name == "flops" and max_flops is not None:
        found[f"asked: at most {format_count(max_flops)}"] = float(max_flops)
    return found


def _recommended(study: Study, max_flops: int | None) -> tuple[Recommendation | None, str]:
    """Return which network to take, or why there is none."""
    try:
        return recommend(study, max_flops=max_flops), ""
    except StudyError as error:
        return None, sentence(str(error))


def _notes(found: CostFront, others: dict[str, list[TrialRecord]]) -> list[str]:
    trained = len(found.points) + len(found.others)
    notes = list(found.costed.notes)
    if trained > _FEW:
        notes.append(f"Bars for the front and what may be on it; {trained:,} networks, errors of the others on hover.")
    missing = found.costed.cost.name in ("peak_memory", "latency_ms", "train_seconds") and any(others.values())
    if missing:
        notes.append(f"{sum(map(len, others.values())):,} trials that were not trained to the end are left out.")
    return notes


def _left_out(references: int, cost: StudyCost) -> list[str]:
    return [f"{counted(references, 'reference')} without a known {cost.label} left out."] if references else []
