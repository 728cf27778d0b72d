"""What a network does on images that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.data.batches import ImageBatches
from nas.records import Metric
from nas.training.metrics import score_of
from nas.training.recipe import Precision
from nas.training.result import Assessment, Validation
from nas.training.step import SMALLEST_BATCH, autocast, is_out_of_memory

LARGEST_BATCH = 512
"""Images at once; fewer where the device has not the memory."""


def evaluate(
    model: nn.Module,
    images: ImageBatches,
    *,
    precision: Precision = "auto",
    batch: int = LARGEST_BATCH,
    metric: Metric = "accuracy",
    after_batch: Callable[[], None] | None = None,
) -> Validation:
    """Return loss, accuracy and answers of a model in eval mode, which is its mode afterwards.

    Args:
        model: Maps standardised images to logits.
        images: On the model's device, at its resolution.
        precision: As in a recipe.
        batch: Images at once.
        metric: Stands for the accuracy.
        after_batch: Called after each batch.
    """
    totals, answers = torch.zeros(2, device=images.device, dtype=torch.float64), []
    confusion = None
    for logits, labels in _logits(model, images, precision, batch):
        answers.append(logits.argmax(dim=1))
        totals[0] += functional.cross_entropy(logits.float(), labels, reduction="sum")
        totals[1] += (answers[-1] == labels).sum()
        if metric != "accuracy":
            counted = _confusion(labels, answers[-1], logits.shape[1])
            confusion = counted if confusion is None else confusion + counted
        if after_batch is not None:
            after_batch()
    loss, right = (totals / len(images)).tolist()
    score = right if confusion is None else score_of(confusion, metric).item()
    return Validation(loss, score, torch.cat(answers))


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
    confusion = torch.zeros((num_classes, num_classes), device=images.device, dtype=torch.int64)
    for logits, labels in _logits(model, images, precision, batch):
        best = logits.topk(min(5, num_classes), dim=1).indices
        totals[0] += functional.cross_entropy(logits.float(), labels, reduction="sum")
        totals[1] += (best == labels[:, None]).sum()
        confusion += _confusion(labels, best[:, 0], num_classes)
    loss, top5 = (totals / len(images)).tolist()
    return Assessment(loss, top5, tuple(map(tuple, confusion.tolist())))


def _confusion(labels: Tensor, named: Tensor, classes: int) -> Tensor:
    """Return how often an image of the class of the row was taken for that of the column, (classes, classes)."""
    return torch.bincount(labels * classes + named, minlength=classes**2).view(classes, classes)


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
