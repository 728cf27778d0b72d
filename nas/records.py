"""What a study keeps: learning curves, proposals and what became of them, further trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

ClassNumbers: TypeAlias = npt.NDArray[np.int64]
"""Which class each of some images has, or was given; of shape (images,)."""

Metric: TypeAlias = Literal["accuracy", "balanced_accuracy", "macro_f1"]
"""By which figure networks are compared on the validation images; ``accuracy`` in all that follows stands for it."""

LARGE_DATA_SHARE = 0.1
"""Share of the steps' time above which making batches is said to hold a training up."""

Purpose: TypeAlias = Literal["budget", "front"]
"""Why a latency was measured: for the budget (in the searching process) or to rank the front (in its own process)."""

TrialState: TypeAlias = Literal[
    "waiting", "running", "trained", "stopped", "repeated", "infeasible", "diverged", "failed", "interrupted"
]
UNFINISHED: tuple[TrialState, ...] = ("waiting", "running", "interrupted")
"""States of trials that are still to be trained."""


@dataclass(frozen=True, slots=True)
class ImageDigests:
    """What tells the images of a study from others.

    Attributes:
        fingerprint: Of classes, sizes and numbers of images.
        content: Of all images as they are stored, with their labels; of the first eight digits, without them. Empty if
            it is not known.
        pixels: Of all images as they were decoded, likewise.
        decoders: Versions of what has decoded them, by name.
    """

    fingerprint: str
    content: str = ""
    pixels: str = ""
    decoders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One point of a learning curve.

    Attributes:
        epoch: Number of the epoch, from 1.
        train_loss: Mean training loss over the steps of the epoch, label smoothing included.
        train_accuracy: Accuracy on the augmented images of the epoch, in 0 to 1.
        val_loss: Cross-entropy on the validation images after the epoch, without smoothing.
        val_accuracy: Accuracy on the validation images after the epoch, in 0 to 1.
        seconds: Duration of the epoch in seconds, validation included.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One proposal of a study, and its outcome.

    Attributes:
        number: Optuna's number of the trial.
        space: Name of the search space.
        width: Width coefficient.
        depth: Depth coefficient.
        resolution: Resolution in pixels.
        digest: Digest of the network; equal digests are equal networks.
        flops: FLOPs of one image, as fvcore counts them.
        params: Number of trainable parameters.
        activations: Number of output elements of all convolutions and linear layers for one image.
        state: ``trained``; ``stopped`` (paused by halving, may continue later); ``repeated`` (the network was proposed
            before, and its accuracy is used again); ``infeasible`` (outside the budget, never trained); ``diverged``
            (the loss was not finite; the curve until then is kept); ``failed``; ``waiting`` (to be trained);
            ``running``; ``interrupted`` (it goes on before all others).
        seed: Random seed of the training.
        device: Name of the device that trained the network.
        accuracy: Accuracy on the validation images after the last epoch, in 0 to 1. For a stopped trial, after the
            epoch where it stopped.
        train_seconds: Duration of the training in seconds.
        repeat_of: For a repeated trial, the number of the trial that trained the network.
        error: Why the trial diverged or failed, or which bounds of the budget it missed.
        choices: Values of the other dimensions that the study searches, such as kernel or activation.
        micro_batch: Largest number of images that fitted in memory at once; None if whole batches did.
        data_share: Share of the training steps' time that was spent on preparing batches, in 0 to 1.
        epochs: Number of epochs that were trained.
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
    """A further training of a trial's network, with another seed.

    Attributes:
        number: Number of the trial.
        repeat: Number of the training, from 1; the trial's own training is 0.
        state: ``waiting``, ``running``, ``interrupted``, ``trained``, ``diverged`` or ``failed``.
        seed: Random seed of the training.
        device: Name of the device that trained the network.
        accuracy: Accuracy on the validation images after the last epoch, in 0 to 1.
        train_seconds: Duration of the training in seconds.
        error: Why the training diverged or failed.
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


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training gave.

    Attributes:
        paused: Whether it waits for more after the last epoch of the curve.
        curve: One entry per epoch.
        device: Name of what trained it.
        train_seconds: Of all epochs, validation included, interruptions left out.
        micro_batch: Most images that the device had memory for at once; None for whole batches.
        data_share: Share of the steps' time that went into making batches, in 0 to 1.
        answers: Class that the network took each validation image for after the last epoch, int64 of shape (images,).
    """

    paused: bool
    curve: tuple[Epoch, ...]
    device: str
    train_seconds: float
    micro_batch: int | None
    data_share: float
    answers: ClassNumbers = field(compare=False, repr=False)

    @property
    def accuracy(self) -> float:
        """Share of the validation images right after the last epoch, in 0 to 1."""
        return self.curve[-1].val_accuracy


@dataclass(frozen=True, slots=True)
class TestLook:
    """A network that was tried on the test images.

    Attributes:
        digest: Of the network.
        accuracy: On the test images, in 0 to 1.
        command: Command that looked, such as ``export``.
        looked_at: When, in UTC (ISO 8601).
    """

    __test__ = False  # not one of pytest's

    digest: str
    accuracy: float
    command: str
    looked_at: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A network that ``nas train`` trained on the images of a study: what a search has to be better than.

    Attributes:
        name: Of the preset, the space or the file.
        digest: Of the network.
        flops: FLOPs of one image, as fvcore counts them.
        params: Number of trainable parameters.
        activations: Number of output elements of all convolutions and linear layers for one image.
        resolution: In pixels.
        accuracies: On the validation images of the study after the last epoch, in 0 to 1, one for each seed.
        pretrained: Whether it began from given weights.
        epochs: That it was trained.
        command: By which it was trained.
    """

    name: str
    digest: str
    flops: int
    params: int
    activations: int
    resolution: int
    accuracies: tuple[float, ...]
    pretrained: bool
    epochs: int
    command: str = ""

    @property
    def mean_accuracy(self) -> float:
        """Mean over the seeds, in 0 to 1."""
        return sum(self.accuracies) / len(self.accuracies)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of a network as an ONNX file.

    Attributes:
        flops: FLOPs of one image, as fvcore counts them; the same whatever numbers it computes with.
        params: Number of trainable parameters.
        weight_bytes: Of all tensors in the file.
        file_bytes: Of the file.
        val_accuracy: On the validation images, in 0 to 1; None where it was not measured.
        latency_ms: Processor time of one image in milliseconds, median; None where it was not measured. All files of a
            chain were measured by turns, so that only their ratios matter.
    """

    flops: int
    params: int
    weight_bytes: int
    file_bytes: int
    val_accuracy: float | None
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class Variant:
    """A network that ``nas compress`` made of another one.

    Attributes:
        name: What it is, for people: ``digits#3 pruned by 50 %, int8``.
        step: What made it of its parent: ``pruned``, ``trained``, ``int8``, ``weights-int8`` or ``weights-int4``.
        digest: Of the network, whatever numbers it computes with.
        precision: Of its weights: ``float32``, ``int8`` or ``int4``.
        parent: Name of what it was made of.
        parent_digest: Of that.
        parent_precision: Of that.
        trial: Number of the study's trial that the chain began with; None where it began with another network.
        figures: Of the variant.
        parent_figures: Of its parent, measured with it.
        test_accuracy: On the test images, in 0 to 1, of the one that was kept; else None.
        kept: Whether it is the one that the chain was run for.
        refused: Why it would have been refused without ``--keep``; empty where it would not.
        provenance: Steps with their options, teachers, seeds, versions and machine, the command: plain JSON data.
    """

    name: str
    step: str
    digest: str
    precision: str
    parent: str
    parent_digest: str
    parent_precision: str
    trial: int | None
    figures: Figures
    parent_figures: Figures
    test_accuracy: float | None
    kept: bool
    refused: str
    provenance: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def drop(self) -> float | None:
        """Validation accuracy that is lost against the parent, in 0 to 1; below 0 where it rose."""
        before, after = self.parent_figures.val_accuracy, self.figures.val_accuracy
        return None if before is None or after is None else before - after

    @property
    def speed(self) -> float | None:
        """How many times as fast as the parent."""
        before, after = self.parent_figures.latency_ms, self.figures.latency_ms
        return None if before is None or after is None else before / after


def metric_name(metric: Metric) -> str:
    """Return a metric in words."""
    return {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}[metric]
