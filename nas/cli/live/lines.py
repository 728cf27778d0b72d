"""What became of trials and images, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.units import format_count

if TYPE_CHECKING:
    from nas.data.sources import Dataset
    from nas.records import Repeat, TrialRecord


def trial_line(trial: TrialRecord, metric: str) -> str:
    """Return what became of a trial in one line, given by what its study compares networks, in words."""
    outcomes = {
        "trained": f"{metric} {100 * (trial.accuracy or 0):6.2f} %   {trial.train_seconds or 0:5.1f} s",
        "stopped": f"{metric} {100 * (trial.accuracy or 0):6.2f} %   stopped after epoch {trial.epochs}",
        "repeated": f"{metric} {100 * (trial.accuracy or 0):6.2f} %   same network as #{trial.repeat_of}",
        "infeasible": f"outside the budget: {trial.error}" if trial.error else "outside the budget",
        "diverged": f"diverged: {trial.error}",
        "failed": f"failed: {trial.error}",
    }
    outcome = outcomes.get(trial.state, trial.state)
    return f"#{trial.number:<4}{format_count(trial.flops):>6} FLOPs  {outcome:<38} {trial.label}"


def repeat_line(trial: TrialRecord, repeat: Repeat, metric: str) -> str:
    """Return what became of a further training in one line, likewise."""
    trained = f"{metric} {100 * (repeat.accuracy or 0):6.2f} %   seed {repeat.repeat + 1}"
    outcome = trained if repeat.state == "trained" else f"{repeat.state}: {repeat.error}"
    return f"#{trial.number:<4}{format_count(trial.flops):>6} FLOPs  {outcome:<38} {trial.label}"


def data_line(dataset: Dataset) -> str:
    """Return what images there are in one line."""
    skipped = f"; {dataset.skipped} broken images left out" if dataset.skipped else ""
    return (
        f"{dataset.name}: {len(dataset.train):,} training and {len(dataset.validation):,} validation images of"
        f" {len(dataset.classes)} classes{skipped}"
    )
