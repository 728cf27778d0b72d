"""What is told of a trial when one points at it: ``customdata``, whose first column is the trial's number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nas.analysis.pareto import FrontPoint
from nas.plots.pages import escaped
from nas.records import TrialRecord
from nas.units import format_count, format_share

POINT = (
    "<b>trial %{customdata[0]}</b>, %{fullData.name}<br>%{customdata[1]}<br>expected %{y:.2f} ± %{customdata[2]} %"
    "<br>measured %{customdata[3]}<br>P(front) %{customdata[4]}<br>"
)
"""Template for ``point_data``; the cost and ``<extra></extra>`` follow."""
TRIAL = "<b>trial %{customdata[0]}</b>, %{fullData.name}<br>%{customdata[1]}<br>%{customdata[2]}<extra></extra>"
"""Template for ``trial_data``."""


def point_data(points: Iterable[FrontPoint]) -> list[list[Any]]:
    """Return number, network, standard error, what was measured, and P(front) of networks."""
    return [
        [
            point.trial.number,
            network_line(point.trial),
            round(100 * point.standard_error, 2),
            measured_line(point),
            format_share(point.front_probability),
        ]
        for point in points
    ]


def trial_data(trials: Iterable[TrialRecord]) -> list[list[Any]]:
    """Return number, network and what became of it."""
    return [[trial.number, network_line(trial), outcome_line(trial)] for trial in trials]


def network_line(trial: TrialRecord) -> str:
    """Return coefficients and choices in one short line."""
    coefficients = f"{trial.width:.3g} wide × {trial.depth:.3g} deep, {trial.resolution} px"
    chosen = [f"{key.replace('_', ' ')} {choice_word(value)}" for key, value in trial.choices.items()]
    return escaped(", ".join([coefficients, *chosen]))


def choice_word(value: object) -> str:
    """Return the value of a dimension: yes or no for switches."""
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def measured_line(point: FrontPoint) -> str:
    """Return the mean over the seeds, their spread and their number."""
    if point.std_accuracy is None:
        return f"{100 * point.mean_accuracy:.2f} % (1 seed)"
    return f"{100 * point.mean_accuracy:.2f} ± {100 * point.std_accuracy:.2f} % ({point.seeds} seeds)"


def outcome_line(trial: TrialRecord) -> str:
    """Return what became of a trial."""
    flops = f"{format_count(trial.flops)} FLOPs"
    if trial.state == "infeasible":
        return f"{flops}; outside the budget: {escaped(trial.error or 'not trained')[:80]}"
    if trial.state in ("failed", "diverged"):
        return f"{flops}; {trial.state}: {escaped(trial.error or '')[:80]}"
    accuracy = "" if trial.accuracy is None else f"; {100 * trial.accuracy:.2f} %"
    stopped = f" when stopped after epoch {trial.epochs}" if trial.state == "stopped" else ""
    return f"{flops}{accuracy}{stopped}"
