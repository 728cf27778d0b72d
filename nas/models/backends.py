"""What runs a network at inference, and what was measured of it: plain data, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Backend: TypeAlias = Literal["eager", "compile", "onnxruntime", "onnxruntime-int8"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
"""torch as it is; ``torch.compile``; onnxruntime on the exported file, and on the same in eight-bit integers."""
FLOAT_BACKENDS: tuple[Backend, ...] = ("eager", "compile", "onnxruntime")
"""Those that run a network as it is trained."""


@dataclass(frozen=True, slots=True)
class Latency:
    """The time that one batch takes at inference, in float32 or by ``onnxruntime-int8`` in eight-bit integers.

    Attributes:
        backend: One of ``BACKENDS``.
        device: Model of the CPU or GPU.
        threads: Of the CPU within one operator.
        batch: Images in the batch.
        median_ms: Milliseconds from the call to the result, median of all repeats.
        p10_ms: Tenth percentile.
        p90_ms: Ninetieth percentile.
        repeats: Number of timed calls.
        peak_memory: Bytes of weights, input and all that is allocated at once while a batch runs: by torch's allocator,
            or for onnxruntime by the growth of the process's resident memory; None where it was not measured.
        versions: Of torch, onnxruntime and Python.
        noisy: Whether other programs took part of the machine, however often it was measured.
    """

    backend: Backend
    device: str
    threads: int
    batch: int
    median_ms: float
    p10_ms: float
    p90_ms: float
    repeats: int
    peak_memory: int | None
    versions: str
    noisy: bool = False

    @property
    def setting(self) -> tuple[object, ...]:
        """How it was measured: only those measured alike can be compared."""
        return self.backend, self.device, self.threads, self.batch, self.versions

    @property
    def precision(self) -> str:
        """What the network computes in."""
        return "float32" if self.backend in FLOAT_BACKENDS else "int8"

    @property
    def images_per_second(self) -> float:
        """At the median."""
        return 1000 * self.batch / self.median_ms
