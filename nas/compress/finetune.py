"""Training a network on from the weights that it has, without a look at the test images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nas.architecture.spec import Architecture
from nas.data.sources import Dataset
from nas.errors import TrainingDiverged
from nas.records import Epoch
from nas.training.loop import train, trial_seed
from nas.training.preparing import require_batch
from nas.training.recipe import Recipe
from nas.training.repeat import AFTER_SEARCHES, UNFINISHED
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
    require_batch(recipe, len(dataset.train))
    results, reason = dict[int, TrainingResult](), ""
    for seed in range(seeds):
        try:
            results[seed] = train(
                architecture,
                dataset,
                recipe,
                seed=trial_seed(0, architecture.digest, AFTER_SEARCHES + seed),
                device=device,
                on_epoch=partial(watch.epoch, seed),
                on_step=partial(watch.step, seed),
                checkpoint=folder / UNFINISHED.format(seed),
                keep_checkpoint=True,
                initial=state,
            )
        except TrainingDiverged as error:
            reason = str(error)
            watch.line(f"seed {seed + 1}/{seeds}  diverged: {reason}")
            continue
        watch.line(f"seed {seed + 1}/{seeds}  validation {100 * results[seed].val_accuracy:.2f} %")
    if not results:
        raise TrainingDiverged(f"every training diverged, {seeds} of {seeds}; the last: {reason}")
    best = max(results.values(), key=lambda result: result.val_accuracy)
    return Tuned(best, {seed: result.val_accuracy for seed, result in results.items()})
