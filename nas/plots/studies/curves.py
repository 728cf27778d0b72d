"""Learning curves of the trials of a study, and where halving stopped them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from nas.analysis.pareto import pareto_front
from nas.plots.hover import TRIAL, trial_data
from nas.plots.looks import PALE, QUIET, STATE_LOOKS, family_look
from nas.plots.marks import dots
from nas.plots.pages import empty, escaped, laid_out
from nas.plots.words import counted, family_labels, percents, spread_evenly
from nas.records import Epoch, TrialRecord, metric_name
from nas.search.study import Study
from nas.units import format_count

if TYPE_CHECKING:
    import plotly.graph_objects as go

OTHERS, MEMBERS = 300, 40
"""Curves off the front and on it that are drawn at most."""
_EPOCHS = 60
"""Points of a curve that are drawn at most."""
_SHOWN = ("trained", "stopped", "diverged")


class CurvesInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        study: Its name.
        metric: By which networks are compared, in words.
        front: Trials on the front, cheapest first, with their curves.
        others: All other trials with a curve: trained, stopped and diverged.
        rungs: Epochs after which halving may stop a training.
        families: What each space is called in the legend.
        notes: What is left out, each in one sentence.
    """

    study: str
    metric: str
    front: list[tuple[TrialRecord, list[Epoch]]]
    others: list[tuple[TrialRecord, list[Epoch]]]
    rungs: tuple[int, ...]
    families: dict[str, str]
    notes: tuple[str, ...]

    @property
    def stopped(self) -> list[tuple[TrialRecord, list[Epoch]]]:
        """Curves of trials that halving stopped, and have not gone on."""
        return [(trial, curve) for trial, curve in self.others if trial.state == "stopped"]


def curves_info(study: Study) -> CurvesInfo:
    """Collect what ``curves`` draws."""
    known, members = study.curves(), [trial.number for trial in pareto_front(study)]
    trials = {trial.number: trial for trial in study.trials() if trial.state in _SHOWN and known.get(trial.number)}
    front = [(trials[number], known[number]) for number in members if number in trials]
    others = [(trial, known[number]) for number, trial in trials.items() if number not in members]
    halving, epochs = study.config.search.halving, study.config.recipe.epochs
    rungs = halving.rungs(epochs) if halving is not None and epochs is not None else ()
    notes = []
    if len(front) > MEMBERS:
        notes.append(f"{MEMBERS} of {len(front):,} curves of the front.")
    if len(others) > OTHERS:
        notes.append(f"{OTHERS} of {len(others):,} other curves.")
    longest = max((len(curve) for _, curve in (*front, *others)), default=0)
    if longest > _EPOCHS:
        notes.append(f"Every {_step(longest)} epochs and the last.")
    families = family_labels([space.name for space in study.config.search.spaces])
    metric = metric_name(study.config.recipe.metric)
    return CurvesInfo(study.name, metric, front, others, rungs, families, tuple(notes))


def alt(info: CurvesInfo) -> str:
    """Say how many curves there are, what halving stopped, and where the front's curves end."""
    of = len(info.front) + len(info.others)
    if not of:
        return f"{info.study}: no training has ended an epoch yet."
    stopped = f"; halving stopped {len(info.stopped):,} of {counted(of, 'training')}" if info.stopped else ""
    if not info.front:
        return f"{counted(len(info.others), 'learning curve')}, none of them of a network on the front{stopped}."
    last = [100 * curve[-1].val_accuracy for _, curve in info.front]
    first = [100 * curve[0].val_accuracy for _, curve in info.front]
    return (
        f"On the front ({counted(len(info.front), 'curve')}) accuracy is {percents(first)} after the first epoch and"
        f" {percents(last)} after the last{stopped}."
    )


def curves(study: Study) -> go.Figure:
    """Draw validation accuracy against epochs: the front in the colours of families, the others grey, and stops."""
    import plotly.graph_objects as go

    info = curves_info(study)
    figure = go.Figure()
    for rung in info.rungs:
        figure.add_vline(x=rung, line={"color": QUIET, "width": 1, "dash": "dot"})
    if info.others:
        figure.add_trace(_others(spread_evenly(info.others, OTHERS), len(info.others)))
    named = set[str]()
    for trial, curve in spread_evenly(info.front, MEMBERS):
        figure.add_trace(_member(info, trial, curve, first=trial.space not in named))
        named.add(trial.space)
    figure.add_traces(_ends(info))
    last = max((curve[-1].epoch for _, curve in (*info.front, *info.others)), default=1)
    figure.update_xaxes(title="Epoch", dtick=max(1, -(-last // 10)), range=[0.5 if last > 1 else 0, last * 1.03])
    figure.update_yaxes(title=f"Validation {info.metric} (%)")
    if not figure.data:
        empty(figure, "No training has ended an epoch yet.")
    dotted = f"Dotted: rungs of halving, after epochs {', '.join(map(str, info.rungs))}."
    notes = [dotted] if info.rungs and figure.data else []
    return laid_out(figure, f"{info.study}: learning curves", alt=alt(info), note=" ".join([*notes, *info.notes]))


def _others(shown: Sequence[tuple[TrialRecord, list[Epoch]]], number: int) -> go.Scatter:
    """Return the curves off the front as one line with gaps."""
    import plotly.graph_objects as go

    x, y, data = list[int | None](), list[float | None](), list[list[object] | None]()
    for (trial, curve), row in zip(shown, trial_data(trial for trial, _ in shown), strict=True):
        kept = _thinned(curve)
        x += [*(epoch.epoch for epoch in kept), None]
        y += [*(round(100 * epoch.val_accuracy, 2) for epoch in kept), None]
        data += [*([row[0], trial.space] for _ in kept), None]
    name = "not on the front" if len(shown) == number else f"not on the front ({len(shown):,} of {number:,})"
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": PALE, "width": 1},
        name=name,
        customdata=data,
        hovertemplate="<b>trial %{customdata[0]}</b>, %{customdata[1]}<br>epoch %{x}: %{y:.1f} %<extra></extra>",
    )


def _member(info: CurvesInfo, trial: TrialRecord, curve: list[Epoch], *, first: bool) -> go.Scatter:
    import plotly.graph_objects as go

    look = family_look(list(info.families).index(trial.space))
    kept = _thinned(curve)
    return go.Scatter(
        x=[epoch.epoch for epoch in kept],
        y=[round(100 * epoch.val_accuracy, 2) for epoch in kept],
        mode="lines",
        name=f"front: {escaped(info.families[trial.space])}",
        legendgroup=trial.space,
        showlegend=first,
        line={"color": look.color, "width": 2},
        customdata=[[trial.number]] * len(kept),
        hovertemplate=f"<b>trial %{{customdata[0]}}</b>, {format_count(trial.flops)} FLOPs<br>"
        "epoch %{x}: %{y:.1f} %<extra></extra>",
    )


def _ends(info: CurvesInfo) -> list[go.Scatter]:
    """Return marks where curves ended early: stopped, or diverged."""
    traces = []
    for state, key, name in (("stopped", "stopped", "stopped by halving"), ("diverged", "failed", "diverged")):
        ended = [(trial, curve[-1]) for trial, curve in info.others if trial.state == state]
        shown = spread_evenly(ended, OTHERS)
        if shown:
            part = f"{len(ended):,}" if len(shown) == len(ended) else f"{len(shown):,} of {len(ended):,}"
            traces.append(
                dots(
                    [epoch.epoch for _, epoch in shown],
                    [round(100 * epoch.val_accuracy, 2) for _, epoch in shown],
                    STATE_LOOKS[key],
                    name=f"{name} ({part})",
                    size=7,
                    customdata=trial_data(trial for trial, _ in shown),
                    hovertemplate=TRIAL,
                )
            )
    return traces


def _step(epochs: int) -> int:
    return -(-epochs // _EPOCHS)


def _thinned(curve: list[Epoch]) -> list[Epoch]:
    kept = curve[:: _step(len(curve))]
    return kept if kept[-1] is curve[-1] else [*kept, curve[-1]]
