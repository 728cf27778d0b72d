"""Batch norm's statistics of the weights as they are now.

Running averages are those of the weights of the last steps: after few steps, or at a high learning rate, they fit the
present weights so badly that a network with every training image right validates at chance. Here they are computed anew
over some training images, as "precise batch norm" (Wu & Johnson 2021, arXiv:2105.07576, section 3.1).
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nas.data.batches import Batch, ImageBatches
from nas.data.types import Indices
from nas.models.build import Network
from nas.training.recipe import Precision
from nas.training.step import SMALLEST_BATCH, autocast, is_out_of_memory

_SHARE, _FEWEST, _MOST = 0.02, 256, 1024


def chosen_images(count: int, *, seed: int) -> Indices:
    """Return which of so many training images statistics are computed over: the same for the same seed.

    They are about a fiftieth, which takes less than a hundredth of an epoch's time, but no fewer than 256 and no more
    than 1024: as good as all of them (studies/results/training/norms.md). A power of two makes batches of the shape
    that the validation has, for which a GPU's libraries are prepared.
    """
    wanted = min(_MOST, max(_FEWEST, 2 ** round(math.log2(max(1, _SHARE * count)))))
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:wanted].numpy().astype(np.intp)


def twin(network: Network) -> Network:
    """Return a network that shares another's parameters, now and later, and has norms of its own."""
    return copy.deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})


def recompute_statistics(model: nn.Module, images: ImageBatches, *, precision: Precision, batch: int) -> None:
    """Give all batch norms of a model the mean and variance that their inputs have over some images.

    Nothing is drawn at random, dropout and stochastic depth are off, and the host does not wait for the device.

    Args:
        model: In eval mode afterwards.
        images: On the model's device, at the resolution of the validation.
        precision: As in a recipe.
        batch: Images at once; fewer where the device has not the memory.

    Raises:
        RuntimeError: Not even two images fit into the memory at once.
    """
    batch = min(batch, len(images))
    with _counting(model) as norms:
        while True:
            try:
                seen = [_of_batch(model, norms, part, precision) for part in _equal_batches(images, batch)]
                break
            except RuntimeError as error:
                if not is_out_of_memory(error) or batch <= SMALLEST_BATCH:
                    raise
                batch = max(SMALLEST_BATCH, batch // 2)
        for norm, means, variances in zip(norms, *map(_stacked, zip(*seen, strict=True)), strict=True):
            _tensor(norm.running_mean).copy_(means.mean(dim=0))
            _tensor(norm.running_var).copy_(variances.mean(dim=0) + means.var(dim=0, unbiased=False))


class _Seen(NamedTuple):
    """Mean and variance of one batch, each of shape (channels,), for each norm."""

    means: list[Tensor]
    variances: list[Tensor]


@contextmanager
def _counting(model: nn.Module) -> Iterator[list[nn.BatchNorm2d]]:
    """Give the norms of a model in eval mode while they, and nothing else, are in training mode, without gradients."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    try:
        for norm in norms:
            norm.train()
            norm.momentum = 1.0  # the running averages are then those of the last batch
        with torch.no_grad():
            yield norms
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.eval()


def _equal_batches(images: ImageBatches, most: int) -> Iterator[Batch]:
    """Yield batches of one size, leaving out the few images that fill none."""
    size = max(SMALLEST_BATCH, len(images) // math.ceil(len(images) / most))
    return itertools.islice(images.in_order(size), max(1, len(images) // size))


def _of_batch(model: nn.Module, norms: list[nn.BatchNorm2d], batch: Batch, precision: Precision) -> _Seen:
    with autocast(batch.images.device, precision):
        model(batch.images)
    return _Seen(
        [_tensor(norm.running_mean).clone() for norm in norms], [_tensor(norm.running_var).clone() for norm in norms]
    )


def _stacked(batches: tuple[list[Tensor], ...]) -> list[Tensor]:
    """Return a tensor (batches, channels) for each norm."""
    return [torch.stack(values) for values in zip(*batches, strict=True)]


def _tensor(value: Tensor | None) -> Tensor:
    assert value is not None  # every norm here keeps running averages
    return value
