"""A study's network after further trainings, with all that a bundle says of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nas.architecture.spec import Architecture
from nas.data.batches import standardisation
from nas.data.sources import Dataset
from nas.export.trained import Trained, preprocessing_of
from nas.models.backends import Latency
from nas.models.build import build_model
from nas.records import TrialRecord
from nas.training.preparing import bring
from nas.training.recipe import Recipe
from nas.training.repeat import SeedResult

_SHOWN = 64  # images on which the formats are compared


def trained_anew(
    architecture: Architecture,
    dataset: Dataset,
    recipe: Recipe,
    results: Sequence[SeedResult],
    *,
    origin: str,
    command: str,
    trial: TrialRecord,
    latency: Latency | None = None,
) -> Trained:
    """Return a trial's network after further trainings: of their seeds, the best on the validation images.

    Args:
        architecture: Of the trial.
        dataset: The images that it was trained on.
        recipe: How it was trained.
        results: At least one.
        origin: Where the trial was, for people.
        command: What trains and exports it.
        trial: Whose network it is; its own training is not counted.
        latency: Of the network, if it was measured.
    """
    best = max(results, key=lambda result: result.val_accuracy)
    model = build_model(architecture).eval()
    model.load_state_dict({name: tensor.cpu() for name, tensor in best.model.state_dict().items()})
    shown = dataset.validation.take(np.arange(min(_SHOWN, len(dataset.validation))))
    standard, cpu = standardisation(dataset), torch.device("cpu")
    brought = bring(shown, resolution=architecture.resolution, standard=standard, recipe=recipe, device=cpu)
    return Trained(
        architecture,
        model,
        preprocessing_of(dataset, architecture.resolution),
        f"{origin}, trained anew (seed {best.repeat + 1} of {len(results)}, the best on validation images)",
        best.val_accuracy,
        best.test.accuracy,
        int(np.sum(best.test.confusion)),
        next(brought.in_order(_SHOWN)).images.contiguous(),
        shown.images,
        f"{len(shown)} validation images",
        dataset.name,
        recipe.resolved(len(dataset.train)).model_dump(mode="json"),
        tuple(result.val_accuracy for result in results),
        command,
        trial,
        latency,
        tested=tuple(result.test.accuracy for result in results),
    )
