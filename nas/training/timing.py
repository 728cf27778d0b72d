"""How long a training step takes."""

from __future__ import annotations

import itertools
import statistics
import time
from typing import NamedTuple

import numpy as np
import torch

from nas.architecture.spec import Architecture
from nas.data.batches import standardisation, to_device
from nas.data.sources import Dataset
from nas.training.preparing import (
    build_on,
    fitting_batch,
    flips,
    own_state,
    regularised,
    room_for_images,
)
from nas.training.recipe import Recipe
from nas.training.run import Run
from nas.training.step import STEPS_BEFORE_REPLAY
from nas.training.teachers import load_teachers

_WARM_UP = 2  # steps that are not timed on a CPU
_ROUND_ON_GPU = 20  # steps that are timed together: within a training nobody waits for each


class StepTime(NamedTuple):
    """Seconds of a training step, batch and all, and the share of them that went into making the batch."""

    seconds: float
    data_share: float


def time_step(
    architecture: Architecture, dataset: Dataset, recipe: Recipe, *, device: torch.device, steps: int = 5
) -> StepTime:
    """Time the training step on a data set, warmed up, as the median of a few.

    Args:
        architecture: What to time.
        dataset: Whose training images are used.
        recipe: How; its length and schedule do not matter.
        device: Where.
        steps: Number of timed steps; on a GPU, of rounds of some.
    """
    warm_up, length = (STEPS_BEFORE_REPLAY, _ROUND_ON_GPU) if device.type == "cuda" else (_WARM_UP, 1)
    total = warm_up + steps * length
    fixed = {"epochs": None, "images": None, "steps": total, "schedule": "constant", "progressive": 1.0}
    recipe = recipe.model_copy(update=fixed)
    architecture = regularised(architecture, recipe)
    images = len(dataset.train)
    with own_state(device, seed=0, threads=recipe.cpu_threads):
        batch = recipe.step_images(images)
        model = build_on(device, architecture, recipe)
        generator = torch.Generator(device).manual_seed(0)
        micro_batch = fitting_batch(architecture, batch, device)
        run = Run(
            model,
            architecture,
            recipe,
            train_images=images,
            generator=generator,
            micro_batch=micro_batch,
            teachers=load_teachers(recipe, dataset, device=device, resolution=architecture.resolution),
        )
        train_set = to_device(
            dataset.train.take(np.arange(min(images, batch * total))),
            resolution=run.image_size,
            standard=standardisation(dataset),
            device=device,
            room=None if room_for_images(device) >= images * run.image_size**2 * dataset.channels else 0,
            channels_last=recipe.channels_last,
        )
        batches = run.all_batches(train_set, flip=flips(dataset, recipe))

        def seconds(count: int) -> float:
            started = time.perf_counter()
            run.take_steps(itertools.islice(batches, count))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return (time.perf_counter() - started) / count

        seconds(warm_up)
        run.clock.reset()
        return StepTime(statistics.median(seconds(length) for _ in range(steps)), run.clock.share)
