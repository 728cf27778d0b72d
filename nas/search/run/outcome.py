"""What a study keeps of a training that has ended."""

from __future__ import annotations

from dataclasses import replace

from nas.executors.task import Ended, Failed
from nas.records import Repeat, TrialRecord, TrialState


def trained_trial(trial: TrialRecord, seed: int, ended: Ended) -> TrialRecord:
    """Return a trial whose training came to its end or to a rung that it did not pass."""
    return replace(
        trial,
        state="stopped" if ended.paused else "trained",
        seed=seed,
        device=ended.device,
        accuracy=ended.accuracy,
        train_seconds=ended.train_seconds,
        micro_batch=ended.micro_batch,
        data_share=ended.data_share,
        epochs=len(ended.curve),
        error=None,
    )


def trained_repeat(repeat: Repeat, ended: Ended) -> Repeat:
    """Return a further training that came to its end."""
    return replace(
        repeat,
        state="trained",
        device=ended.device,
        accuracy=ended.accuracy,
        train_seconds=ended.train_seconds,
        curve=ended.curve,
    )


def state_of(failed: Failed) -> TrialState:
    """Return how a trial counts whose training failed by its own fault."""
    return "diverged" if failed.fault == "diverged" else "failed"


def killed(how: str, times: int) -> str:
    """Say how processes ended that trained a network."""
    return f"{how}, {'twice' if times == 2 else f'{times} times'}"
