"""By which figure networks are compared, from how often each class was taken for each other."""

from __future__ import annotations

from torch import Tensor

from nas.records import Metric


def score_of(confusion: Tensor, metric: Metric) -> Tensor:
    """Return a metric in 0 to 1, as a tensor of one element.

    Balanced accuracy is the mean over classes of the share of their images that are right (Brodersen et al. 2010,
    doi:10.1109/ICPR.2010.764); macro F1 is the mean over classes of ``2 right / (named + meant)`` (Opitz & Burst 2019,
    arXiv:1911.03347). Classes without images do not count.

    Args:
        confusion: How often an image of the class of the row was taken for the class of the column, (classes, classes).
        metric: Which.
    """
    counts = confusion.double()
    right, meant, named = counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
    if metric == "accuracy":
        return right.sum() / counts.sum()
    there = meant > 0
    each = right / meant if metric == "balanced_accuracy" else 2 * right / (meant + named)
    return each[there].mean()
