"""What a study keeps: learning curves, proposals and what became of them, further trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Purpose: TypeAlias = Literal["budget", "front"]
"""Of a measurement: to decide a budget, in the process that searches, or to rank a front, in a process of its own."""

TrialState: TypeAlias = Literal[
    "running", "trained", "stopped", "repeated", "infeasible", "diverged", "failed", "interrupted"
]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One point of a learning curve.

    Attributes:
        epoch: Counted from 1.
        train_loss: Mean over the epoch's steps, label smoothing included.
        train_accuracy: Share right over the epoch's augmented images, in 0 to 1.
        val_loss: Cross-entropy on the validation images after the epoch, without smoothing.
        val_accuracy: Share of the validation images right after the epoch, in 0 to 1.
        seconds: Of the epoch, validation included.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One proposal of a study, and what became of it.

    Attributes:
        number: Optuna's number of the trial.
        space: Name of the search space.
        width: Coefficient.
        depth: Coefficient.
        resolution: In pixels.
        digest: Of the network.
        flops: Of one image, as fvcore counts them.
        params: Trainable parameters.
        activations: Elements put out by convolutions and linear layers for one image.
        state: ``trained``; ``stopped`` (paused by halving; it may go on later); ``repeated`` (a network proposed
            before: its accuracy is taken over); ``infeasible`` (outside the budget: never trained); ``diverged`` (a
            loss that is not finite: the curve until then is kept); ``failed``; ``interrupted``; ``running``.
        seed: Of the training.
        device: That trained it.
        accuracy: Share of the validation images right after the last epoch, in 0 to 1; of a stopped trial, after the
            epoch where it stopped.
        train_seconds: Of the training.
        repeat_of: Number of the trial that trained the network of a repeated one.
        error: Why a trial diverged or failed, or which bounds of the budget it missed.
        choices: Values of the further dimensions that the study opens, such as kernel or activation.
        micro_batch: Most images that the device had memory for at once; None for whole batches.
        data_share: Share of the training steps' time that went into making batches, in 0 to 1.
        epochs: That were trained.
    """

    number: int
    space: str
    width: float
    depth: float
    resolution: int
    digest: str
    flops: int
    params: int
    activations: int
    state: TrialState = "running"
    seed: int | None = None
    device: str | None = None
    accuracy: float | None = None
    train_seconds: float | None = None
    repeat_of: int | None = None
    error: str | None = None
    choices: Mapping[str, Any] = field(default_factory=dict, hash=False)
    micro_batch: int | None = None
    data_share: float | None = None
    epochs: int | None = None

    @property
    def label(self) -> str:
        """Space, coefficients and choices in one line."""
        words = [f"{self.space} width {self.width:g} depth {self.depth:g} resolution {self.resolution}", self.chosen]
        return " ".join(words).rstrip()

    @property
    def chosen(self) -> str:
        """The choices in one line, empty where there are none."""
        return " ".join(f"{key} {value}" for key, value in self.choices.items())


@dataclass(frozen=True, slots=True)
class Repeat:
    """A further training of a trial's network, from another seed.

    Attributes:
        number: Of the trial.
        repeat: Counted from 1; the trial's own training is 0.
        state: ``running``, ``trained``, ``diverged`` or ``failed``.
        seed: Of the training.
        device: That trained it.
        accuracy: Share of the validation images right after the last epoch, in 0 to 1.
        train_seconds: Of the training.
        error: Why it diverged or failed.
        curve: One entry per epoch.
    """

    number: int
    repeat: int
    state: TrialState = "running"
    seed: int = 0
    device: str | None = None
    accuracy: float | None = None
    train_seconds: float | None = None
    error: str | None = None
    curve: tuple[Epoch, ...] = ()
