"""One training of a study: what it takes to do it, and what it gives. Knows of no database and no other training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from nas.architecture.spec import Architecture
from nas.data.sources import Dataset
from nas.models.device import describe_device
from nas.records import Epoch, Trained
from nas.training.checkpoint import save_weights
from nas.training.loop import train
from nas.training.neighbours import NOBODY, Neighbours
from nas.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Job:
    """A training to be done, or to be gone on with.

    Attributes:
        architecture: Of the network.
        recipe: How it is trained.
        seed: Of the training.
        checkpoint: File to go on from and to write to. It is there at the end too, so that a result that nobody kept
            is there again at once; whoever keeps it removes the file.
        weights: File for the trained weights; without it they are not kept.
    """

    architecture: Architecture
    recipe: Recipe
    seed: int
    checkpoint: Path
    weights: Path | None = None


def do_job(
    job: Job,
    dataset: Dataset,
    *,
    device: torch.device,
    on_epoch: Callable[[Epoch], None],
    go_on: Callable[[Epoch], bool] | None = None,
    stop: Callable[[], bool] | None = None,
    neighbours: Neighbours = NOBODY,
) -> Trained:
    """Train to the end, or to the first epoch after which ``go_on`` says no.

    Args:
        job: What to do.
        dataset: Training and validation images.
        device: Where.
        on_epoch: Called after each epoch, and first with those gone on from.
        go_on: Asked after each epoch but the last.
        stop: Asked after each step whether to end here.
        neighbours: Other trainings of this process.

    Raises:
        TrainingDiverged: The loss of an epoch is not finite.
        TrainingStopped: ``stop`` said so; the checkpoint is written.
        StudyError: Checkpoint or weights cannot be written.
        DeviceError: There is not memory for the smallest step.
    """
    result = train(
        job.architecture,
        dataset,
        job.recipe,
        seed=job.seed,
        device=device,
        on_epoch=on_epoch,
        checkpoint=job.checkpoint,
        keep_checkpoint=True,
        go_on=go_on,
        stop=stop,
        neighbours=neighbours,
    )
    if job.weights is not None and not result.paused:
        save_weights(result.model, job.weights)
    return Trained(
        paused=result.paused,
        curve=result.curve,
        device=describe_device(device),
        train_seconds=result.train_seconds,
        micro_batch=result.micro_batch,
        data_share=result.data_share,
        answers=result.answers,
    )
