"""What a training needs of its device before the first step: room, images, a network, a state of its own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from nas.architecture.cost import count_cost
from nas.architecture.spec import Architecture
from nas.data.batches import ImageBatches, Standardisation, to_device
from nas.data.sources import DataConfig, Dataset
from nas.data.types import ImageSet
from nas.errors import ConfigError, DeviceError
from nas.models.build import Network, build_model
from nas.models.depthwise import DepthwiseConv, compiles_first
from nas.models.device import device_memory
from nas.models.memory import estimate_training_memory
from nas.processes.threads import cpu_threads
from nas.training.allocator import kept_memory
from nas.training.evaluate import LARGEST_BATCH
from nas.training.recipe import Recipe
from nas.training.step import SMALLEST_BATCH, resolved_precision
from nas.units import format_bytes

_SHARE_OF_IMAGES = 0.5  # of a device's free memory, for each part of a data set


def require_batch(recipe: Recipe, train_images: int) -> None:
    """Raise ConfigError where the steps of a recipe are too small for batch norm."""
    if (images := recipe.step_images(train_images)) < SMALLEST_BATCH:
        raise ConfigError(
            f"recipe.batch_size: steps of {images} image are too small: batch norm needs at least {SMALLEST_BATCH} at"
            " once"
        )


def bring(
    part: ImageSet, *, resolution: int, standard: Standardisation, recipe: Recipe, device: torch.device
) -> ImageBatches:
    """Bring images to a device as a recipe wants them, batch by batch where they take half of its free memory.

    Args:
        part: Training, validation or test images.
        resolution: Height and width in pixels.
        standard: Of the training images.
        recipe: Tells the layout.
        device: Where.
    """
    return to_device(
        part,
        resolution=resolution,
        standard=standard,
        device=device,
        room=room_for_images(device),
        channels_last=recipe.channels_last,
    )


def room_for_images(device: torch.device) -> int:
    """Return how many bytes of a device's memory a part of a data set may take."""
    return round(_SHARE_OF_IMAGES * device_memory(device).free)


def validation_batch(architecture: Architecture, device: torch.device) -> int:
    """Return how many images to look at at once without gradients: as many as a quarter of the memory holds."""
    most = device_memory(device).total // (4 * 2 * count_cost(architecture).peak_memory)
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, most))


def fitting_batch(architecture: Architecture, batch: int, device: torch.device) -> int | None:
    """Return how many images of a batch a device is sure to have memory for at once, or None where all of them.

    Where a CPU has not the memory, the system ends the process, so its steps are halved beforehand, by an estimate. A
    GPU says so, and its steps are halved then.

    Raises:
        DeviceError: There is not memory for the smallest step.
    """
    total, cost = device_memory(device).total, count_cost(architecture)
    least = estimate_training_memory(cost, batch=SMALLEST_BATCH).low
    if least > total:
        raise DeviceError(
            f"training {architecture.name or 'the network'} at {architecture.resolution} px needs at least"
            f" {format_bytes(least)} for {SMALLEST_BATCH} images at once, but {device} has {format_bytes(total)}"
        )
    fitting = batch
    while device.type == "cpu" and fitting > SMALLEST_BATCH:
        if estimate_training_memory(cost, batch=fitting).high <= total:
            break
        fitting = max(SMALLEST_BATCH, math.ceil(fitting / 2))
    return None if fitting == batch else fitting


def flips(dataset: Dataset, recipe: Recipe) -> bool:
    """Tell whether training images are mirrored at random: as the recipe says, or else as the images allow."""
    return dataset.mirrors if recipe.flip is None else recipe.flip


def mirror_note(data: DataConfig, dataset: Dataset, recipe: Recipe) -> str | None:
    """Return what to say where images of unknown content are taken for photographs, which may be mirrored."""
    guessed = data.folder is not None or data.hf is not None
    if recipe.flip is not None or not guessed or not dataset.mirrors:
        return None
    return "images are mirrored at random; recipe.flip: false if a mirrored image shows something else"


def regularised(architecture: Architecture, recipe: Recipe) -> Architecture:
    """Return a network with the dropout and stochastic depth that a recipe sets in place of its own."""
    dropout, depth = recipe.dropout, recipe.stochastic_depth
    return dataclasses.replace(
        architecture,
        dropout=architecture.dropout if dropout is None else dropout,
        stochastic_depth=architecture.stochastic_depth if depth is None else depth,
    )


@contextmanager
def own_state(device: torch.device, *, seed: int, threads: int) -> Iterator[None]:
    """Run with a seed and a number of CPU threads, and leave both as they were."""
    cuda = device.type == "cuda"
    # streams, events and graphs of torch are those of the current device
    current = torch.cuda.device(device) if cuda else nullcontext()
    with kept_memory(), current, cpu_threads(threads), torch.random.fork_rng(devices=[device] if cuda else []):
        torch.manual_seed(seed)
        yield


def build_on(device: torch.device, architecture: Architecture, recipe: Recipe) -> Network:
    """Return a fresh network on a device, as a recipe wants it: layout, kernels, and the norms' momentum."""
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    model: Network = build_model(architecture).to(device=device, memory_format=layout)  # type: ignore[call-overload]
    computes = {"device": device.type, "dtype": getattr(torch, resolved_precision(recipe.precision, device))}
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and recipe.norm_momentum is not None:
            module.momentum = recipe.norm_momentum
        if isinstance(module, DepthwiseConv) and recipe.depthwise == "torch":
            module.own_kernels = compiles_first(module, **computes, channels_last=recipe.channels_last)
    return model
