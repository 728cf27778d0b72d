"""A study's network after further trainings, with all that a bundle says of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nas.architecture.spec import Architecture
from nas.data.batches import standardisation
from nas.data.sources import Dataset
from nas.data.types import ImageSet
from nas.export.origin import ImagesOf, told_recipe
from nas.export.trained import CALIBRATED, Trained, preprocessing_of, some_images
from nas.models.backends import Latency
from nas.models.build import build_model
from nas.records import TrialRecord
from nas.training.preparing import bring
from nas.training.recipe import Recipe
from nas.training.repeat import SeedResult


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
    images_of: ImagesOf | None = None,
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
        images_of: Where the images are.
    """
    best = max(results, key=lambda result: result.val_accuracy)
    model = build_model(architecture).eval()
    model.load_state_dict({name: tensor.cpu() for name, tensor in best.model.state_dict().items()})
    shown = some_images(dataset.validation, architecture.resolution)
    seen = some_images(dataset.train, architecture.resolution, most=CALIBRATED)

    def inputs(images: ImageSet) -> torch.Tensor:
        standard, cpu = standardisation(dataset), torch.device("cpu")
        brought = bring(images, resolution=architecture.resolution, standard=standard, recipe=recipe, device=cpu)
        return next(brought.in_order(len(images))).images.contiguous()

    return Trained(
        architecture,
        model,
        preprocessing_of(dataset, architecture.resolution),
        f"{origin}, trained anew (seed {best.repeat + 1} of {len(results)}, the best on validation images)",
        best.val_accuracy,
        best.test.accuracy,
        int(np.sum(best.test.confusion)),
        inputs(shown),
        shown.images,
        f"{len(shown)} validation images",
        dataset.name,
        told_recipe(recipe.resolved(len(dataset.train)).model_dump(mode="json")),
        tuple(result.val_accuracy for result in results),
        command,
        trial,
        latency,
        shown.labels,
        lambda: inputs(seen).numpy(),
        images_of=images_of,
        tested=tuple(result.test.accuracy for result in results),
    )
