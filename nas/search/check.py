"""What a search will meet, said before anything is trained."""

from __future__ import annotations

import itertools
import random
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch

from nas.architecture.spec import Architecture
from nas.budget import METRICS, Budget, Metric
from nas.config import SearchConfig, StudyConfig
from nas.data.sources import Dataset, load_data
from nas.errors import BudgetError
from nas.models.device import describe_device, resolve_device
from nas.search.bounds import require_satisfiable
from nas.search.objective import Candidate, realise
from nas.search.study import resolve_study
from nas.search.timing import measure_for_budget
from nas.training.loop import time_step
from nas.training.recipe import Recipe
from nas.training.step import PRECISIONS, resolved_precision
from nas.units import format_count

_SAMPLES = 2000
_STEPS = 10  # timed for each precision and layout

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
        proposals: Number of coefficient points drawn at random.
        feasible_share: Of the points whose network meets the bounds of closed form.
        networks: Distinct networks among the points that meet them; there may be more in the space.
        costs: Of those networks, by metric.
        device: That the time was measured on.
        latency_ms: Measured as the budget says, of the cheapest, the median and the dearest network by FLOPs; None
            where the budget has no latency.
        fast_enough: How many of those three are within the budget; None where it has no latency.
        trial_seconds: Estimated training time of the cheapest, the median and the dearest network.
        data_share: Share of the training time of those three that goes into making batches.
        speeds: Training images per second of the median network by precision and layout, that of the recipe first.
        total_seconds: Estimated time of the whole study with one worker if no network were proposed twice.
        skipped: Broken images that are left out.
    """

    study: str
    proposals: int
    feasible_share: float
    networks: int
    costs: dict[Metric, Spread]
    device: str
    latency_ms: tuple[float, float, float] | None
    fast_enough: int | None
    trial_seconds: tuple[float, float, float]
    data_share: float
    speeds: dict[str, float]
    total_seconds: float
    skipped: int


def check_study(study: str | Path | StudyConfig, *, device: str = "auto") -> CheckReport:
    """Sample a study's search space and time a few training steps.

    Args:
        study: A study file, the name of a shipped study, or a definition.
        device: As for ``run_study``.

    Raises:
        BudgetError: No network meets the budget, or none of the sampled ones does.
        UserError: The study, its data or the device is wrong.
    """
    config, _ = resolve_study(study)
    chosen = resolve_device(device)
    dataset = load_data(config.data)
    require_satisfiable(config, dataset)
    candidates = [_draw(config.search, dataset, random.Random(f"check/{i}"), i) for i in range(_SAMPLES)]
    feasible = [candidate for candidate in candidates if config.budget.allows(candidate.cost)]
    if not feasible:
        flops = sorted(candidate.cost.flops for candidate in candidates)
        raise BudgetError(
            f"budget {config.budget}: met by none of {_SAMPLES} sampled networks, which have"
            f" {format_count(flops[0])} to {format_count(flops[-1])} FLOPs"
        )
    networks = sorted({c.record.digest: c for c in feasible}.values(), key=lambda c: c.cost.flops)
    three = [networks[i] for i in (0, len(networks) // 2, -1)]
    time_step(three[0].architecture, dataset, config.recipe, device=chosen)  # what a process does once is not its cost
    timed = [time_step(network.architecture, dataset, config.recipe, device=chosen) for network in three]
    seconds = [_trial_seconds(config.recipe, dataset, step.seconds) for step in timed]
    limit = config.budget.latency_ms
    milliseconds = []
    if limit is not None:
        threads = config.recipe.cpu_threads
        measured = [measure_for_budget(limit, n.architecture, threads=threads, device=chosen) for n in three]
        milliseconds = [latency.median_ms for latency in measured]
    return CheckReport(
        study=config.name,
        proposals=len(candidates),
        feasible_share=len(feasible) / len(candidates),
        networks=len(networks),
        costs={metric: _spread([getattr(c.cost, metric) for c in networks]) for metric in METRICS},
        device=describe_device(chosen),
        latency_ms=(milliseconds[0], milliseconds[1], milliseconds[2]) if milliseconds else None,
        fast_enough=_within(config.budget, milliseconds) if milliseconds else None,
        trial_seconds=(seconds[0], seconds[1], seconds[2]),
        data_share=sum(s.data_share * s.seconds for s in timed) / sum(s.seconds for s in timed),
        speeds=_speeds(config.recipe, dataset, three[1].architecture, chosen, own=timed[1].seconds),
        total_seconds=config.search.trials * len(feasible) / len(candidates) * statistics.mean(seconds),
        skipped=dataset.skipped,
    )


def _draw(search: SearchConfig, dataset: Dataset, generator: random.Random, number: int) -> Candidate:
    """Draw one point of the box and realise its network."""
    pixels = search.resolution
    space = generator.choice(search.spaces).name
    return realise(
        search,
        number,
        dataset,
        space=space,
        width=_draw_from(search.width.min, search.width.max, search.width.step, generator),
        depth=_draw_from(search.depth.min, search.depth.max, search.depth.step, generator),
        resolution=generator.randrange(pixels.min, pixels.max + 1, pixels.step),
        choices={key: generator.choice(values) for key, values in search.dimensions(space).items()},
    )


def _draw_from(low: float, high: float, step: float | None, generator: random.Random) -> float:
    if step is None:
        return generator.uniform(low, high)
    return low + step * generator.randrange(int((high - low) / step + 1e-9) + 1)


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
