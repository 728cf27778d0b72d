"""Learning curves of the trials of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nas.analysis.pareto import pareto_front
from nas.plots.hover import hover
from nas.plots.looks import FAMILIES
from nas.plots.pages import laid_out
from nas.records import Epoch, TrialRecord, metric_name
from nas.search.study import Study
from nas.units import format_count

if TYPE_CHECKING:
    import plotly.graph_objects as go


class CurvesInfo(NamedTuple):
    """What the curve plot shows: each curve of a trained or stopped trial, and which trials are on the front."""

    title: str
    metric: str
    curves: list[tuple[TrialRecord, list[Epoch]]]
    front: frozenset[int]


def curves_info(study: Study) -> CurvesInfo:
    """Collect what ``curves`` draws."""
    curves, trials = study.curves(), study.trials()
    states = ("trained", "stopped")
    shown = [(trial, curves[trial.number]) for trial in trials if trial.state in states and trial.number in curves]
    front = frozenset(trial.number for trial in pareto_front(study))
    return CurvesInfo(f"{study.name}: learning curves", metric_name(study.config.recipe.metric), shown, front)


def curves(study: Study) -> go.Figure:
    """Draw validation accuracy against epochs: networks on the front in colour, all others in grey."""
    import plotly.graph_objects as go

    info = curves_info(study)
    figure = go.Figure()
    colors = iter(FAMILIES * (1 + len(info.front)))
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
                hovertemplate=f"{hover(trial)}<br>epoch %{{x}}: %{{y:.1f}} %<extra></extra>",
            )
        )
    figure.update_xaxes(title="Epoch", dtick=max(1, max((len(c) for _, c in info.curves), default=1) // 10))
    figure.update_yaxes(title=f"Validation {info.metric} (%)")
    return laid_out(figure, info.title)
