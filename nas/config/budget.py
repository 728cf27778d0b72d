"""The ``budget`` section of a study: bounds on what a network may cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self, TypeAlias, get_args

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from nas.architecture.cost import Cost
from nas.models.backends import Backend
from nas.schema import Strict
from nas.units import ByteCount, Count, format_bytes, format_count

Metric: TypeAlias = Literal["flops", "params", "activations", "weight_bytes", "peak_memory"]
METRICS: tuple[Metric, ...] = get_args(Metric)
"""Costs that are computed without measuring: attributes of ``Cost``."""


class Limit(Strict):
    """Smallest and largest allowed value of one cost, both included. Counts may be written 400M."""

    min: Count = 0
    max: Count | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min {format_count(self.min)} is larger than max {format_count(self.max)}")
        return self


class ByteLimit(Limit):
    """Smallest and largest allowed number of bytes, both included. Bytes may be written 400kB."""

    min: ByteCount = 0
    max: ByteCount | None = None


class LatencyLimit(Strict):
    """Bounds on the inference time of one batch, measured on the device that would train the network.

    Attributes:
        min: Smallest allowed median time in milliseconds; default 0.
        max: Largest allowed median time in milliseconds; no limit by default.
        batch: Number of images in the batch; default 1.
        backend: ``eager`` (plain PyTorch, the default), ``compile`` (``torch.compile``), ``onnxruntime`` or
            ``onnxruntime-int8``, which quantises the network first.
    """

    min: NonNegativeFloat = 0.0
    max: PositiveFloat | None = None
    batch: PositiveInt = 1
    backend: Backend = "eager"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is larger than max {self.max:g}")
        if self.max is None and self.min == 0:
            raise ValueError("give max or min, in milliseconds")
        return self


class Budget(Strict):
    """The ``budget`` section: what a network may cost for one image. It is checked before a network is trained.

    Attributes:
        flops: FLOPs as fvcore counts them: one multiply-add is one FLOP.
        params: Number of trainable parameters.
        activations: Number of output elements of all convolutions and linear layers.
        weight_bytes: Bytes of the parameters in float32.
        peak_memory: Largest number of bytes that float32 feature maps take at the same time during inference.
        latency_ms: Inference time in milliseconds. It is measured for networks that meet all other bounds; a CPU uses
            as many threads as the recipe's ``cpu_threads``.
    """

    flops: Limit | None = None
    params: Limit | None = None
    activations: Limit | None = None
    weight_bytes: ByteLimit | None = None
    peak_memory: ByteLimit | None = None
    latency_ms: LatencyLimit | None = None

    def limits(self) -> dict[Metric, Limit]:
        """Return the limits of closed form that are set."""
        return {metric: limit for metric in METRICS if (limit := getattr(self, metric)) is not None}

    def violations(self, cost: Cost) -> dict[str, float]:
        """Return by how much each bound of closed form is missed, as a share of it; a bound is met at 0 or less."""
        found: dict[str, float] = {}
        for metric, limit in self.limits().items():
            found |= _violations(metric, limit, getattr(cost, metric))
        return found

    def latency_violations(self, latency_ms: float) -> dict[str, float]:
        """Return the same for a measured latency."""
        return {} if self.latency_ms is None else _violations("latency_ms", self.latency_ms, latency_ms)

    def allows(self, cost: Cost) -> bool:
        """Tell whether a cost meets every bound of closed form."""
        return all(violation <= 0 for violation in self.violations(cost).values())

    def missed(self, cost: Cost) -> str:
        """Say which bounds of closed form a cost misses and by what, or nothing."""
        found = [key for key, violation in self.violations(cost).items() if violation > 0]
        metrics = [metric for metric in self.limits() if {f"{metric}_min", f"{metric}_max"} & set(found)]
        return ", ".join(f"{metric} {write_metric(metric)(getattr(cost, metric))}" for metric in metrics)

    def __str__(self) -> str:
        """Write the bounds as people do."""
        parts = []
        for metric, limit in self.limits().items():
            write = write_metric(metric)
            low = f"{write(limit.min)} <= " if limit.min else ""
            high = f" <= {write(limit.max)}" if limit.max is not None else ""
            parts.append(f"{low}{metric}{high}")
        if self.latency_ms is not None:
            low = f"{self.latency_ms.min:g} <= " if self.latency_ms.min else ""
            high = f" <= {self.latency_ms.max:g}" if self.latency_ms.max is not None else ""
            parts.append(f"{low}latency_ms{high} (batch {self.latency_ms.batch}, {self.latency_ms.backend})")
        return ", ".join(parts) or "none"


def write_metric(metric: Metric) -> Callable[[float], str]:
    """Return the function that writes values of a metric for people."""
    return format_bytes if metric in ("weight_bytes", "peak_memory") else format_count


def _violations(metric: str, limit: Limit | LatencyLimit, value: float) -> dict[str, float]:
    found = {}
    if limit.max is not None:
        found[f"{metric}_max"] = value / limit.max - 1 if limit.max else value
    if limit.min > 0:
        found[f"{metric}_min"] = 1 - value / limit.min
    return found
