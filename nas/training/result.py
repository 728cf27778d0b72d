"""What a training gives: a curve, and a trained network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from nas.models.build import Network
from nas.records import ClassNumbers, Epoch


class StepDone(NamedTuple):
    """How far a training is.

    Attributes:
        done: Steps taken.
        of: Steps in all.
        accuracy: Gives the share right of the images that this epoch has shown so far, in 0 to 1; on a GPU the host
            waits for it.
    """

    done: int
    of: int
    accuracy: Callable[[], float]


class Score(NamedTuple):
    """Mean loss, and share of the images right in 0 to 1."""

    loss: float
    accuracy: float


class Validation(NamedTuple):
    """What a model does on images that it does not learn from.

    Attributes:
        loss: Mean cross-entropy.
        accuracy: Share of images right, in 0 to 1.
        answers: Class that each image was taken for, int64 of shape (images,), on the device.
    """

    loss: float
    accuracy: float
    answers: Tensor


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a model does on a set of images.

    Attributes:
        loss: Mean cross-entropy.
        top5: Share of images whose label is among the five largest logits, in 0 to 1.
        confusion: How often an image of the class of the row was taken for the class of the column.
    """

    loss: float
    top5: float
    confusion: tuple[tuple[int, ...], ...]

    @property
    def accuracy(self) -> float:
        """Share of images whose largest logit is that of their label, in 0 to 1."""
        return sum(row[i] for i, row in enumerate(self.confusion)) / sum(map(sum, self.confusion))

    @property
    def by_class(self) -> tuple[float | None, ...]:
        """Accuracy on the images of each class; None for a class without images."""
        return tuple(row[i] / sum(row) if sum(row) else None for i, row in enumerate(self.confusion))


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained network.

    Attributes:
        model: In eval mode, on the device it was trained on.
        curve: One entry per epoch.
        train_seconds: Of all epochs, validation included, interruptions left out.
        steps: Optimiser steps that were taken.
        answers: Class that the network took each validation image for after the last epoch, int64 of shape (images,).
        micro_batch: Most images that the memory of the device had room for at once; None for whole batches.
        data_share: Share of the steps' time that went into making batches, in 0 to 1.
        paused: Whether it was paused before its end.
    """

    model: Network
    curve: tuple[Epoch, ...]
    train_seconds: float
    steps: int
    answers: ClassNumbers = field(compare=False, repr=False)
    micro_batch: int | None = None
    data_share: float = 0.0
    paused: bool = False

    @property
    def val_accuracy(self) -> float:
        """Of the last epoch: choosing the best would flatter noisy networks."""
        return self.curve[-1].val_accuracy
