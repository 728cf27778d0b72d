"""Which of some ONNX files is faster on this machine: processor time of the calling thread, file by file in turns.

A busy machine makes all of them slower together, and time in which other programs run is not counted, so the ratios
hold where the milliseconds do not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.models.device import describe_device, describe_versions

ROUNDS = 60
_BLOCK_SECONDS = 0.003  # of calls between two looks at the clock


class Speed(NamedTuple):
    """Times of some files.

    Attributes:
        times: Milliseconds of a call by file, of shape (rounds,); those of a round were measured one after the other.
        setting: How they were measured, in words.
    """

    times: Mapping[str, NDArray[np.float64]]
    setting: str

    def median_ms(self, name: str) -> float:
        """Return the median of a file's times in milliseconds."""
        return float(np.median(self.times[name]))

    def ratio(self, name: str, of: str) -> float:
        """Return how long a file takes as a multiple of another: the median over the rounds."""
        return float(np.median(self.times[name] / self.times[of]))


def compare_speed(files: Mapping[str, Path], *, batch: int = 1, rounds: int = ROUNDS) -> Speed:
    """Measure how long ONNX files take for a batch of images, with one thread.

    Args:
        files: By any name; each has one input, of float images.
        batch: Images at once.
        rounds: How often each is measured.
    """
    import torch

    runs = {name: _runner(path, batch) for name, path in files.items()}
    calls = {name: _calls(run) for name, run in runs.items()}
    times = {name: np.empty(rounds) for name in runs}
    for index in range(rounds):
        for name, run in runs.items():
            times[name][index] = _milliseconds(run, calls[name])
    machine = f"{describe_device(torch.device('cpu'))}; {describe_versions()}"
    return Speed(times, f"processor time, batch {batch}, one thread, median of {rounds} rounds by turns; {machine}")


def onnx_session(path: Path) -> Any:
    """Return a session of onnxruntime that does all in the thread that calls it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _runner(path: Path, batch: int) -> Any:
    session = onnx_session(path)
    (given,) = session.get_inputs()
    images = np.random.default_rng(0).normal(size=(batch, *given.shape[1:])).astype(np.float32)
    inputs = {given.name: images}
    return lambda: session.run(None, inputs)


def _milliseconds(run: Any, calls: int) -> float:
    begun = time.thread_time()
    for _ in range(calls):
        run()
    return 1000 * (time.thread_time() - begun) / calls


def _calls(run: Any) -> int:
    """Return how many calls fill a block, after some to warm up."""
    for _ in range(3):
        run()
    return max(1, round(1000 * _BLOCK_SECONDS / max(_milliseconds(run, 3), 1e-3)))
