"""Weights that become zeros while a trained network is trained on: fewer bytes when it is compressed, no speed.

A convolution computes with zeros as it does with other numbers. To be faster as well, remove whole channels
(``nas.compress.prune``).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from nas.architecture.spec import Architecture
from nas.data.sources import Dataset
from nas.schema import validate
from nas.training.loop import train
from nas.training.recipe import Recipe
from nas.training.result import TrainingResult
from nas.training.sparsity import Sparsity


class Stored(NamedTuple):
    """What a network's weights take up in a file.

    Attributes:
        bytes: Of the safetensors file.
        compressed: Of the same file compressed by zlib at level 9, which is what zip and gzip do.
    """

    bytes: int
    compressed: int


class Sparse(NamedTuple):
    """A network many of whose weights are zeros.

    Attributes:
        training: What came of it; ``training.model`` is the network.
        zeros: Share of its parameters that are zeros, in 0 to 1. It is below what was asked for: the first
            convolution, depthwise ones, norms and biases keep all of theirs.
        stored: What it takes up.
    """

    training: TrainingResult
    zeros: float
    stored: Stored


def sparsify(
    architecture: Architecture,
    state: Mapping[str, Tensor],
    dataset: Dataset,
    *,
    sparsity: float | Sparsity,
    recipe: Recipe | None = None,
    seed: int = 0,
    device: torch.device,
    **options: Any,
) -> Sparse:
    """Train a trained network on while its smallest weights become zeros, by the schedule of ``Sparsity``.

    The same training comes of ``recipe.sparsity`` wherever a recipe is used, with ``initial=state``.

    Args:
        architecture: Of the network.
        state: Its parameters and buffers. What is zero among its weights stays it.
        dataset: Images to train on.
        sparsity: Share of each layer's weights that become zeros, above 0 and below 1, or a whole schedule.
        recipe: Of the training; default: 10 epochs. Few epochs leave those weights that stay little time to make up for
            the others.
        seed: Of the training.
        device: Where.
        options: Of ``nas.train``, such as ``on_epoch`` and ``checkpoint``.

    Raises:
        ConfigError: The sparsity is not allowed, or does not go with the recipe.
        TrainingDiverged: As ``nas.train``.
    """
    given = sparsity.model_dump() if isinstance(sparsity, Sparsity) else sparsity
    document = {**(recipe or Recipe()).model_dump(exclude_unset=True), "sparsity": given}
    sparse = validate(Recipe, document, source="recipe")
    result = train(architecture, dataset, sparse, seed=seed, device=device, initial=state, **options)
    return Sparse(result, share_of_zeros(result.model), stored_bytes(result.model.state_dict()))


def share_of_zeros(model: torch.nn.Module) -> float:
    """Return the share of a network's parameters that are exactly zero."""
    tensors = [parameter.detach() for parameter in model.parameters()]
    return sum(int((tensor == 0).sum()) for tensor in tensors) / sum(tensor.numel() for tensor in tensors)


def stored_bytes(state: Mapping[str, Tensor]) -> Stored:
    """Return what a network's weights take up in a file, as it is and compressed."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    return Stored(len(content), len(zlib.compress(content, 9)))
