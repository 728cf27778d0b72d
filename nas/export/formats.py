"""Every format of a bundle is run, and its logits are compared with the module's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nas.errors import ExportError

Logits: TypeAlias = npt.NDArray[np.float32]
Runner: TypeAlias = Callable[[npt.NDArray[Any]], Logits]
"""Gives the logits of a batch, computed by one thread."""

TOLERANCE = 1e-3
"""Largest allowed difference of a logit between the module and another format, relative to the largest logit."""

PIXELS_TOLERANCE = 0.1
"""The same where pixels are resized: of 255 levels, two programs may differ by one."""

ROUNDED_TOLERANCE = 0.5
"""Largest allowed difference of logits in eight bits: root of the mean square, relative to that of the logits about the
mean of each image. Of five small networks it was 0.03 to 0.07 on noise; of others, trained on the same images, 0.84 to
2.9."""

_ROUNDS, _LEAST_ROUNDS = 50, 5
_SECONDS = 1.0  # of CPU time, for each format; fewer rounds than the most are timed of what takes longer


class Parity(NamedTuple):
    """How a format compares with the PyTorch module.

    Attributes:
        file: Of the format.
        difference: Largest absolute difference of a logit.
        agreement: Share of the images with the same top class, in 0 to 1.
        images: Number of images.
        accuracy: Share of these images that the format gets right, in 0 to 1; None where their classes are not known.
        bytes: That the format takes, those of other files that it needs among it; None where they were not counted.
        latency_ms: CPU time of the calling thread for one image, the median; None where it was not measured.
        timed: Number of calls that were timed.
    """

    file: str
    difference: float
    agreement: float
    images: int
    accuracy: float | None = None
    bytes: int | None = None
    latency_ms: float | None = None
    timed: int = 0


class Timed(NamedTuple):
    """CPU time of the calling thread: the median in milliseconds, and the number of calls."""

    latency_ms: float
    calls: int


def module_logits(model: nn.Module, images: torch.Tensor) -> Logits:
    """Return a module's logits for a batch, in eval mode."""
    with torch.inference_mode():
        logits: Logits = model.eval()(images).numpy()
    return logits


def module_runner(model: nn.Module) -> Runner:
    """Return what runs a module on float32 images."""
    return lambda batch: module_logits(model, torch.from_numpy(batch))


def onnx_runner(content: bytes | Path, name: str) -> Runner:
    """Return what runs an ONNX file in onnxruntime.

    Args:
        content: The file, or what it holds.
        name: Of the input.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(batch: npt.NDArray[Any]) -> Logits:
        (logits,) = session.run(None, {name: batch})
        return np.asarray(logits, np.float32)

    return run


def onnx_logits(content: bytes | Path, name: str, batch: npt.NDArray[Any]) -> Logits:
    """Return onnxruntime's logits for a batch; see ``onnx_runner``."""
    return onnx_runner(content, name)(batch)


def compared(file: str, expected: Logits, given: Logits, *, tolerance: float | None = TOLERANCE) -> Parity:
    """Compare a format's logits with the module's.

    Args:
        file: Of the format.
        expected: The module's logits, of shape (images, classes).
        given: The format's.
        tolerance: Largest difference of a logit, as a share of the largest one; None where numbers were rounded to
            eight bits, so that they differ by design.

    Raises:
        ExportError: They differ by more, or are of another shape or not finite.
    """
    if given.shape != expected.shape:
        raise ExportError(f"{file}: gives logits of shape {given.shape} where the module gives {expected.shape}")
    difference = float(np.abs(given - expected).max())
    most = float("inf") if tolerance is None else tolerance * max(1.0, float(np.abs(expected).max()))
    if not np.isfinite(difference) or difference > most:
        raise ExportError(f"{file}: logits differ from the module's by up to {difference:.3g}")
    return Parity(file, difference, float((given.argmax(1) == expected.argmax(1)).mean()), len(expected))


def require_akin(file: str, expected: Logits, given: Logits) -> None:
    """Require that a format in eight bits is the same network, of which it gives other logits by design.

    Raises:
        ExportError: It is not (see ``ROUNDED_TOLERANCE``).
    """
    spread, other = (logits - logits.mean(axis=1, keepdims=True) for logits in (expected, given))
    share = float(np.linalg.norm(other - spread) / max(float(np.linalg.norm(spread)), 1e-9))
    if not share <= ROUNDED_TOLERANCE:
        raise ExportError(f"{file}: logits are not the module's, rounded: they differ by {share:.0%} of them")


def times_of(calls: Mapping[str, Callable[[], object]]) -> dict[str, Timed]:
    """Measure the CPU time of calls, in turns, so that a machine that is busy for a while is so for all of them.

    Args:
        calls: By name; what they compute in other threads is not counted.
    """
    for call in calls.values():
        call()  # the first one allocates
    seconds = {name: list[float]() for name in calls}
    while _go_on(seconds):
        for name, call in calls.items():
            before = time.thread_time()
            call()
            seconds[name].append(time.thread_time() - before)
    return {name: Timed(1000 * float(np.median(times)), len(times)) for name, times in seconds.items()}


def _go_on(seconds: Mapping[str, list[float]]) -> bool:
    rounds = min(map(len, seconds.values()), default=_ROUNDS)
    spent = sum(map(sum, seconds.values()))
    return rounds < _LEAST_ROUNDS or (rounds < _ROUNDS and spent < _SECONDS * len(seconds))
