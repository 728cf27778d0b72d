"""Training a network on from the weights that it has, without a look at the test images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nas.architecture.spec import Architecture
from nas.data.sources import Dataset
from nas.records import Epoch
from nas.training.recipe import Recipe
from nas.training.repeat import AFTER_SEARCHES, train_seeds
from nas.training.result import StepDone, TrainingResult


class Tuned(NamedTuple):
    """What trainings from several seeds came to.

    Attributes:
        best: Of them on the validation images.
        accuracies: On the validation images, by the number of the seed; of those that did not diverge.
    """

    best: TrainingResult
    accuracies: dict[int, float]


class Watch(NamedTuple):
    """What is told of trainings, with the number of the seed.

    Attributes:
        epoch: Called after each epoch.
        step: Called after each step.
        line: Called with a line about the end of each training.
    """

    epoch: Callable[[int, Epoch], None]
    step: Callable[[int, StepDone], None]
    line: Callable[[str], None]


def fine_tune(
    architecture: Architecture,
    state: Mapping[str, Tensor],
    dataset: Dataset,
    recipe: Recipe,
    *,
    seeds: int,
    device: torch.device,
    folder: Path,
    watch: Watch,
) -> Tuned:
    """Train a network on from several seeds, and return the one that is best on the validation images.

    Args:
        architecture: Of the network.
        state: Its parameters and buffers.
        dataset: Training and validation images.
        recipe: How.
        seeds: Number of trainings.
        device: Where.
        folder: Holds checkpoints, with which the same training goes on after an interruption.
        watch: Is told how far it is.

    Raises:
        ConfigError: The steps are too small.
        TrainingDiverged: All of them diverged.
    """
    results = dict[int, TrainingResult]()
    trained = train_seeds(
        architecture,
        dataset,
        recipe,
        repeats=seeds,
        counted_from=AFTER_SEARCHES,
        device=device,
        initial=state,
        folder=folder,
        on_epoch=watch.epoch,
        on_step=watch.step,
        on_diverged=lambda seed, reason: watch.line(f"seed {seed + 1}/{seeds}  diverged: {reason}"),
    )
    for seed, result in trained:
        results[seed] = result
        watch.line(f"seed {seed + 1}/{seeds}  validation {100 * result.val_accuracy:.2f} %")
    best = max(results.values(), key=lambda result: result.val_accuracy)
    return Tuned(best, {seed: result.val_accuracy for seed, result in results.items()})
