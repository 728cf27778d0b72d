"""What a network does on images that it does not learn from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.data.batches import ImageBatches
from nas.training.recipe import Precision
from nas.training.result import Assessment, Validation
from nas.training.step import SMALLEST_BATCH, autocast, is_out_of_memory

LARGEST_BATCH = 512
"""Images at once; fewer where the device has not the memory."""


def evaluate(
    model: nn.Module, images: ImageBatches, *, precision: Precision = "auto", batch: int = LARGEST_BATCH
) -> Validation:
    """Return loss, accuracy and answers of a model in eval mode, which is its mode afterwards.

    Args:
        model: Maps standardised images to logits.
        images: On the model's device, at its resolution.
        precision: As in a recipe.
        batch: Images at once.
    """
    totals, answers = torch.zeros(2, device=images.device, dtype=torch.float64), []
    for logits, labels in _logits(model, images, precision, batch):
        answers.append(logits.argmax(dim=1))
        totals[0] += functional.cross_entropy(logits.float(), labels, reduction="sum")
        totals[1] += (answers[-1] == labels).sum()
    loss, right = (totals / len(images)).tolist()
    return Validation(loss, right, torch.cat(answers))


def assess(
    model: nn.Module,
    images: ImageBatches,
    *,
    num_classes: int,
    precision: Precision = "auto",
    batch: int = LARGEST_BATCH,
) -> Assessment:
    """Return loss, top-1, top-5 and the confusion of a model in eval mode, which is its mode afterwards.

    Args:
        model: Maps standardised images to logits.
        images: On the model's device, at its resolution.
        num_classes: Of the labels.
        precision: As in a recipe.
        batch: Images at once.
    """
    totals = torch.zeros(2, device=images.device, dtype=torch.float64)
    confusion = torch.zeros(num_classes * num_classes, device=images.device, dtype=torch.int64)
    for logits, labels in _logits(model, images, precision, batch):
        best = logits.topk(min(5, num_classes), dim=1).indices
        totals[0] += functional.cross_entropy(logits.float(), labels, reduction="sum")
        totals[1] += (best == labels[:, None]).sum()
        confusion += torch.bincount(labels * num_classes + best[:, 0], minlength=num_classes**2)
    loss, top5 = (totals / len(images)).tolist()
    table = confusion.view(num_classes, num_classes).tolist()
    return Assessment(loss, top5, tuple(map(tuple, table)))


class _Answer(NamedTuple):
    """Logits (count, classes) and labels (count,) of some images."""

    logits: Tensor
    labels: Tensor


def _logits(model: nn.Module, images: ImageBatches, precision: Precision, size: int) -> Iterator[_Answer]:
    """Yield what a model answers to all images, many at once."""
    model.eval()
    with torch.inference_mode():
        for batch in images.in_order(size):
            while True:
                try:
                    with autocast(images.device, precision):
                        parts = [model(part) for part in torch.split(batch.images, size)]
                    break
                except RuntimeError as error:
                    if not is_out_of_memory(error) or size <= SMALLEST_BATCH:
                        raise
                    size = max(SMALLEST_BATCH, size // 2)
            yield _Answer(torch.cat(parts), batch.labels)
