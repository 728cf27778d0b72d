"""What to expect of a search, before anything is trained."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass

import numpy as np
import torch

from nas.architecture.spec import Architecture
from nas.config.budget import METRICS, Budget, Metric
from nas.config.search import SearchConfig
from nas.config.study import StudyConfig, idle_keys
from nas.data.sources import Dataset
from nas.models.device import describe_device, devices_of, resolve_device
from nas.scaling.seconds import FEWEST, LeftOut, SecondsModel, fit_seconds, left_out
from nas.search.bounds import measure_for_budget, require_hands, require_satisfiable
from nas.search.counting import Counted, Network, count_networks, evenly_spread, expected_trainings
from nas.search.opening import Named, find_study
from nas.search.priors import prior_note, with_prior
from nas.search.seconds import keep_seconds
from nas.search.sharing import sharing_of
from nas.search.storage.seconds import CheckedSeconds
from nas.search.together import try_together
from nas.training.preparing import require_batch
from nas.training.recipe import Recipe
from nas.training.step import PRECISIONS, resolved_precision
from nas.training.timing import StepTime, time_step

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
        image_seconds: How the seconds of an image in a training step follow FLOPs and activations; None where fewer
            than four of the networks that were timed differ in cost.
        seconds_error: How far off that is at each of these networks when it is fitted to the others.
        kept: Whether it is kept in the study's database.
        data_share: Share of the training steps' time that is spent on preparing batches, in 0 to 1.
        speeds: Training speed of the median network in images per second, by precision and layout. The recipe's own
            comes first.
        trainings: Expected number of trainings of the whole study, if no network is too slow for a bound on latency.
            The sampler ``pareto`` trains one network for each trial; for the others, it is the feasible share of the
            trials. It is never more than the number of networks, if that is known.
        total_seconds: Estimated time in seconds of those trainings with one worker, each to the end: what they would
            take if they were spread over all networks. Halving takes less time, and replicates take more.
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
    image_seconds: SecondsModel | None
    seconds_error: LeftOut | None
    kept: bool
    data_share: float
    speeds: dict[str, float]
    trainings: float
    total_seconds: float
    skipped: int
    workers: int = 1
    workers_seconds: float | None = None
    notes: tuple[str, ...] = ()

    def trainings_within(self, seconds: float) -> float:
        """Return how many of the study's trainings end in a time, with the workers that were tried."""
        whole = self.workers_seconds or self.total_seconds
        return self.trainings * min(1.0, seconds / whole)


def check_study(
    study: Named,
    *,
    device: str = "auto",
    workers: int | None = None,
    share_gpu: bool = False,
    storage: str | None = None,
) -> CheckReport:
    """Count a study's networks and time a few training steps.

    Up to 20,000 coefficient points are all counted. If there are more, or if ranges are continuous, 2,000 are drawn at
    random. What the times tell of other networks is kept in the database of a study that has been run.

    Args:
        study: A study file, the name of a shipped study, a definition, or an opened study.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Also train the median network for a few seconds in so many processes at the same time, which tells how
            long the study takes with them.
        share_gpu: As for ``run_study``, where ``workers`` is given.
        storage: Database URL; default: the SQLite database in the study's folder, if there is one.

    Raises:
        BudgetError: No network meets the budget, or none of the sampled ones does.
        UserError: The study, its data or the device is wrong.
    """
    given, chosen = find_study(study, storage=storage), resolve_device(device)
    found = given.as_begun()
    config, dataset = with_prior(found.config, found.database, found.directory), found.dataset
    taught = config.recipe.distillation is not None
    config = config.model_copy(update={"recipe": config.recipe.model_copy(update={"distillation": None})})
    require_batch(config.recipe, len(dataset.train))
    require_satisfiable(config, dataset)
    counted = count_networks(config, dataset)
    sample = evenly_spread(counted.networks, _TIMED)
    timed = _time(sample, dataset, config.recipe, chosen)
    images, checked = _images(config.recipe, dataset), _checked(sample, timed, config.recipe, dataset, chosen)
    seconds = [images * step.seconds / config.recipe.step_images(len(dataset.train)) for step in timed]
    middle = len(sample) // 2
    milliseconds = _milliseconds(config, [sample[i] for i in (0, middle, -1)], chosen)
    trainings = expected_trainings(config.search, counted)
    together = None
    if workers is not None:
        devices = devices_of(device, workers)
        sharing = sharing_of(config, lambda: dataset, devices, wanted=share_gpu)
        require_hands(config, dataset, list(dict.fromkeys(devices)) if share_gpu else devices)
        together = try_together(config, dataset, sample[middle].architecture, devices=devices, sharing=sharing)
    total_seconds = trainings * (statistics.mean(seconds) if checked is None else _mean_seconds(checked, counted))
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
        image_seconds=None if checked is None else checked.image,
        seconds_error=None if checked is None else checked.error,
        kept=checked is not None and keep_seconds(found, checked),
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
            *(["times are those without the teachers, whose forward passes come on top"] if taught else []),
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


def _time(networks: list[Network], dataset: Dataset, recipe: Recipe, device: torch.device) -> list[StepTime]:
    time_step(networks[0].architecture, dataset, recipe, device=device)  # what a process does once is not its cost
    return [time_step(network.architecture, dataset, recipe, device=device) for network in networks]


def _milliseconds(config: StudyConfig, networks: list[Network], device: torch.device) -> list[float]:
    """Return latencies as the budget asks for them, none where it does not."""
    limit, threads = config.budget.latency_ms, config.recipe.cpu_threads
    if limit is None:
        return []
    return [measure_for_budget(limit, n.architecture, threads=threads, device=device).median_ms for n in networks]


def _spread(values: list[int]) -> Spread:
    return Spread(min(values), int(statistics.median(values)), max(values))


def _images(recipe: Recipe, dataset: Dataset) -> float:
    """Return how many images a training takes the time of; validation runs forward only, a third of the work."""
    images = len(dataset.train)
    trained = recipe.total_steps(images) * recipe.step_images(images)
    return trained + recipe.total_epochs(images) * len(dataset.validation) / 3


def _checked(
    sample: list[Network], timed: list[StepTime], recipe: Recipe, dataset: Dataset, device: torch.device
) -> CheckedSeconds | None:
    """Return what the timed networks tell of others; None where too few of them differ in cost."""
    flops, activations = ([getattr(network.cost, name) for network in sample] for name in ("flops", "activations"))
    if len(set(zip(flops, activations, strict=True))) < FEWEST:
        return None
    seconds = [step.seconds / recipe.step_images(len(dataset.train)) for step in timed]
    return CheckedSeconds(
        describe_device(device),
        resolved_precision(recipe.precision, device),
        fit_seconds(flops, activations, seconds),
        left_out(flops, activations, seconds),
        networks=len(sample),
        images=_images(recipe, dataset),
    )


def _mean_seconds(checked: CheckedSeconds, counted: Counted) -> float:
    """Return the mean seconds of a training over all networks."""
    costs = [network.cost for network in counted.networks]
    return float(checked.training.predict([c.flops for c in costs], [c.activations for c in costs]).mean())


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
