"""Latency as a budget asks for it."""

from __future__ import annotations

import torch

from nas.architecture.spec import Architecture
from nas.config.budget import LatencyLimit
from nas.models.backends import Latency
from nas.models.device import describe_device, describe_versions
from nas.models.latency import time_inference


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
