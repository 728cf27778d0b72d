"""What drawing the validation images adds to the difference of two networks: from what both answered to each image.

All networks answer the same images. An image that all get right moves them all alike and no difference between them, so
two binomials would say far too much. What counts is the variance over the images of the difference of two networks'
chances to be right (a paired comparison; Dietterich 1998, doi:10.1162/089976698300017197). Chances are seen through
single trainings: the covariance of two trainings is that of their chances, as seeds are drawn anew for each; the
variance of one is not, so a network's own comes from pairs of its seeds.

The covariance of two networks falls with the distance of their accuracies too, which is no noise. So it is compared
with what it would be if both answered alike: the root of the product of their own. The single differences are
uncertain, and two means stand for them: of two networks of a family, and of two networks of different families.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nas.fronts.geometry import Array
from nas.fronts.posterior import ImageNoise
from nas.records import ClassNumbers, Metric


def shares(answers: ClassNumbers, labels: ClassNumbers, *, metric: Metric) -> Array:
    """Return what each image adds to a metric, (images,): to first order, their mean is the metric.

    For accuracy it is 1 for a right answer and 0 for a wrong one. Covariances of such shares over the images, divided
    by the number of images, are what a bootstrap over the images tends to (the infinitesimal jackknife, Efron 1982,
    "The jackknife, the bootstrap and other resampling plans", chapter 6).

    Args:
        answers: Which class a network gave to each image.
        labels: Which class each image has.
        metric: By which networks are compared.
    """
    right: Array = (answers == labels).astype(float)
    if metric == "accuracy":
        return right
    classes, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if metric == "balanced_accuracy":
        recalls = np.bincount(places, weights=right) / counts
        shared: Array = recalls.mean() + (right - recalls[places]) * (len(labels) / (counts * len(classes)))[places]
        return shared
    value, added = 0.0, np.zeros(len(labels))
    for kind in classes:
        named, meant = answers == kind, labels == kind
        both = (named.sum() + meant.sum()) / len(labels)
        score = 2 * float((named & meant).mean()) / both
        value += score / len(classes)
        added += (2.0 * (named & meant) - score * (named.astype(float) + meant)) / both / len(classes)
    shared = value + added
    return shared


def sampling_error(share: Array) -> float:
    """Return the standard deviation that drawing the images gives to the mean of shares, (images,)."""
    return float(share.std()) / math.sqrt(len(share))


def image_noise(networks: Sequence[tuple[str, Sequence[Array]]]) -> ImageNoise:
    """Return what drawing the images adds to means over seeds, beside what it adds to all alike.

    Args:
        networks: Family and shares of each training, (images,), of networks with at least two trainings.
    """
    if len(networks) < 2:
        return ImageNoise()
    means = np.stack([np.mean(trainings, axis=0) for _, trainings in networks])
    images = means.shape[1]
    own = np.sqrt([max(0.0, _between_seeds(trainings)) for _, trainings in networks])
    missing = np.outer(own, own) - np.cov(means)
    families = np.array([family for family, _ in networks])
    same = families[:, None] == families
    near, far = same & ~np.eye(len(families), dtype=bool), ~same
    of_far = missing[far].mean() if far.any() else missing[near].mean()
    of_near = missing[near].mean() if near.any() else of_far
    return ImageNoise(alone=max(0.0, of_near) / images, family=max(0.0, of_far - of_near) / images)


def _between_seeds(trainings: Sequence[Array]) -> float:
    """Return the mean covariance of two seeds of a network."""
    covariances, count = np.cov(np.stack(trainings)), len(trainings)
    return float((covariances.sum() - np.trace(covariances)) / (count * (count - 1)))
