"""Whether trainings share the processes of their GPUs, and for how many there is memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import torch

from nas.architecture.cost import count_cost
from nas.architecture.serialization import architecture_from_json
from nas.config.study import StudyConfig
from nas.data.sources import Dataset
from nas.errors import ConfigError
from nas.executors.sharing import Sharing
from nas.executors.task import Task
from nas.models.device import device_memory
from nas.models.memory import estimate_training_memory
from nas.training.preparing import room_for_images, validation_batch
from nas.training.recipe import Recipe


def sharing_of(
    config: StudyConfig, dataset: Callable[[], Dataset], devices: Sequence[torch.device], *, wanted: bool
) -> Sharing | None:
    """Return which trainings share a process: those for which their GPU's memory, as it is now, is enough; or None.

    Args:
        config: Of the study.
        dataset: Gives its images.
        devices: Of each training that runs at the same time.
        wanted: Whether trainings are to share GPUs at all.

    Raises:
        ConfigError: They cannot.
    """
    if not wanted:
        return None
    if devices[0].type != "cuda":
        raise ConfigError(f"--share-gpu needs a GPU, but trainings run on {devices[0]}")
    if len(devices) == 1:
        raise ConfigError("--share-gpu needs --workers above 1: so many networks share a GPU")
    if config.recipe.compile:
        raise ConfigError("--share-gpu needs recipe.compile: false: a process compiles one network at a time")
    free = min(device_memory(device).free for device in dict.fromkeys(devices))
    images = room_for_images(devices[0])
    known = dict[str, int]()

    def needs(task: Task) -> int:
        if task.key not in known:
            known[task.key] = needed_bytes(task, dataset(), devices[0], room_for_images=images)
        return known[task.key]

    return Sharing(needs, free)


def needed_bytes(task: Task, dataset: Dataset, device: torch.device, *, room_for_images: int) -> int:
    """Return how many bytes of a device a training takes, by estimates that are high: step, validation and images.

    What is measured of a training in a shared process is that of all of them, so nothing is learned from it.

    Args:
        task: The training.
        dataset: Of the training.
        device: Of the training.
        room_for_images: Bytes; a part of the images that takes more comes batch by batch, and counts for nothing.
    """
    architecture = architecture_from_json(task.architecture, source=f"network of task {task.key}")
    recipe = Recipe.model_validate_json(json.dumps(dict(task.recipe)))
    cost = count_cost(architecture)
    step = estimate_training_memory(cost, batch=recipe.step_images(len(dataset.train))).high
    validation = 2 * cost.peak_memory * validation_batch(architecture, device)
    sizes = [len(part) * architecture.resolution**2 * dataset.channels for part in (dataset.train, dataset.validation)]
    return step + validation + sum(size for size in sizes if size <= room_for_images)
