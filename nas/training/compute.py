"""What a training takes, counted in closed form, and how much longer one without teachers takes as much.

A step takes three forward passes of the network for each image: one forward, and two for the gradients of activations
and weights (Hoffmann et al. 2022, arXiv:2203.15556, §F). A teacher is asked forward only: for every image of each step,
or once for each training image. Validation and augmentation are left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from nas.architecture.cost import count_cost
from nas.architecture.spec import Architecture
from nas.data.sources import Dataset
from nas.training.progressive import resolution_in
from nas.training.recipe import Recipe
from nas.training.teacher_folder import read_teacher
from nas.training.teachers import asks_once

PASSES = 3
"""Forward passes that a step takes for each image: one forward, two backward."""


class TrainingCompute(NamedTuple):
    """FLOPs of a whole training, where it does not end early.

    Attributes:
        own: Of the network that is trained.
        teachers: Of all that it learns from.
    """

    own: int
    teachers: int

    @property
    def total(self) -> int:
        """Of both."""
        return self.own + self.teachers


def training_compute(architecture: Architecture, recipe: Recipe, dataset: Dataset) -> TrainingCompute:
    """Count what a training takes.

    Args:
        architecture: What is trained.
        recipe: How, and by which teachers.
        dataset: The images.

    Raises:
        BundleError: A teacher cannot be read.
    """
    images = len(dataset.train)
    batch, steps, epochs = recipe.step_images(images), recipe.total_steps(images), recipe.total_epochs(images)
    steps_of_epoch = images // batch
    sides = Counter[int]()
    for epoch in range(epochs):
        side = resolution_in(architecture, recipe.progressive, epoch=epoch + 1, epochs=epochs)
        sides[side] += batch * min(steps_of_epoch, steps - epoch * steps_of_epoch)
    own = sum(PASSES * shown * _forward(replace(architecture, resolution=side)) for side, shown in sides.items())
    if recipe.distillation is None:
        return TrainingCompute(own, 0)
    once = asks_once(recipe, dataset, architecture.resolution)
    asked = images if once else batch * steps
    teachers = [read_teacher(Path(folder)).architecture for folder in recipe.distillation.places]
    return TrainingCompute(own, asked * sum(map(_forward, teachers)))


def alone_for_equal_compute(recipe: Recipe, compute: TrainingCompute) -> Recipe:
    """Return a recipe without teachers that takes as much compute, rounded up to whole epochs, steps or images.

    Args:
        recipe: With teachers.
        compute: What it takes.
    """
    lengths = {key: getattr(recipe, key) for key in ("epochs", "steps", "images")}
    longer = {key: -(-value * compute.total // compute.own) for key, value in lengths.items() if value is not None}
    return recipe.model_copy(update={"distillation": None, **longer})


def _forward(architecture: Architecture) -> int:
    """Return the FLOPs of one image's forward pass."""
    return count_cost(architecture).flops
