"""What networks are worth beside others of their cost, and how they differ from those in shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nas.architecture.space import COEFFICIENTS
from nas.fronts.geometry import Array
from nas.fronts.judged import Judgement
from nas.records import TrialRecord


class Relative(NamedTuple):
    """A trained network beside others of its family and FLOPs.

    Attributes:
        trial: Of the network.
        above: Its mean accuracy less what is usual (the trend of ``nas/fronts/shrinkage.py``), in 0 to 1.
        shape: log2 of width, depth and resolution, less what is usual.
    """

    trial: TrialRecord
    above: float
    shape: Mapping[str, float]


def relative_networks(judgement: Judgement) -> list[Relative]:
    """Return the trained networks of a study beside others of their family and FLOPs, cheapest first."""
    known = judgement.model.known
    if not known:
        return []
    means = np.array([float(np.mean(accuracies)) for accuracies in known.values()])
    above = means - judgement.model.posterior().trend
    above -= np.median(above)
    shapes = _shapes(list(known))
    return [
        Relative(trial, float(above[place]), {name: float(shapes[name][place]) for name in COEFFICIENTS})
        for place, trial in enumerate(known)
    ]


def _shapes(trials: list[TrialRecord]) -> dict[str, Array]:
    """Return log2 of each coefficient less a line over log2 of the FLOPs, family by family."""
    costs = np.log2([trial.flops for trial in trials])
    found = {}
    for name in COEFFICIENTS:
        values = np.log2([getattr(trial, name) for trial in trials])
        for family in {trial.space for trial in trials}:
            own = np.array([trial.space == family for trial in trials])
            slope = _slope(costs[own], values[own])
            values[own] -= values[own].mean() + slope * (costs[own] - costs[own].mean())
        found[name] = values
    return found


def _slope(x: Array, y: Array) -> float:
    spread = float(((x - x.mean()) ** 2).sum())
    return float((x - x.mean()) @ (y - y.mean()) / spread) if spread > 0 else 0.0
