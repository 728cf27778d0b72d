"""Whose fault an error of a training is: the network's, the device's, or that of what is around it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch

from nas.architecture.presets import preset
from nas.data.sources import Dataset
from nas.errors import ArchitectureError, DeviceError, TrainingDiverged, UserError
from nas.executors.task import Fault
from nas.training.loop import train
from nas.training.recipe import Recipe

_CANARY_IMAGES = 16


def fault_of(error: Exception, recipe: Recipe, dataset: Dataset, device: torch.device) -> Fault:
    """Tell whose fault an error is.

    What no type tells is tried: where a network that is known to be good cannot take a step either, with the same
    recipe on the same device, it is not the network's.

    Args:
        error: That a training raised.
        recipe: Of the training.
        dataset: Of the training.
        device: Of the training.
    """
    if isinstance(error, TrainingDiverged):
        return "diverged"
    if isinstance(error, DeviceError | torch.OutOfMemoryError | MemoryError):
        return "memory"
    if isinstance(error, ArchitectureError):
        return "network"
    if isinstance(error, UserError | OSError | ImportError) or not _canary_lives(recipe, dataset, device):
        return "surroundings"
    return "network"


def is_fatal(error: BaseException) -> bool:
    """Tell whether a GPU's state is lost for this process, so that only a new one can go on."""
    return "CUDA error" in str(error) and not isinstance(error, torch.OutOfMemoryError)


def reason_of(error: BaseException) -> str:
    """Return an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:1000]


def _canary_lives(recipe: Recipe, dataset: Dataset, device: torch.device) -> bool:
    """Tell whether a ResNet-18 takes a step on some of the images."""
    some = np.arange(min(_CANARY_IMAGES, len(dataset.train), len(dataset.validation)))
    few = replace(dataset, train=dataset.train.take(some), validation=dataset.validation.take(some))
    length = {"epochs": 1, "steps": None, "images": None, "batch_size": len(some)}
    once = recipe.model_copy(update={**length, "cpu_threads": 1})
    network = preset("resnet18", num_classes=len(dataset.classes), in_channels=dataset.channels, resolution=32)
    with suppress(TrainingDiverged):
        try:
            train(network, few, once, seed=0, device=device)
        except TrainingDiverged:
            raise
        except Exception:
            return False
    return True
