"""What to expect of a search, before anything is trained."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from nas.architecture.cost import Cost, count_cost
from nas.architecture.spec import Architecture
from nas.config.budget import METRICS, Budget, Metric
from nas.config.search import SearchConfig
from nas.config.study import StudyConfig, idle_keys
from nas.data.sources import Dataset
from nas.errors import BudgetError
from nas.models.device import describe_device, devices_of, resolve_device
from nas.sampling.points import Parameters, drawn_points
from nas.search.bounds import measure_for_budget, require_hands, require_satisfiable
from nas.search.priors import prior_note, with_prior
from nas.search.proposals import all_proposals, architecture_of, distributions
from nas.search.study import Named, find_study
from nas.search.together import try_together
from nas.training.preparing import require_batch
from nas.training.recipe import Recipe
from nas.training.step import PRECISIONS, resolved_precision
from nas.training.timing import StepTime, time_step
from nas.units import format_count

_WHOLE = 20_000  # points that are few enough to count them all, in seconds or, of large networks, half a minute
_SAMPLES = 2000  # drawn where there are more
_TIMED = 9  # networks, evenly spread by FLOPs; CONTRIBUTING.md says why so many
_STEPS = 10  # timed for each precision and layout

UNEVEN = 3.0
"""How many times its equal share of the images the largest class must have for another metric to be suggested."""
WORTH_SAYING = 1.2
"""How many times as fast as the recipe another precision or layout must be measured to be worth saying."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest, median and largest value of a cost."""

    smallest: int
    median: int
    largest: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What ``check_study`` found.

    Attributes:
        study: Name of the study.
        exact: Whether all coefficient points were counted. If not, random ones were drawn.
        points: Number of coefficient points that were looked at.
        feasible_points: Number of those points whose network meets the budget, latency aside.
        feasible_share: The same as a share of the points, in 0 to 1.
        networks: Number of distinct networks among the feasible points. If not ``exact``, there may be more.
        costs: Smallest, median and largest cost of those networks, by metric.
        device: Name of the device that the times were measured on.
        latency_ms: Measured latency in milliseconds of the networks with the fewest, median and most FLOPs; None if
            the budget has no bound on latency.
        fast_enough: How many of those three networks meet the budget's latency; None if it has no bound on latency.
        trial_seconds: Estimated training time in seconds of the networks with the fewest, median and most FLOPs.
        data_share: Share of the training steps' time that is spent on preparing batches, in 0 to 1.
        speeds: Training speed of the median network in images per second, by precision and layout. The recipe's own
            comes first.
        trainings: Expected number of trainings of the whole study, if no network is too slow for a bound on latency.
            The sampler ``pareto`` trains one network for each trial; for the others, it is the feasible share of the
            trials. It is never more than the number of networks, if that is known.
        total_seconds: Estimated time in seconds of those trainings with one worker, each to the end. Halving takes
            less time, and replicates take more.
        workers: How many trainings at the same time were tried.
        workers_seconds: Estimated time in seconds of the whole study with so many workers, their start included; None
            where it was not tried.
        skipped: Number of broken images that are left out.
        notes: What else there is to tell of the images, one line each.
    """

    study: str
    exact: bool
    points: int
    feasible_points: int
    feasible_share: float
    networks: int
    costs: dict[Metric, Spread]
    device: str
    latency_ms: tuple[float, float, float] | None
    fast_enough: int | None
    trial_seconds: tuple[float, float, float]
    data_share: float
    speeds: dict[str, float]
    trainings: float
    total_seconds: float
    skipped: int
    workers: int = 1
    workers_seconds: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Network:
    architecture: Architecture
    cost: Cost


@dataclass(frozen=True, slots=True)
class _Counted:
    """Points of a box, and the distinct networks of the feasible ones, cheapest first by FLOPs."""

    exact: bool
    points: int
    feasible_points: int
    networks: list[_Network]

    @property
    def feasible_share(self) -> float:
        return self.feasible_points / self.points


def check_study(study: Named, *, device: str = "auto", workers: int | None = None) -> CheckReport:
    """Count a study's networks and time a few training steps.

    Up to 20,000 coefficient points are all counted. If there are more, or if ranges are continuous, 2,000 are drawn at
    random.

    Args:
        study: A study file, the name of a shipped study, a definition, or an opened study.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Also train the median network for a few seconds in so many processes at the same time, which tells how
            long the study takes with them.

    Raises:
        BudgetError: No network meets the budget, or none of the sampled ones does.
        UserError: The study, its data or the device is wrong.
    """
    given, chosen = find_study(study), resolve_device(device)
    found = given.as_begun()
    config, dataset = with_prior(found.config, found.database, found.directory), found.dataset
    require_batch(config.recipe, len(dataset.train))
    require_satisfiable(config, dataset)
    counted = _count(config, dataset)
    sample = _evenly_spread(counted.networks, _TIMED)
    timed = _time(sample, dataset, config.recipe, chosen)
    seconds = [_trial_seconds(config.recipe, dataset, step.seconds) for step in timed]
    middle = len(sample) // 2
    milliseconds = _milliseconds(config, [sample[i] for i in (0, middle, -1)], chosen)
    trainings = _trainings(config.search, counted)
    together = None
    if workers is not None:
        devices = devices_of(device, workers)
        require_hands(config, dataset, devices)
        together = try_together(config, dataset, sample[middle].architecture, devices=devices)
    total_seconds = trainings * statistics.mean(seconds)
    return CheckReport(
        study=config.name,
        exact=counted.exact,
        points=counted.points,
        feasible_points=counted.feasible_points,
        feasible_share=counted.feasible_share,
        networks=len(counted.networks),
        costs={metric: _spread([getattr(n.cost, metric) for n in counted.networks]) for metric in METRICS},
        device=describe_device(chosen),
        latency_ms=(milliseconds[0], milliseconds[1], milliseconds[2]) if milliseconds else None,
        fast_enough=_within(config.budget, milliseconds) if milliseconds else None,
        trial_seconds=(seconds[0], seconds[middle], seconds[-1]),
        data_share=sum(s.data_share * s.seconds for s in timed) / sum(s.seconds for s in timed),
        speeds=_speeds(config.recipe, dataset, sample[middle].architecture, chosen, own=timed[middle].seconds),
        trainings=trainings,
        total_seconds=total_seconds,
        skipped=dataset.skipped,
        workers=workers or 1,
        workers_seconds=None if together is None else together.seconds(total_seconds, trainings=trainings),
        notes=(
            *dataset.notes,
            *idle_keys(given.config),
            *filter(None, [prior_note(config)]),
            *_advice(config.recipe, dataset),
            *_halving_advice(config.search),
        ),
    )


def _advice(recipe: Recipe, dataset: Dataset) -> list[str]:
    """Suggest a metric that rare classes count in, where the images are spread unevenly over the classes."""
    counts = np.bincount(dataset.train.labels, minlength=len(dataset.classes))
    largest = int(counts.argmax())
    times = counts[largest] * len(counts) / counts.sum()
    if times <= UNEVEN or recipe.metric != "accuracy":
        return []
    return [
        f"class {dataset.classes[largest]} has {times:.1f} times its equal share of the images, so always answering it"
        f" has an accuracy of {100 * counts[largest] / counts.sum():.0f} %: consider recipe.metric: balanced_accuracy"
        " (or macro_f1) and recipe.class_weights: balanced"
    ]


def _halving_advice(search: SearchConfig) -> list[str]:
    """Say where early stopping was measured not to pay."""
    if search.halving is None or search.sampler != "pareto":
        return []
    return [
        "search.halving saved no compute with the sampler pareto where it was measured (docs/early_stopping.md):"
        " consider leaving it out"
    ]


def _count(config: StudyConfig, dataset: Dataset) -> _Counted:
    """Realise all points of the box, or random ones of too many, and keep the networks that the budget allows."""
    points = all_proposals(config.search, limit=_WHOLE)
    exact = points is not None
    if points is None:
        points = drawn_points(distributions(config.search), _SAMPLES, np.random.default_rng(0))
    networks, times_named = _realise(config.search, dataset, points)
    feasible = {digest: network for digest, network in networks.items() if config.budget.allows(network.cost)}
    if not feasible:
        flops = [network.cost.flops for network in networks.values()]
        raise BudgetError(
            f"budget {config.budget}: none of the {'' if exact else 'sampled '}{len(networks)} networks meets it; they"
            f" have {format_count(min(flops))} to {format_count(max(flops))} FLOPs"
        )
    return _Counted(
        exact,
        points=len(points),
        feasible_points=sum(times_named[digest] for digest in feasible),
        networks=sorted(feasible.values(), key=lambda network: network.cost.flops),
    )


def _realise(
    search: SearchConfig, dataset: Dataset, points: Iterable[Parameters]
) -> tuple[dict[str, _Network], Counter[str]]:
    """Return the distinct networks of points by digest, and how many points name each."""
    networks, times_named = {}, Counter[str]()
    for parameters in points:
        architecture = architecture_of(search, parameters, dataset)
        digest = architecture.digest
        times_named[digest] += 1
        if digest not in networks:
            networks[digest] = _Network(architecture, count_cost(architecture))
    return networks, times_named


def _evenly_spread(networks: list[_Network], number: int) -> list[_Network]:
    """Return so many networks, or all of fewer, from the first to the last."""
    last = len(networks) - 1
    return [networks[index] for index in sorted({round(last * i / (number - 1)) for i in range(number)})]


def _trainings(search: SearchConfig, counted: _Counted) -> float:
    """Return how many trainings to expect of a study."""
    proposed = search.trials * (1.0 if search.sampler == "pareto" else counted.feasible_share)
    return min(proposed, len(counted.networks)) if counted.exact else proposed


def _time(networks: list[_Network], dataset: Dataset, recipe: Recipe, device: torch.device) -> list[StepTime]:
    time_step(networks[0].architecture, dataset, recipe, device=device)  # what a process does once is not its cost
    return [time_step(network.architecture, dataset, recipe, device=device) for network in networks]


def _milliseconds(config: StudyConfig, networks: list[_Network], device: torch.device) -> list[float]:
    """Return latencies as the budget asks for them, none where it does not."""
    limit, threads = config.budget.latency_ms, config.recipe.cpu_threads
    if limit is None:
        return []
    return [measure_for_budget(limit, n.architecture, threads=threads, device=device).median_ms for n in networks]


def _spread(values: list[int]) -> Spread:
    return Spread(min(values), int(statistics.median(values)), max(values))


def _trial_seconds(recipe: Recipe, dataset: Dataset, step_seconds: float) -> float:
    """Estimate a trial's training time from a step's; validation runs forward only, a third of the work."""
    images = len(dataset.train)
    trained = recipe.total_steps(images) * recipe.step_images(images)
    validated = recipe.total_epochs(images) * len(dataset.validation)
    return step_seconds / recipe.step_images(images) * (trained + validated / 3)


def _speeds(
    recipe: Recipe, dataset: Dataset, architecture: Architecture, device: torch.device, *, own: float
) -> dict[str, float]:
    """Return images per second of the recipe, whose step takes ``own`` seconds, and of other precisions and layouts."""
    images = recipe.step_images(len(dataset.train))

    def named(precision: str, channels_last: bool) -> str:
        return f"{precision}, channels {'last' if channels_last else 'first'}"

    setting = (resolved_precision(recipe.precision, device), recipe.channels_last)
    found = {named(*setting): images / own}
    if recipe.compile:  # each setting would be compiled
        return found
    for precision, channels_last in itertools.product(PRECISIONS, (True, False)):
        if (precision, channels_last) != setting:
            changed = recipe.model_copy(update={"precision": precision, "channels_last": channels_last})
            step = time_step(architecture, dataset, changed, device=device, steps=_STEPS)
            found[named(precision, channels_last)] = images / step.seconds
    return found


def _within(budget: Budget, milliseconds: list[float]) -> int:
    """Return how many latencies meet the budget."""
    return sum(all(v <= 0 for v in budget.latency_violations(ms).values()) for ms in milliseconds)
