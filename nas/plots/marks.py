"""Marks that several figures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nas.analysis.pareto import FrontPoint
from nas.plots.hover import TRIAL, trial_data
from nas.plots.looks import FAINT, INK, PAPER, STATE_LOOKS, Look
from nas.plots.pages import escaped
from nas.records import TrialRecord

if TYPE_CHECKING:
    import plotly.graph_objects as go

MANY = 2_000
"""Points from which on a figure is drawn by WebGL."""
CROWD = 500
"""Points from which on they are small."""
STATE_NAMES = {"stopped": "stopped early", "infeasible": "outside the budget", "failed": "failed"}
"""In the legend, for trials without a final accuracy."""


def without_accuracy(trials: Sequence[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """Return trials that were not trained to the end by what became of them, as ``STATE_NAMES`` has it."""
    states = {"stopped": "stopped", "infeasible": "infeasible", "failed": "failed", "diverged": "failed"}
    found: dict[str, list[TrialRecord]] = {state: [] for state in STATE_NAMES}
    for trial in trials:
        if trial.state in states:
            found[states[trial.state]].append(trial)
    return {state: ones for state, ones in found.items() if ones}


def dots(x: Sequence[float], y: Sequence[float], look: Look, *, name: str, many: bool = False, **options: Any) -> Any:
    """Return points of one look.

    Args:
        x: Places.
        y: Accuracies in percent, or what else is shown.
        look: Colour and shape.
        name: In the legend; it is shown as it is.
        many: Whether the figure has so many points that the browser should draw them by WebGL.
        options: Of plotly's trace; ``size`` and ``opacity`` of the marks.
    """
    import plotly.graph_objects as go

    kind = go.Scattergl if many else go.Scatter
    marker = {"color": look.color, "symbol": look.symbol, "size": options.pop("size", 8)}
    marker |= {"opacity": options.pop("opacity", 0.85), "line": options.pop("line", {"color": PAPER, "width": 0.5})}
    if "open" in look.symbol:
        marker["line"] = {"color": look.color, "width": 1.5}
    return kind(x=x, y=y, mode=options.pop("mode", "markers"), name=escaped(name), marker=marker, **options)


def percent(points: Sequence[FrontPoint]) -> list[float]:
    """Return the accuracies to expect of networks in percent."""
    return [round(100 * point.shrunk_accuracy, 3) for point in points]


def bars(points: Sequence[FrontPoint], color: str) -> dict[str, Any]:
    """Return error bars of one standard error."""
    errors = [round(100 * point.standard_error, 3) for point in points]
    return {"type": "data", "array": errors, "color": color, "thickness": 1.5, "width": 4}


def front_line(x: Sequence[float], points: Sequence[FrontPoint], *, color: str = INK, name: str) -> go.Scatter:
    """Return the line of a front with error bars, without its points."""
    import plotly.graph_objects as go

    line = {"color": color, "width": 2, "shape": "hv"}
    return go.Scatter(
        x=x,
        y=percent(points),
        error_y=bars(points, color),
        mode="lines",
        line=line,
        name=escaped(name),
        hoverinfo="skip",
    )


def rings(x: Sequence[float], points: Sequence[FrontPoint], *, name: str) -> go.Scatter:
    """Return rings with error bars around networks that may be on the front."""
    import plotly.graph_objects as go

    size = 15 if len(points) <= 30 else 9
    marker = {"color": FAINT, "symbol": STATE_LOOKS["contender"].symbol, "size": size, "line": {"width": 1.5}}
    bar = bars(points, FAINT)
    return go.Scatter(x=x, y=percent(points), mode="markers", name=name, marker=marker, error_y=bar, hoverinfo="skip")


def strip(groups: dict[str, list[TrialRecord]], costs: dict[int, float], floor: float, step: float) -> list[Any]:
    """Return trials without a final accuracy as rows of marks below the accuracies, one row for each outcome."""
    traces = []
    rows = {state: [trial for trial in trials if trial.number in costs] for state, trials in groups.items()}
    many = sum(map(len, rows.values())) > MANY
    for place, (state, trials) in enumerate((state, trials) for state, trials in rows.items() if trials):
        look = STATE_LOOKS[state]
        traces.append(
            dots(
                [costs[trial.number] for trial in trials],
                [round(floor - (place + 1) * step, 3)] * len(trials),
                look,
                name=f"{STATE_NAMES[state]} ({len(trials):,})",
                many=many,
                size=7,
                opacity=0.7,
                customdata=trial_data(trials),
                hovertemplate=TRIAL,
            )
        )
    return traces
