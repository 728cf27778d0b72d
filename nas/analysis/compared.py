"""Studies of the same images side by side: how much their fronts are worth, what each spent, the best at equal cost.

A front is worth its hypervolume in the plane of the logarithm of the FLOPs and the expected error. One reference serves
all studies: a tenth of the extent of the front of all networks beyond both its ends. How sure a ratio is, is known from
draws of the accuracies that each study's trainings leave possible (``nas/fronts/posterior.py``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.analysis.comparable import require_comparable, require_different, told_apart
from nas.analysis.pareto import FrontPoint, NoisyFront, front_of
from nas.errors import StudyError
from nas.fronts.geometry import Array, Reference, front_reference, hypervolumes
from nas.fronts.judged import Judgement
from nas.processes.threads import blas_threads
from nas.records import Metric
from nas.search.opening import Named, open_study
from nas.search.study import Study
from nas.units import format_share

COSTS = 4
"""FLOPs at which the best of each study are held against each other."""
_APART = 2.0
"""Standard deviations from which on two accuracies are apart."""
_SURE = 0.95
_LARGEST = 1_000
"""Ratio of hypervolumes beyond which no figure is written: the smaller one is next to nothing."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A hypervolume as a multiple of that of the first study; infinite in draws in which that is nothing.

    Attributes:
        median: Of the draws.
        low: 2.5 % of the draws are below.
        high: 2.5 % of the draws are above.
        larger: Share of the draws in which it is above 1.
    """

    median: float
    low: float
    high: float
    larger: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What a study has spent.

    Attributes:
        trainings: Networks that were trained, to the end or not, and those that were trained again.
        compute: FLOPs of one image times epochs, over all of them.
        hours: That they took, summed over workers.
    """

    trainings: int
    compute: float
    hours: float


@dataclass(frozen=True, slots=True)
class Compared:
    """One of the studies.

    Attributes:
        name: Of the study; with a number where several have it.
        front: Of its expected accuracies.
        states: Number of trials by state.
        hypervolume: Of the expected front, in the unit of the plane (accuracy times a factor e of FLOPs).
        ratio: To the first study; None for that itself.
        spent: By the study.
    """

    name: str
    front: NoisyFront
    states: dict[str, int]
    hypervolume: float
    ratio: Ratio | None
    spent: Spent


@dataclass(frozen=True, slots=True)
class AtCost:
    """The best of each study under a bound of the FLOPs.

    Attributes:
        max_flops: The bound.
        best: In the order of the studies; None where a study has no network so cheap.
        ahead: Index of the study that is ahead of all others beyond noise; None where nobody is.
    """

    max_flops: int
    best: tuple[FrontPoint | None, ...]
    ahead: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Studies side by side.

    Attributes:
        studies: In the order in which they were given.
        at_costs: From cheap to dear.
        reference: Of all hypervolumes: logarithm of the FLOPs, and error.
        metric: By which networks were compared.
        remarks: What else is different between them, one sentence each.
    """

    studies: tuple[Compared, ...]
    at_costs: tuple[AtCost, ...]
    reference: Reference
    metric: Metric
    remarks: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Which front is worth more, and how sure that is."""
        first = self.studies[0].name
        return " ".join(_verdict(one.name, first, one.ratio) for one in self.studies if one.ratio is not None)


def compare_studies(studies: Sequence[Named], *, storage: str | None = None) -> Comparison:
    """Hold studies of the same images against each other.

    Args:
        studies: Two or more that have been run: study files, names, definitions or opened studies.
        storage: URL of the database that all of them are in, where they are not in their own folders.

    Raises:
        StudyError: There are fewer than two, one was not run or has trained nothing, or two of them have other images
            or another metric.
    """
    opened = [one if isinstance(one, Study) else open_study(one, storage=storage) for one in studies]
    try:
        return _compare(opened)
    finally:
        for given, study in zip(studies, opened, strict=True):
            if study is not given:
                study.close()


def _compare(studies: Sequence[Study]) -> Comparison:
    if len(studies) < 2:
        raise StudyError(f"to compare takes two studies or more, but {len(studies)} was given")
    require_different(studies)
    require_comparable(studies)
    judged = [study.judgement() for study in studies]
    for study, judgement in zip(studies, judged, strict=True):
        if not judgement.networks:
            raise StudyError(f"study {study.name!r} has no network that was trained to the end yet: run it on")
    reference = _reference(judged)
    drawn = [_drawn(judgement, reference, seed) for seed, judgement in enumerate(judged)]
    fronts = [front_of(judgement) for judgement in judged]
    compared = tuple(
        Compared(
            name,
            front,
            dict(Counter(trial.state for trial in study.trials())),
            _hypervolume(judgement, reference),
            None if index == 0 else _ratio(drawn[index], drawn[0]),
            spent(study),
        )
        for index, (name, study, judgement, front) in enumerate(
            zip(told_apart([study.name for study in studies]), studies, judged, fronts, strict=True)
        )
    )
    at_costs = tuple(best_at(bound, fronts) for bound in _bounds(fronts))
    return Comparison(compared, at_costs, reference, studies[0].config.recipe.metric, tuple(_remarks(studies)))


def _remarks(studies: Sequence[Study]) -> list[str]:
    """Return what of the studies is different and not what one may have meant to compare."""
    recipes = [study.config.recipe.model_dump(mode="json") for study in studies]
    differing = {key: [recipe[key] for recipe in recipes] for key in recipes[0]}
    told = [
        f"{key} ({', '.join(map(str, values))})"
        for key, values in differing.items()
        if any(value != values[0] for value in values)
    ]
    return [f"Recipes differ in {', '.join(told)}: accuracies tell of that too."] if told else []


def _reference(judged: Sequence[Judgement]) -> Reference:
    """Return the reference that the front of all networks sets."""
    networks = [one.network for judgement in judged for one in judgement.networks]
    costs = np.log([network.trial.flops for network in networks])
    return front_reference(costs, np.array([1 - network.shrunk for network in networks]))


def _hypervolume(judgement: Judgement, reference: Reference) -> float:
    networks = [one.network for one in judgement.networks]
    costs = np.log([network.trial.flops for network in networks])
    errors = np.array([[1 - network.shrunk for network in networks]])
    return float(hypervolumes(costs, errors, **reference._asdict())[0])


def _drawn(judgement: Judgement, reference: Reference, seed: int) -> Array:
    """Return the hypervolume of each draw of what the accuracies may be, (draws,), in no order."""
    costs = np.log([trial.flops for trial in judgement.model.known])
    generator = np.random.default_rng(seed)
    with blas_threads(1):
        posterior = judgement.model.posterior()
        parts = [
            hypervolumes(costs, 1 - posterior.center - merits, **reference._asdict())
            for merits in posterior.draw(generator)
        ]
    return generator.permutation(np.concatenate(parts))


def _ratio(values: Array, first: Array) -> Ratio:
    """Return the ratio of two hypervolumes, whose draws have nothing to do with each other."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.nan_to_num(values / first, nan=1.0, posinf=np.inf)
    low, median, high = np.quantile(ratios, [0.025, 0.5, 0.975], method="nearest")
    return Ratio(float(median), float(low), float(high), float((ratios > 1).mean()))


def spent(study: Study) -> Spent:
    """Return what a study has spent; what it took from another study's trainings was spent there and here."""
    trials = [trial for trial in study.trials() if trial.epochs]
    repeats = [repeat for repeat in study.repeats() if repeat.curve]
    flops = {trial.number: trial.flops for trial in study.trials()}
    compute = sum((trial.epochs or 0) * trial.flops for trial in trials)
    compute += sum(len(repeat.curve) * flops[repeat.number] for repeat in repeats)
    seconds = sum(trial.train_seconds or 0.0 for trial in trials)
    seconds += sum(repeat.train_seconds or 0.0 for repeat in repeats)
    return Spent(len(trials) + len(repeats), float(compute), seconds / 3600)


def _bounds(fronts: Sequence[NoisyFront]) -> list[int]:
    """Return bounds of the FLOPs, evenly spread from where every study has a network to the dearest of the fronts."""
    cheapest = max(front.points[0].trial.flops for front in fronts)
    dearest = max(max(front.points[-1].trial.flops for front in fronts), cheapest)
    spread = np.geomspace(cheapest, dearest, COSTS)
    return sorted({cheapest, *(_rounded_up(value) for value in spread[1:])})


def _rounded_up(value: float) -> int:
    """Return a number of two digits and zeros that is not below a value."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / unit - 1e-9) * unit)


def best_at(bound: int, fronts: Sequence[NoisyFront]) -> AtCost:
    """Return the best of each front within a bound of the FLOPs."""
    best = tuple(
        next((point for point in reversed(front.points) if point.trial.flops <= bound), None) for front in fronts
    )
    known = [(point.shrunk_accuracy, index) for index, point in enumerate(best) if point is not None]
    leading = max(known)[1] if known else None
    if leading is None or not all(_apart(best[leading], other) for n, other in enumerate(best) if n != leading):
        return AtCost(bound, best, None)
    return AtCost(bound, best, leading)


def _apart(point: FrontPoint | None, other: FrontPoint | None) -> bool:
    """Tell whether a network of one study is more accurate than one of another beyond noise."""
    if point is None or other is None:
        return point is not None
    error = math.hypot(point.standard_error, other.standard_error)
    return point.shrunk_accuracy - other.shrunk_accuracy > _APART * error


def ratio_words(value: float) -> str:
    """Write a ratio: ``1.25``, or that it is more than can be told where the other is next to nothing."""
    return f"{value:.2f}" if value <= _LARGEST else f"more than {_LARGEST:,}"


def interval_words(ratio: Ratio) -> str:
    """Write the interval of a ratio."""
    return f"{ratio_words(ratio.low)} to {ratio_words(ratio.high)}"


def _verdict(name: str, first: str, ratio: Ratio) -> str:
    interval = f"{ratio_words(ratio.median)} times that of {first} (95 %: {interval_words(ratio)})"
    if ratio.larger >= _SURE:
        sure = f"it is larger in {format_share(ratio.larger)} of the draws"
    elif ratio.larger <= 1 - _SURE:
        sure = f"it is smaller in {format_share(1 - ratio.larger)} of the draws"
    else:
        sure = "which of the two is larger is not sure"
    return f"The hypervolume of {name} is {interval}; {sure}."
