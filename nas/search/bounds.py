"""What a study asks for: bounds that cannot be met, said before anything is trained, and the one that is measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nas.architecture.space import Range
from nas.architecture.spec import Architecture
from nas.config.budget import LatencyLimit
from nas.config.study import StudyConfig
from nas.data.sources import Dataset
from nas.errors import BudgetError, ConfigError, DeviceError
from nas.models.backends import Latency
from nas.models.device import describe_device, describe_versions, device_memory
from nas.models.latency import time_inference
from nas.models.memory import estimate_training_memory
from nas.search.proposals import Candidate, realise
from nas.training.preparing import fitting_batch
from nas.training.step import SMALLEST_BATCH
from nas.units import format_bytes, format_count

HAND_BYTES = 350_000_000
"""Memory of a training process that only this process uses: measured were 335 MB with torch 2.13 on a CPU."""


def require_satisfiable(config: StudyConfig, dataset: Dataset) -> None:
    """Raise BudgetError where every network of the search misses the same bound of closed form.

    Costs rise with width and resolution, so the smallest give the cheapest network of a space and its choices and the
    largest the dearest. They rise with depth too, but for tables that list channels, of which several depths are tried.
    Networks between two bounds may still be missing: ``nas check`` looks for those.
    """
    limits = config.budget.limits()
    cheapest, dearest = (_corners(config, dataset, end) if limits else [] for end in ("min", "max"))
    for metric, limit in limits.items():
        low, high = ([getattr(c.cost, metric) for c in corner] for corner in (cheapest, dearest))
        if limit.max is not None and min(low) > limit.max:
            raise BudgetError(
                f"budget.{metric}.max {format_count(limit.max)} is below the cheapest network of the search, which has"
                f" {format_count(min(low))} ({min(low):,})"
            )
        if max(high) < limit.min:
            raise BudgetError(
                f"budget.{metric}.min {format_count(limit.min)} is above the most expensive network of the search,"
                f" which has {format_count(max(high))} ({max(high):,})"
            )


def require_memory(config: StudyConfig, dataset: Dataset, device: torch.device) -> None:
    """Raise DeviceError where a device has not the memory to train even the smallest network of the search."""
    smallest = min(_corners(config, dataset, "min"), key=lambda candidate: candidate.cost.activations)
    fitting_batch(smallest.architecture, SMALLEST_BATCH, device)


def require_hands(config: StudyConfig, dataset: Dataset, devices: Sequence[torch.device]) -> None:
    """Raise DeviceError where the memory has not room for so many training processes, and say for how many."""
    stored = {id(part.stored): part.stored for part in (dataset.train, dataset.validation)}.values()
    images = sum(pixels.nbytes for pixels in stored if not isinstance(pixels, np.memmap))  # which all processes share
    smallest = min(_corners(config, dataset, "min"), key=lambda candidate: candidate.cost.activations)
    training = estimate_training_memory(smallest.cost, batch=SMALLEST_BATCH).low
    each = HAND_BYTES + images + (training if devices[0].type == "cpu" else 0)
    fit = int(device_memory(torch.device("cpu")).free // each)
    if 1 < len(devices) and fit < len(devices):
        raise DeviceError(
            f"--workers {len(devices)}: each needs at least {format_bytes(each)} of memory, which is enough for {fit}"
        )


def require_rungs(config: StudyConfig, dataset: Dataset) -> None:
    """Raise ConfigError where a search is to be halved and no training has a rung, or none would pass them all."""
    halving = config.search.halving
    if halving is not None:
        try:
            halving.require(epochs=config.recipe.total_epochs(len(dataset.train)), trials=config.search.trials)
        except ValueError as error:
            raise ConfigError(f"study {config.name!r}: {error}") from None


def _corners(config: StudyConfig, dataset: Dataset, end: str) -> list[Candidate]:
    """Return the networks at one end of all coefficients, for every space and the choices that costs depend on."""
    search = config.search
    width, resolution = (getattr(getattr(search, key), end) for key in ("width", "resolution"))
    return [
        realise(search, 0, dataset, space=space.name, width=width, depth=depth, resolution=resolution, choices=choices)
        for space in search.spaces
        for choices in search.choices(space.name)
        if choices.get("activation") in (None, search.activation and search.activation[0], "prelu")
        for depth in (_depths(search.depth) if space.lists_channels else [getattr(search.depth, end)])
    ]


def _depths(allowed: Range) -> list[float]:
    """Return depths from the smallest to the largest, both among them."""
    return [allowed.min + (allowed.max - allowed.min) * part / 16 for part in range(17)]


def measure_for_budget(
    limit: LatencyLimit, architecture: Architecture, *, threads: int, device: torch.device
) -> Latency:
    """Measure a network in this process as the limit says, on the CPU with so many threads."""
    return time_inference(architecture, backend=limit.backend, device=device, batch=limit.batch, threads=threads)


def measured_alike(latency: Latency, limit: LatencyLimit, *, threads: int, device: torch.device) -> bool:
    """Tell whether an earlier measurement is what ``measure_for_budget`` would make here again."""
    return (latency.backend, latency.batch, latency.threads, latency.device, latency.versions) == (
        limit.backend,
        limit.batch,
        threads,
        describe_device(device),
        describe_versions(),
    )
