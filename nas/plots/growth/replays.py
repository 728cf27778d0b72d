"""Replayed searches: hypervolume against proposals, and against what training them cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.fronts.geometry import Array
from nas.plots.axes import log_axis, write_number
from nas.plots.looks import family_look
from nas.plots.pages import laid_out, write_figures
from nas.replay.problem import Problem
from nas.replay.rules import Course, Rule, Spent

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MARKS = 120
_AXES: dict[Spent, str] = {
    "proposals": "Proposals",
    "trainings": "Networks trained to the end",
    "compute": "Compute, 1 = training the whole table",
    "seconds": "Simulated seconds",
}

_WORDS: dict[Spent, str] = {
    "proposals": "proposals",
    "trainings": "networks trained",
    "compute": "compute",
    "seconds": "simulated seconds",
}


class Band(NamedTuple):
    """Median and quartiles over seeds of a rule's share of the hypervolume, at some marks; each of shape (marks,)."""

    rule: Rule
    marks: Array
    low: Array
    median: Array
    high: Array


def replay_bands(courses: Mapping[Rule, Sequence[Course]], spent: Spent, *, unit: float = 1.0) -> list[Band]:
    """Collect what ``replays`` draws.

    Args:
        courses: By rule.
        spent: What the shares are shown against.
        unit: What counts as one of it.
    """
    ends = [getattr(course.moments[-1], spent) for runs in courses.values() for course in runs]
    first = min(getattr(course.moments[0], spent) for runs in courses.values() for course in runs)
    if spent == "compute":
        marks = np.geomspace(max(first, max(ends) / 1e4), max(ends), _MARKS)
    else:
        marks = np.unique(np.linspace(0, max(ends), _MARKS).round())
    bands = []
    for rule, runs in courses.items():
        shares = np.array([course.shares(spent, marks) for course in runs])
        low, median, high = np.quantile(shares, (0.25, 0.5, 0.75), axis=0)
        longest = max(getattr(course.moments[-1], spent) for course in runs)
        shown = marks <= longest * 1.001
        bands.append(Band(rule, marks[shown] / unit, low[shown], median[shown], high[shown]))
    return bands


def replays(courses: Mapping[Rule, Sequence[Course]], spent: Spent, *, title: str, unit: float = 1.0) -> go.Figure:
    """Draw the share of the table's hypervolume against what was spent: median, and quartiles shaded."""
    import plotly.graph_objects as go

    figure = go.Figure()
    bands = replay_bands(courses, spent, unit=unit)
    for index, band in enumerate(bands):
        color = family_look(index).color
        edge = {
            "x": np.concatenate([band.marks, band.marks[::-1]]),
            "y": 100 * np.concatenate([band.high, band.low[::-1]]),
        }
        figure.add_trace(
            go.Scatter(
                **edge, fill="toself", fillcolor=color, opacity=0.15, line={"width": 0}, hoverinfo="skip",
                showlegend=False, legendgroup=str(band.rule), mode="lines",
            )
        )  # fmt: skip
        line = {"color": color, "width": 2.5, "dash": "solid" if band.rule.halving is None else "dash"}
        figure.add_trace(
            go.Scatter(
                x=band.marks, y=100 * band.median, mode="lines", line=line, name=str(band.rule),
                legendgroup=str(band.rule),
            )
        )  # fmt: skip
    if spent == "compute":
        marks = [mark for band in bands for mark in band.marks]
        figure.update_layout(xaxis=log_axis(marks, write_number, _AXES[spent]))
    figure.update_xaxes(title=_AXES[spent])
    figure.update_yaxes(title="Hypervolume (% of the table's)", range=[50, 101])
    note = "Medians over seeds; shaded: quartiles. Dashed: with halving."
    return laid_out(figure, title, alt=alt(bands, spent), note=note)


def alt(bands: Sequence[Band], spent: Spent) -> str:
    """Say what each rule had in the end, the best first."""
    ranked = sorted(bands, key=lambda band: -band.median[-1])
    told = [f"{band.rule} {100 * band.median[-1]:.1f} % after {write_number(band.marks[-1])}" for band in ranked]
    return f"Median share of the table's hypervolume against {_WORDS[spent]}: {', '.join(told)}."


def write_replays(problem: Problem, courses: Mapping[Rule, Sequence[Course]], path: Path, *, name: str) -> None:
    """Write the figures of replays as one HTML file that needs no network.

    Raises:
        ExportError: The file cannot be written.
    """
    figures = [
        replays(courses, "proposals", title=f"{name}: hypervolume against proposals"),
        replays(courses, "compute", title=f"{name}: hypervolume against compute", unit=problem.compute),
    ]
    write_figures(figures, path, title=f"{name}: replays")
