"""Which networks of a family tell how accuracy follows cost: all of few, and of many the best of each band of cost.

A search trains many networks that no one would take, and their mean is not what is asked for. The front is not it
either: it falls with cost even where accuracies are noise, for the more networks one has looked at, the luckier the
best. So the networks of a family are parted by cost into twelve bands of equally many, and each band is told by its
best. The luck of being the best of so many is then the same in each band, and to take it out the best is chosen, and
told, by expected accuracy (``nas/fronts/shrinkage.py``), which is drawn towards that of others of its cost as far as it
is noise. Of up to twelve networks all are taken as they were measured, and count by their number of trainings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nas.errors import StudyError
from nas.fronts.geometry import Array
from nas.scaling.evidence import Evidence

BANDS = 12


class Told(NamedTuple):
    """Points of a family for a law, each array of shape (points,).

    Attributes:
        cost: As it is asked for.
        error: Shares of the validation images that are wrong.
        weights: Numbers of trainings; ones where the errors are expected ones.
        best: Whether each is the best of a band, and not one of all.
    """

    cost: Array
    error: Array
    weights: Array
    best: bool


def told_by(evidence: Evidence, *, cost: str = "flops") -> Told:
    """Return what tells how the error of one family follows its cost.

    Args:
        evidence: Trainings of one family.
        cost: One of ``nas.scaling.evidence.COSTS``.

    Raises:
        StudyError: A network's cost is not known.
    """
    costs = evidence.column(cost)
    if not (np.isfinite(costs) & (costs > 0)).all():
        raise StudyError(f"{evidence.source}: the {cost} of its networks are not all known")
    if len(costs) <= BANDS:
        return Told(costs, evidence.errors, evidence.trainings, best=False)
    errors = np.maximum(1 - evidence.expected(evidence.networks), 0.5 / evidence.val_images)
    bands = np.array_split(np.lexsort((errors, costs)), BANDS)
    chosen = np.array([band[errors[band].argmin()] for band in bands])
    return Told(costs[chosen], errors[chosen], np.ones(len(chosen)), best=True)
