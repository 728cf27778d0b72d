"""What is told of a trial when one points at it."""

from __future__ import annotations

from nas.analysis.pareto import FrontPoint
from nas.records import TrialRecord
from nas.units import format_count, format_share


def hover_point(point: FrontPoint) -> str:
    """Return what is known of a trained network."""
    std = "" if point.std_accuracy is None else f" ± {100 * point.std_accuracy:.2f}"
    measured = f"measured {100 * point.mean_accuracy:.2f}{std} % ({point.seeds} seed{'s' * (point.seeds > 1)})"
    expected = f"expected {100 * point.shrunk_accuracy:.2f} ± {100 * point.standard_error:.2f} %, {measured}"
    chance = f"{format_share(point.front_probability)} likely to be on the front"
    return f"{hover(point.trial, accuracy=expected)}<br>{chance}"


def hover(trial: TrialRecord, *, accuracy: str | None = None) -> str:
    """Return what is known of a trial."""
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
