"""How long a network takes on the device, and how much memory: warm-up, many repeats, quantiles.

``measure_latency`` measures in a process of its own for each backend and batch, so that the memory of what ran before
takes no part. ``time_inference`` measures in this process; a search does so for a budget.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from nas.architecture.spec import Architecture
from nas.errors import ConfigError, MeasurementError
from nas.models.backends import BACKENDS, FLOAT_BACKENDS, Backend, Latency
from nas.models.build import build_model
from nas.models.device import describe_device, describe_versions, resolve_device
from nas.models.int8 import to_int8
from nas.models.memory import peak_allocated, random_images, resident_bytes, tensor_bytes_of
from nas.models.onnx import export_onnx
from nas.processes.isolated import first_line, in_own_process
from nas.processes.threads import cpu_threads

CALM_SPREAD, CALM_SHARE = 1.5, 0.9
"""At most the ninetieth percentile over the tenth, and at least the share of processor time, of a calm measurement."""

_ATTEMPTS = 3  # at a calm measurement


class Failure(NamedTuple):
    """Why a backend was not measured at a batch; larger ones are then not tried."""

    backend: Backend
    batch: int
    reason: str


class Measured(NamedTuple):
    """Measurements in the order asked for, and what could not be measured."""

    latencies: list[Latency]
    failures: list[Failure]


class _Setting(NamedTuple):
    """How a network is to be run."""

    backend: Backend
    device: str
    batch: int
    threads: int
    least_seconds: float


class _Times(NamedTuple):
    """Seconds of repeated calls, and how far they are from those of an idle machine: up to 1 is calm."""

    seconds: list[float]
    unrest: float


class _Runner(NamedTuple):
    """A function that runs one batch and waits for the result, and the bytes of weights and input."""

    run: Callable[[], object]
    tensor_bytes: int


def measure_latency(
    architecture: Architecture,
    *,
    device: str = "auto",
    backends: Sequence[Backend] = FLOAT_BACKENDS,
    batches: Sequence[int] = (1,),
    threads: int = 1,
    least_seconds: float = 1.0,
    on_start: Callable[[Backend, int], None] | None = None,
) -> Measured:
    """Measure the inference time of a freshly initialised network, each backend and batch size in its own process.

    A script must call this under ``if __name__ == "__main__":``, because the processes import the script.

    Args:
        architecture: The network to measure. Its weights do not affect the time.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        backends: Which of ``BACKENDS`` to measure; default: those in float32.
        batches: Batch sizes.
        threads: CPU threads within one operator; default 1. On cores that other programs use too, several threads wait
            for each other and can take hundreds of times as long.
        least_seconds: How long to repeat the timed calls, in seconds; there are at least ten.
        on_start: Called with each backend and batch before it is measured.

    Raises:
        DeviceError: There is no such device on this machine.
        ConfigError: A number of images or threads is below one, or there is no such backend, or the script calls this
            without that guard.
    """
    name = str(resolve_device(device))
    for what, value in (("threads", threads), *(("batch", batch) for batch in batches)):
        if value < 1:
            raise ConfigError(f"{what} must be at least 1, but is {value}")
    for backend in backends:
        if backend not in BACKENDS:
            raise ConfigError(f"unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
    measured = Measured([], [])
    for backend in backends:
        batch = batches[0]
        try:
            with _exported(architecture, backend, name) as onnx_file:
                for batch in batches:
                    if on_start is not None:
                        on_start(backend, batch)
                    setting = _Setting(backend, name, batch, threads, least_seconds)
                    measured.latencies.append(in_own_process(_measure, architecture, setting, onnx_file))
        except MeasurementError as error:
            measured.failures.append(Failure(backend, batch, str(error)))
    return measured


def time_inference(
    architecture: Architecture,
    *,
    backend: Backend = "eager",
    device: torch.device,
    batch: int = 1,
    threads: int = 1,
    least_seconds: float = 0.5,
) -> Latency:
    """Measure a freshly initialised network in this process, without its memory.

    Args:
        architecture: What to measure.
        backend: How to run it.
        device: Where.
        batch: Images in a batch.
        threads: Of the CPU within one operator; the number of threads is restored afterwards.
        least_seconds: Timed calls are repeated for so long, and at least ten times.

    Raises:
        MeasurementError: The backend does not run here.
    """
    setting = _Setting(backend, str(device), batch, threads, least_seconds)
    exported = _exported(architecture, backend, setting.device)
    with cpu_threads(threads), torch.random.fork_rng(devices=[]), exported as onnx_file:
        times = _calmest(_runner(architecture, setting, onnx_file).run, setting)
    return _summary(times, setting, peak_memory=None)


def _measure(architecture: Architecture, setting: _Setting, onnx_file: Path | None) -> Latency:
    """Measure time and memory; the work of a measuring process."""
    torch.set_num_threads(setting.threads)
    if onnx_file is not None:
        import onnxruntime  # noqa: F401  its own memory is not the network's

    before = resident_bytes()
    runner = _runner(architecture, setting, onnx_file)
    resident_bytes()  # loading may need more than running
    times = _calmest(runner.run, setting)
    peak: int | None
    if onnx_file is None:
        peak = peak_allocated(runner.run, torch.device(setting.device), tensor_bytes=runner.tensor_bytes)
    else:
        after = resident_bytes()
        peak = after.peak - before.now if before and after and setting.device == "cpu" else None
    return _summary(times, setting, peak_memory=peak)


def _runner(architecture: Architecture, setting: _Setting, onnx_file: Path | None) -> _Runner:
    """Prepare a network to run as a setting says.

    Raises:
        MeasurementError: The backend does not run here.
    """
    device = torch.device(setting.device)
    if onnx_file is not None:
        session = _session(onnx_file, device=device, threads=setting.threads)
        given = {"images": random_images(architecture, setting.batch, torch.device("cpu")).contiguous().numpy()}
        return _Runner(lambda: session.run(None, given), 0)
    # in channels-last layout, which is how networks are trained here
    model = build_model(architecture).eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = random_images(architecture, setting.batch, device)
    network: Callable[[torch.Tensor], object] = _compiled(model) if setting.backend == "compile" else model

    def run() -> None:
        with torch.inference_mode():
            network(images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler's own imports
            run()
    except Exception as error:  # whatever the compiler or the memory of this machine meets
        raise MeasurementError(first_line(error)) from None
    return _Runner(run, tensor_bytes_of(model, images))


def _compiled(model: nn.Module) -> Callable[[torch.Tensor], object]:
    """Return a model that is compiled when it first runs."""
    torch.compiler.reset()  # all networks are one class, of which only so many are compiled; the others run as they are
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own imports
        return torch.compile(model, dynamic=False)


def _session(path: Path, *, device: torch.device, threads: int) -> Any:
    """Open an ONNX file in onnxruntime.

    Raises:
        MeasurementError: The installed onnxruntime does not know the device.
    """
    import onnxruntime

    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device.type]
    if provider not in onnxruntime.get_available_providers():
        raise MeasurementError("the installed onnxruntime does not support GPUs: pip install onnxruntime-gpu")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=[provider])
    if session.get_providers()[0] != provider:  # it warns, and goes on with the CPU
        raise MeasurementError(f"onnxruntime cannot load {provider}: its CUDA libraries are missing or do not match")
    return session


@contextmanager
def _exported(architecture: Architecture, backend: Backend, device: str) -> Iterator[Path | None]:
    """Give the network as the ONNX file that a backend runs, for as long as it is needed; None where it runs none."""
    if backend not in ("onnxruntime", "onnxruntime-int8"):
        yield None
        return
    if backend == "onnxruntime-int8" and device != "cpu":
        raise MeasurementError("int8 is measured on the CPU only, whose kernels it is made for: --device cpu")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            with torch.random.fork_rng(devices=[]):
                images = random_images(architecture, 2, torch.device("cpu")).contiguous()
                export_onnx(build_model(architecture).eval(), images, path)
            if backend == "onnxruntime-int8":  # the ranges that are calibrated do not affect the time
                path.write_bytes(to_int8(path.read_bytes(), images.numpy()))
        except Exception as error:  # whatever the exporter does not know
            raise MeasurementError(first_line(error)) from None
        yield path


def _calmest(run: Callable[[], object], setting: _Setting) -> _Times:
    """Time calls, again where other programs disturbed them, and return the calmest times."""
    found: list[_Times] = []
    while len(found) < _ATTEMPTS and not any(times.unrest <= 1 for times in found):
        computed, began = time.process_time(), time.perf_counter()
        seconds = _timed(run, setting.least_seconds)
        share = (time.process_time() - computed) / (time.perf_counter() - began)
        # a GPU's work takes none of the process's own time
        found.append(_Times(seconds, _unrest(seconds, share if setting.device == "cpu" else 1.0)))
    return min(found, key=lambda times: times.unrest)


def _unrest(seconds: Sequence[float], share: float) -> float:
    """Return how far calls are from calm ones, given the processor time that they had as a share of all time.

    Where another program has the same core, short calls differ widely, but long ones all take longer alike: only the
    share of the time shows it.
    """
    p10, p90 = np.percentile(seconds, (10, 90))
    return float(max(p90 / p10 / CALM_SPREAD, CALM_SHARE / max(share, 1e-9)))


def _timed(run: Callable[[], object], least_seconds: float) -> list[float]:
    """Return the seconds of repeated calls, after calls that warm up for a third of the time."""
    _repeat(run, least=3, seconds=least_seconds / 3)
    return _repeat(run, least=10, seconds=least_seconds)


def _repeat(run: Callable[[], object], *, least: int, seconds: float) -> list[float]:
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < least or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return taken


def _summary(times: _Times, setting: _Setting, *, peak_memory: int | None) -> Latency:
    p10, median, p90 = (float(1000 * value) for value in np.percentile(times.seconds, (10, 50, 90)))
    return Latency(
        backend=setting.backend,
        device=describe_device(torch.device(setting.device)),
        threads=setting.threads,
        batch=setting.batch,
        median_ms=median,
        p10_ms=p10,
        p90_ms=p90,
        repeats=len(times.seconds),
        peak_memory=peak_memory,
        versions=describe_versions(),
        noisy=times.unrest > 1,
    )
