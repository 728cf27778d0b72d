"""How long trainings took, and which took longer than others of their FLOPs."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nas.plots.axes import log_axis, seconds_axis
from nas.plots.hover import network_line
from nas.plots.looks import FAINT, INK, family_look
from nas.plots.marks import CROWD, MANY, dots
from nas.plots.pages import FLOPS_AXIS, empty, laid_out
from nas.plots.words import counted, family_labels, spread_evenly
from nas.records import TrialRecord
from nas.search.study import Study
from nas.units import format_count, format_seconds

if TYPE_CHECKING:
    import plotly.graph_objects as go

LONG = 2.0
"""Times what is usual for a training's FLOPs from which on it counts as long."""
_ENOUGH = 5
"""Trainings from which on a line of the usual time is drawn."""
_NAMED = 3
_HOVER = (
    "<b>trial %{customdata[0]}</b>, %{fullData.name}<br>%{customdata[1]}<br>%{x:.3s} FLOPs,"
    " %{customdata[2]}<extra></extra>"
)


class TimesInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        study: Its name.
        families: Trials that were trained to the end and have a time, by family.
        usual: Seconds that are usual for each of those trials, by number; empty where there are too few to tell.
        long: Trials that took at least twice the usual time, the worst first.
        devices: That trained them.
        left_out: Trials with a time that were not trained to the end.
    """

    study: str
    families: dict[str, list[TrialRecord]]
    usual: dict[int, float]
    long: list[TrialRecord]
    devices: tuple[str, ...]
    left_out: int

    @property
    def trials(self) -> list[TrialRecord]:
        """All trials that are shown."""
        return [trial for trials in self.families.values() for trial in trials]


def times_info(study: Study) -> TimesInfo:
    """Collect what ``times`` draws."""
    timed = [trial for trial in study.trials() if trial.train_seconds]
    trained = [trial for trial in timed if trial.state == "trained"]
    labels = family_labels([space.name for space in study.config.search.spaces])
    families = {labels[name]: [trial for trial in trained if trial.space == name] for name in labels}
    usual = _usual(trained)
    over = {trial.number: (trial.train_seconds or 0) / usual[trial.number] for trial in trained if usual}
    long = sorted((t for t in trained if over.get(t.number, 0) >= LONG), key=lambda trial: -over[trial.number])
    devices = tuple(dict.fromkeys(trial.device or "an unknown device" for trial in trained))
    return TimesInfo(study.name, families, usual, long, devices, len(timed) - len(trained))


def alt(info: TimesInfo) -> str:
    """Say how long a training took, and which took long."""
    seconds = [trial.train_seconds or 0 for trial in info.trials]
    if not seconds:
        return f"{info.study}: no training has ended yet."
    middle, ends = statistics.median(seconds), (min(seconds), max(seconds))
    if len(seconds) == 1:
        return f"The one training took {format_seconds(middle)}."
    told = f"A training took {format_seconds(middle)} in the median, {' to '.join(map(format_seconds, ends))} in all."
    if not info.usual:
        return told
    if not info.long:
        return f"{told} None of {counted(len(seconds), 'training')} took twice the time that is usual for its FLOPs."
    named = ", ".join(str(trial.number) for trial in info.long[:_NAMED])
    more = f" and {len(info.long) - _NAMED} more" if len(info.long) > _NAMED else ""
    return f"{told} Twice the time that is usual for its FLOPs or more took trial {named}{more}."


def times(study: Study) -> go.Figure:
    """Draw the seconds of each training against FLOPs, what is usual, and which trainings took long."""
    import plotly.graph_objects as go

    info = times_info(study)
    figure = go.Figure()
    trials, many = info.trials, len(info.trials) > MANY
    for index, (name, ones) in enumerate(info.families.items()):
        if ones:
            x, y = [trial.flops for trial in ones], [round(trial.train_seconds or 0, 3) for trial in ones]
            options: dict[str, Any] = {"size": 5, "opacity": 0.5} if len(trials) > CROWD else {}
            options |= {"customdata": _data(ones, info.usual), "hovertemplate": _HOVER}
            figure.add_trace(dots(x, y, family_look(index), name=name, many=many, **options))
    if info.usual:
        figure.add_trace(_line(info))
    if info.long:
        figure.add_trace(_long(info))
    seconds = seconds_axis([trial.train_seconds or 0 for trial in trials], "Training time")
    figure.update_layout(xaxis=log_axis([t.flops for t in trials], format_count, FLOPS_AXIS), yaxis=seconds)
    if not trials:
        empty(figure, "No training has ended yet.")
    return laid_out(figure, f"{info.study}: time of a training", alt=alt(info), note=_note(info))


def _line(info: TimesInfo) -> go.Scatter:
    import plotly.graph_objects as go

    ends = [min(info.trials, key=lambda trial: trial.flops), max(info.trials, key=lambda trial: trial.flops)]
    at = {"x": [trial.flops for trial in ends], "y": [round(info.usual[trial.number], 3) for trial in ends]}
    line = {"color": FAINT, "width": 1.5, "dash": "dash"}
    return go.Scatter(**at, mode="lines", line=line, name="usual for the FLOPs", hoverinfo="skip")


def _long(info: TimesInfo) -> go.Scatter:
    import plotly.graph_objects as go

    marker = {"symbol": "circle-open", "size": 15, "color": INK, "line": {"width": 1.5}}
    at = {"x": [trial.flops for trial in info.long], "y": [trial.train_seconds for trial in info.long]}
    name = f"took twice the usual or more ({len(info.long):,})"
    return go.Scatter(**at, mode="markers", marker=marker, name=name, hoverinfo="skip")


def _usual(trials: list[TrialRecord]) -> dict[int, float]:
    """Return the time that is usual for each trial's FLOPs: a power law by median slopes (Theil 1950, Sen 1968)."""
    if len(trials) < _ENOUGH or len({trial.flops for trial in trials}) < 2:
        return {}
    kept = spread_evenly(sorted(trials, key=lambda trial: trial.flops), 500)  # all pairs of 500 are enough
    costs, seconds = (np.log([getattr(trial, name) for trial in kept]) for name in ("flops", "train_seconds"))
    first, second = np.triu_indices(len(kept), 1)
    apart = costs[second] > costs[first]
    slope = float(np.median((seconds[second] - seconds[first])[apart] / (costs[second] - costs[first])[apart]))
    begin = float(np.median(seconds - slope * costs))
    return {trial.number: math.exp(begin + slope * math.log(trial.flops)) for trial in trials}


def _data(trials: list[TrialRecord], usual: dict[int, float]) -> list[list[object]]:
    rows = []
    for trial in trials:
        seconds = trial.train_seconds or 0
        times = f", {seconds / usual[trial.number]:.1f}× usual" if usual else ""
        rows.append([trial.number, network_line(trial), f"{format_seconds(seconds)}{times}"])
    return rows


def _note(info: TimesInfo) -> str:
    notes = [f"Of {counted(len(info.trials), 'network')} trained to the end"] if info.trials else []
    notes += [f"; {info.left_out:,} others are left out"] if info.left_out and notes else []
    notes += [f"; on {' and '.join(info.devices[:2])}{', …' * (len(info.devices) > 2)}."] if notes else []
    return "".join(notes)
