"""What a study's result does not say by itself: where the search ended too early, or its figures mean little."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from nas.analysis.pareto import FrontPoint, NoisyFront, front_with_noise
from nas.architecture.space import COEFFICIENTS
from nas.config.study import StudyConfig
from nas.fronts.images import shares
from nas.records import ClassNumbers, Epoch, TrialRecord, metric_name
from nas.search.study import Study

_ENOUGH = 5
"""Networks from which on it is worth saying that all are alike."""
_AT_THE_BUDGET = 0.9
"""Share of the largest FLOPs allowed from which on a larger network would not fit, whatever the ranges."""
_LAST_PART = 10
"""One in so many epochs, the last, tells whether curves still rise."""


def findings(study: Study, front: NoisyFront | None = None) -> list[str]:
    """Return what to know about a study's result, each in one sentence; nothing where all is well.

    Args:
        study: A study that has been run.
        front: Its front where it is known already.
    """
    front = front or front_with_noise(study)
    if not front.points:
        return ["Nothing is trained yet."]
    curves = study.curves([point.trial.number for point in front.points])
    return [
        *_borders(study.config, front.points),
        *_rising(front, [curves.get(point.trial.number, []) for point in front.points]),
        *_no_better_than_one_class(study, front),
        *_all_alike(front),
    ]


def _borders(config: StudyConfig, points: tuple[FrontPoint, ...]) -> list[str]:
    """Name the ranges at whose borders a front ends, where the budget has room beyond."""
    first, last, limit = points[0].trial, points[-1].trial, config.budget.flops
    found = list[str]()
    if limit is None or limit.max is None or last.flops < _AT_THE_BUDGET * limit.max:
        found += _border("ends", "upper", last, _at(config, last, "max"))
    if limit is None or not limit.min or first.flops > limit.min / _AT_THE_BUDGET:
        found += _border("begins", "lower", first, _at(config, first, "min"))
    return found


def _border(verb: str, side: str, trial: TrialRecord, keys: list[str]) -> list[str]:
    if not keys:
        return []
    borders = " and ".join(f"{key} ({getattr(trial, key):g})" for key in keys)
    ranges = " and ".join(f"search.{key}" for key in keys)
    return [f"The front {verb} at the {side} border of {borders}: widen {ranges} to see what lies beyond."]


def _at(config: StudyConfig, trial: TrialRecord, end: str) -> list[str]:
    """Return the coefficients of which a trial has the last value that the search may propose."""
    ranges = {key: getattr(config.search, key) for key in COEFFICIENTS}
    open_ranges = {key: allowed for key, allowed in ranges.items() if allowed.min < allowed.max}
    ends = {key: getattr(allowed, end) for key, allowed in open_ranges.items()}
    if end == "max":
        for key, allowed in open_ranges.items():
            if allowed.step:
                ends[key] = allowed.min + math.floor((allowed.max - allowed.min) / allowed.step + 1e-9) * allowed.step
    return [key for key in ends if math.isclose(getattr(trial, key), ends[key], rel_tol=1e-6)]


def _rising(front: NoisyFront, curves: Iterable[list[Epoch]]) -> list[str]:
    """Say whether the curves of the front rose in their last part by more than seeds explain."""
    gains, last = list[float](), 0
    for curve in curves:
        if len(curve) > 2:
            last = max(1, len(curve) // _LAST_PART)
            gains.append(curve[-1].val_accuracy - curve[-1 - last].val_accuracy)
    if not gains or np.mean(gains) <= front.noise.std:
        return []
    when = "the last epoch" if last == 1 else f"the last {last} epochs"
    return [
        f"The curves of the front still rise, by {100 * np.mean(gains):.1f} points in {when}: train longer"
        " (recipe.epochs)."
    ]


def _no_better_than_one_class(study: Study, front: NoisyFront) -> list[str]:
    """Say how many networks are no better than always giving the same answer, given the noise."""
    labels = study.val_labels()
    if labels is None or not len(labels):
        return []
    largest, metric = int(np.bincount(labels).argmax()), study.config.recipe.metric
    blind: ClassNumbers = np.full_like(labels, largest)
    known = float(shares(blind, labels, metric=metric).mean())
    networks = (*front.points, *front.others)
    poor = sum(point.mean_accuracy <= known + 2 * front.noise.std for point in networks)
    if not poor:
        return []
    count = "No network is" if poor == len(networks) else f"{poor} of {len(networks)} networks are no"
    return [
        f"{count} better than always answering class {largest}, the largest, within noise: its"
        f" {metric_name(metric)} is {100 * known:.1f} %."
    ]


def _all_alike(front: NoisyFront) -> list[str]:
    first, best = front.points[0], front.points[-1]
    apart = 2 * math.hypot(first.standard_error, best.standard_error)
    if len(front.points) + len(front.others) < _ENOUGH or best.shrunk_accuracy - first.shrunk_accuracy >= apart:
        return []
    return [
        "All of the front is within noise of its cheapest network: more FLOPs may have bought nothing. More validation"
        " images (data.validation) or search.replicates would tell."
    ]
