"""What a recipe does to the images of a batch before the network sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nas.data.augment import cut_mix, cut_out, make_color_jitter, make_rand_augment, mix_up, turn
from nas.data.batches import Batch, Change
from nas.training.recipe import Recipe


class Prepared(NamedTuple):
    """A batch as the network sees it; the target is the labels, or shares of the classes where images were mixed.

    ``chosen`` are the places of its images in the training set, as in a batch.
    """

    images: Tensor
    target: Tensor
    labels: Tensor
    chosen: Tensor | None = None


class Augmentation:
    """The changes of a recipe, but for crop and mirroring, which are made as batches are cut."""

    def __init__(self, recipe: Recipe, *, num_classes: int, generator: torch.Generator) -> None:
        """Prepare the changes.

        Args:
            recipe: Names them.
            num_classes: Of the labels.
            generator: Of what is drawn, on the device of the batches.

        Raises:
            DataError: The recipe asks for an augmentation whose library is not installed.
        """
        self._recipe = recipe
        self._num_classes = num_classes
        self._generator = generator
        self._changes = list[Callable[[Tensor], Tensor]]()
        if recipe.rotate > 0:
            self._changes.append(lambda images: turn(images, degrees=recipe.rotate, generator=generator))
        if recipe.jitter > 0:
            self._changes.append(make_color_jitter(recipe.jitter))
        if recipe.rand_augment > 0:
            self._changes.append(make_rand_augment(recipe.rand_augment_operations, recipe.rand_augment))

    def of_pixels(self) -> Change | None:
        """Return what changes pixels before they are standardised, or None where nothing does."""
        return self._change if self._changes else None

    def _change(self, pixels: Tensor) -> Tensor:
        for change in self._changes:
            pixels = change(pixels)
        return pixels

    def __call__(self, batch: Batch, *, steps_left: int) -> Prepared:
        """Erase and mix standardised images; mixup and CutMix take turns, step by step."""
        recipe, generator = self._recipe, self._generator
        if recipe.cutout > 0:
            batch = cut_out(batch, share=recipe.cutout, generator=generator)
        if recipe.mixup == recipe.cutmix == 0:
            return Prepared(batch.images, batch.labels, batch.labels, batch.chosen)
        cuts = recipe.cutmix > 0 and (recipe.mixup == 0 or steps_left % 2 == 1)
        mix, alpha = (cut_mix, recipe.cutmix) if cuts else (mix_up, recipe.mixup)
        images, shares = mix(batch, alpha=alpha, num_classes=self._num_classes, generator=generator)
        return Prepared(images, shares, batch.labels)
