"""Which criterion prunes a network best, told in seconds: with batch norms estimated anew and no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from nas.architecture.spec import Architecture
from nas.compress.importance import CRITERIA, Criterion
from nas.compress.prune import Pruned, Scope, prune_network
from nas.data.batches import standardisation
from nas.data.sources import Dataset
from nas.training.evaluate import evaluate
from nas.training.norms import chosen_images, recompute_statistics
from nas.training.preparing import bring, build_on, own_state, validation_batch
from nas.training.recipe import Recipe


class Ranked(NamedTuple):
    """What a criterion leaves of a network.

    Attributes:
        criterion: What channels were judged by.
        pruned: The network, its batch norms estimated anew.
        val_accuracy: Of the validation images, before any training, in 0 to 1.
    """

    criterion: Criterion
    pruned: Pruned
    val_accuracy: float


def rank_criteria(
    architecture: Architecture,
    state: Mapping[str, Tensor],
    dataset: Dataset,
    *,
    recipe: Recipe | None = None,
    flops: float = 0.5,
    multiple: int = 8,
    scope: Scope = "uniform",
    criteria: Sequence[Criterion] = CRITERIA,
    device: torch.device,
    seed: int = 0,
) -> list[Ranked]:
    """Prune a network by each criterion, and return them by validation accuracy, the best first.

    Args:
        architecture: Of the network.
        state: Its parameters and buffers.
        dataset: Its images; batch norms are estimated on 256 to 1024 of those for training.
        recipe: Tells precision, layout, threads and metric.
        flops: As for ``prune_network``, likewise ``multiple``, ``scope`` and ``seed``.
        multiple: Of the channels.
        scope: Where they are removed.
        criteria: To compare.
        device: Where.
        seed: Also of the images that are chosen.

    Raises:
        ConfigError: As ``prune_network`` does, likewise the next.
        WeightsError: The state is not the network's.
    """
    recipe = recipe or Recipe()
    prune = partial(prune_network, architecture, state, flops=flops, multiple=multiple, scope=scope, seed=seed)
    part = partial(
        bring,
        resolution=architecture.resolution,
        standard=standardisation(dataset),
        recipe=recipe,
        device=device,
    )
    validation = part(dataset.validation)
    of_norms = part(dataset.train.take(chosen_images(len(dataset.train), seed=seed)))
    precision, batch = recipe.precision, validation_batch(architecture, device)
    ranked = []
    for criterion in criteria:
        pruned = prune(criterion=criterion)
        with own_state(device, seed=seed, threads=recipe.cpu_threads):
            model = build_on(device, pruned.architecture, recipe)
            model.load_state_dict(pruned.state)
            recompute_statistics(model, of_norms, precision=precision, batch=batch)
            found = evaluate(model, validation, precision=precision, batch=batch, metric=recipe.metric)
        pruned.state.update({name: tensor.detach().cpu() for name, tensor in model.state_dict().items()})
        ranked.append(Ranked(criterion, pruned, found.accuracy))
    return sorted(ranked, key=lambda one: -one.val_accuracy)
