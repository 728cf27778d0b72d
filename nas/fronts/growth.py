"""What a search has gained for the compute it spent, and when it gains too little to go on.

The front is worth its hypervolume: the area between the trained networks and a reference, in the plane of the logarithm
of the FLOPs and the validation error. The reference lies a tenth of the front's extent beyond its dearest member and
beyond the error of its cheapest, so that the area is measured by the front itself: neither the number of classes nor a
network that others beat moves it. As the front of all trainings sets the reference, the whole history is measured anew
with each of them.

Compute is epochs times FLOPs of one image, summed over trainings. That counts forward passes at the network's own
resolution; times the number of training images, which all trainings share, it is the FLOPs of all forward passes, and a
step backward takes about twice as many again. Further trainings from other seeds look for no network and are left out.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from nas.fronts.geometry import front_reference, hypervolume
from nas.records import TrialRecord

WORTH_GOING_ON = 0.01
"""Share of the hypervolume that the last part of a search must have added, beyond noise."""
IDLE_PROPOSALS = 200
"""So many proposals in a row that were not trained end a search that waits for stagnation."""

_LAST_PART = 1 / 3
_LAST_NETWORKS = 10
_LAST_TO_THE_END = 5


@dataclass(frozen=True, slots=True)
class Ended:
    """A training that has ended, to the end or a part of the way.

    Attributes:
        number: Of the trial.
        flops: Of one image.
        epochs: That were trained.
        seconds: That they took.
        accuracy: On the validation images, of a network that was trained to the end; None for others.
    """

    number: int
    flops: int
    epochs: int
    seconds: float
    accuracy: float | None

    @property
    def compute(self) -> int:
        """Epochs times FLOPs of one image."""
        return self.epochs * self.flops


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a search was when a network had been trained to the end.

    Attributes:
        number: Of the trial.
        compute: Spent so far: epochs times FLOPs of one image.
        seconds: Of training so far, summed over workers.
        hypervolume: Of the front so far, as a share of that of the last front, in 0 to 1.
    """

    number: int
    compute: int
    seconds: float
    hypervolume: float


@dataclass(frozen=True, slots=True)
class Growth:
    """What the last part of a search has added.

    Attributes:
        networks: In the last part, whatever became of them.
        of: Networks in all.
        compute: Share of all compute that the last part took, in 0 to 1.
        gain: Share of the hypervolume that it added beyond noise, in 0 to 1.
    """

    networks: int
    of: int
    compute: float
    gain: float

    @property
    def stagnant(self) -> bool:
        """Whether that is too little."""
        return self.gain < WORTH_GOING_ON

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"the last {100 * self.compute:.0f} % of the compute ({self.networks} of {self.of} networks) added"
            f" {100 * self.gain:.1f} % of the hypervolume, not counting noise"
        )


def front_history(ended: Sequence[Ended]) -> list[Moment]:
    """Return where a search was after each network that was trained to the end.

    Args:
        ended: Its trainings in the order in which they ended.
    """
    plane = _Plane(ended)
    whole, compute, seconds, reached = plane.hypervolume(len(ended)), 0, 0.0, 0.0
    rises = plane.rises()
    moments = list[Moment]()
    for index, training in enumerate(ended):
        compute, seconds = compute + training.compute, seconds + training.seconds
        if training.accuracy is not None:
            reached = plane.hypervolume(index + 1) if index in rises else reached
            moments.append(Moment(training.number, compute, seconds, reached / whole))
    return moments


def recent_growth(ended: Sequence[Ended], *, startup_trials: int, noise: float = 0.0) -> Growth | None:
    """Return what the last part of a search has added, or None where there is not enough of it to tell.

    The last part is a third of the compute, and at least ten networks of which five were trained to the end. Before it
    lie at least the ``startup_trials``, which were not chosen by what was learned.

    Args:
        ended: The search's trainings in the order in which they ended.
        startup_trials: As in the study.
        noise: Standard deviation of one training's accuracy. A network of the last part counts where it is more
            accurate, by more than that, than all of at most its FLOPs before the last part: the rest may be luck.
    """
    start = _last_part(ended)
    if start is None or start < max(1, startup_trials):
        return None
    compute = [training.compute for training in ended]
    gain = _Plane(ended).gain(start, noise=noise)
    return Growth(len(ended) - start, len(ended), sum(compute[start:]) / sum(compute), gain)


def idle(states: Sequence[str]) -> bool:
    """Tell whether the last of a study's trials, given their states in the order of numbers, were all untrained."""
    last = states[-IDLE_PROPOSALS:]
    return len(last) == IDLE_PROPOSALS and all(state in ("repeated", "infeasible") for state in last)


def ended_trainings(
    trials: Iterable[TrialRecord], spent: Mapping[int, tuple[int, float]], ends: Mapping[int, datetime]
) -> list[Ended]:
    """Return the trainings of a study that have ended, in that order.

    An interrupted training that another trial goes on with is left out: that trial's curve holds its epochs too. One
    that paused and went on stands where it ended last, with all its epochs.

    Args:
        trials: Of the study.
        spent: Epochs and seconds of each trial that has a curve, by number.
        ends: When each trial ended, by number; those that have not are missing.
    """
    began = sorted((trial for trial in trials if trial.number in spent), key=lambda trial: trial.number)
    last = {trial.digest: trial.number for trial in began}
    done = [t for t in began if t.number in ends and (t.state != "interrupted" or t.number == last[t.digest])]
    return [
        Ended(t.number, t.flops, *spent[t.number], t.accuracy if t.state == "trained" else None)
        for t in sorted(done, key=lambda trial: (ends[trial.number], trial.number))
    ]


def _last_part(ended: Sequence[Ended]) -> int | None:
    """Return the index at which the last part begins; None where all is too short for one."""
    wanted = _LAST_PART * sum(training.compute for training in ended)
    compute = networks = to_the_end = 0
    for index in reversed(range(len(ended))):
        compute, networks = compute + ended[index].compute, networks + 1
        to_the_end += ended[index].accuracy is not None
        if compute >= wanted and networks >= _LAST_NETWORKS and to_the_end >= _LAST_TO_THE_END:
            return index
    return None


class _Plane:
    """The trainings as points; those that were not trained to the end lie at infinity."""

    def __init__(self, ended: Sequence[Ended]) -> None:
        self._costs = np.array([math.log(training.flops) for training in ended])
        self._errors = np.array([math.inf if t.accuracy is None else 1 - t.accuracy for t in ended])
        finite = np.flatnonzero(np.isfinite(self._errors))
        self._reference = front_reference(self._costs[finite], self._errors[finite])

    def hypervolume(self, count: int) -> float:
        """Return that of the first so many trainings."""
        return self._hypervolume(np.arange(len(self._costs)) < count)

    def rises(self) -> set[int]:
        """Return the indices of trainings that no earlier one beat or equalled: only they may move the front."""
        found, costs, errors = set[int](), list[float](), list[float]()  # the front so far, cheapest first
        for index, (cost, error) in enumerate(zip(self._costs, self._errors, strict=True)):
            cheaper = bisect_right(costs, cost)
            if error < (errors[cheaper - 1] if cheaper else math.inf):
                first = bisect_left(costs, cost)
                last = next((place for place in range(first, len(costs)) if errors[place] < error), len(costs))
                costs[first:last], errors[first:last] = [cost], [error]
                found.add(index)
        return found

    def gain(self, start: int, *, noise: float) -> float:
        """Return the share of the hypervolume that trainings from an index on have added beyond noise."""
        early = np.arange(len(self._costs)) < start
        by_cost = np.argsort(self._costs[early])
        cheaper = np.searchsorted(self._costs[early][by_cost], self._costs, side="right")  # or at the same cost
        best_before = np.append(math.inf, np.minimum.accumulate(self._errors[early][by_cost]))[cheaper]
        counted = early | (self._errors + noise < best_before)
        return (self._hypervolume(counted) - self._hypervolume(early)) / self.hypervolume(len(early))

    def _hypervolume(self, counted: npt.NDArray[np.bool_]) -> float:
        return hypervolume(self._costs[counted], self._errors[counted], **self._reference._asdict())
