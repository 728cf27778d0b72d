"""Measurements are of the right thing, in a process of their own, and say why where there are none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil
import pytest
import torch

from nas.architecture.cost import count_cost
from nas.architecture.presets import preset
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.errors import ConfigError, DeviceError, MeasurementError
from nas.models import latency
from nas.models.backends import Latency
from nas.models.build import build_model
from nas.models.latency import measure_latency, time_inference
from nas.models.memory import measure_training_memory, peak_allocated
from nas.models.onnx import export_onnx
from nas.processes.isolated import in_own_process

CPU = torch.device("cpu")


def small(width: float = 0.25) -> Architecture:
    return load_space("resnet_small").architecture(width=width, depth=0.25, resolution=16, num_classes=5)


def fail() -> None:
    raise ValueError("line one\nline two")


def fail_without_a_word() -> None:
    raise MemoryError


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_wider_network_takes_longer_and_more_memory() -> None:
    with torch.random.fork_rng():
        measured = [
            measure_latency(small(width), device="cpu", backends=("eager", "onnxruntime"), threads=1, least_seconds=0.3)
            for width in (0.25, 4.0)
        ]
    for found in measured:
        assert not found.failures
        assert [item.backend for item in found.latencies] == ["eager", "onnxruntime"]
        for item in found.latencies:
            assert 0 < item.p10_ms <= item.median_ms <= item.p90_ms
            assert (item.threads, item.batch) == (1, 1) and item.repeats >= 10
            assert item.images_per_second == pytest.approx(1000 / item.median_ms)
            assert item.device.startswith("CPU ") and torch.__version__ in item.versions
    for narrow, wide in zip(measured[0].latencies, measured[1].latencies, strict=True):
        assert narrow.median_ms < wide.median_ms
        assert (narrow.peak_memory or 0) < (wide.peak_memory or 0)
    wide_cost = count_cost(small(4.0))
    assert (measured[1].latencies[0].peak_memory or 0) >= wide_cost.weight_bytes + wide_cost.peak_memory


def test_batches_are_measured_in_turn() -> None:
    started: list[tuple[str, int]] = []
    found = measure_latency(
        small(2.0),
        device="cpu",
        backends=("eager",),
        batches=(1, 32),
        least_seconds=0.2,
        on_start=lambda *args: started.append(args),
    )
    assert started == [("eager", 1), ("eager", 32)]
    one, many = found.latencies
    assert (one.batch, many.batch) == (1, 32)
    assert many.median_ms > one.median_ms
    assert many.images_per_second == pytest.approx(32_000 / many.median_ms)


@pytest.mark.slow
def test_the_compiler_runs_or_says_why_not() -> None:
    found = measure_latency(small(), device="cpu", backends=("compile",), least_seconds=0.1)
    if shutil.which("g++") or shutil.which("c++"):
        assert [item.backend for item in found.latencies] == ["compile"] and not found.failures
    else:
        assert found.failures[0].reason


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("c++")), reason="needs a C++ compiler")
def test_every_network_is_compiled_however_many_came_before() -> None:
    from torch._dynamo.utils import counters

    for index in range(10):  # torch compiles eight of a class and runs the others as they are
        network = load_space("resnet_small").architecture(
            width=0.25, depth=0.25, resolution=8 + index, num_classes=2, in_channels=1
        )
        counters.clear()
        time_inference(network, backend="compile", device=CPU, least_seconds=0.01)
        assert counters["stats"]["unique_graphs"] == 1, index


def test_a_failure_ends_a_backend_and_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(task: Any, architecture: Any, setting: Any, onnx_file: Any) -> Any:
        if setting.batch > 2:
            raise MeasurementError("out of memory")
        return setting

    monkeypatch.setattr(latency, "in_own_process", answer)
    found = measure_latency(small(), device="cpu", backends=("eager",), batches=(1, 2, 4, 8))
    assert [item.batch for item in found.latencies] == [1, 2]
    assert found.failures == [("eager", 4, "out of memory")]


def test_a_network_that_does_not_export_is_a_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise RuntimeError("no such operator\nmore")

    monkeypatch.setattr(latency, "export_onnx", refuse)
    state = torch.get_rng_state()
    found = measure_latency(small(), device="cpu", backends=("onnxruntime",))
    assert found.failures == [("onnxruntime", 1, "RuntimeError: no such operator")]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_figures_are_the_quantiles_of_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [float(n) for n in range(1, 12)]
    monkeypatch.setattr(latency, "_timed", lambda run, least_seconds: [n / 1000 for n in calls])
    found = time_inference(small(), device=CPU)
    assert (found.p10_ms, found.median_ms, found.p90_ms) == pytest.approx((2.0, 6.0, 10.0))
    assert found.repeats == 11


def test_calls_that_warm_up_are_not_counted() -> None:
    calls: list[int] = []
    taken = latency._timed(lambda: calls.append(1), least_seconds=0.0)
    assert len(taken) == 10 and len(calls) == 13


def test_onnxruntime_gets_the_threads_and_the_device_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Session:
        def __init__(self, path: Path, options: Any, providers: list[str]) -> None:
            seen["threads"], seen["providers"] = options.intra_op_num_threads, providers

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    latency._session(Path("x"), device=CPU, threads=3)
    assert seen == {"threads": 3, "providers": ["CPUExecutionProvider"]}
    with pytest.raises(MeasurementError, match="pip install onnxruntime-gpu"):
        latency._session(Path("x"), device=torch.device("cuda:0"), threads=1)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(MeasurementError, match="onnxruntime cannot load CUDAExecutionProvider"):
        latency._session(Path("x"), device=torch.device("cuda:0"), threads=1)


def test_versions_are_told_whichever_onnxruntime_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from nas.models import device

    def installed(names: dict[str, str]) -> Any:
        def version(name: str) -> str:
            if name not in names:
                raise PackageNotFoundError(name)
            return names[name]

        return version

    for names, text in (
        ({"onnxruntime": "1.2"}, "onnxruntime 1.2"),
        ({"onnxruntime-gpu": "1.3"}, "onnxruntime-gpu 1.3"),
        ({}, "no onnxruntime"),
    ):
        monkeypatch.setattr(device, "version", installed(names))
        assert f", {text}, Python" in device.describe_versions()


def test_what_does_not_run_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise MeasurementError("no compiler here")

    monkeypatch.setattr(latency, "in_own_process", refuse)
    found = measure_latency(small(), device="cpu", backends=("compile",))
    assert found.latencies == [] and found.failures == [("compile", 1, "no compiler here")]


def test_a_process_that_fails_or_dies_is_an_error_in_one_line() -> None:
    with pytest.raises(MeasurementError, match=r"^ValueError: line one$"):
        in_own_process(fail)
    with pytest.raises(MeasurementError, match="^MemoryError$"):
        in_own_process(fail_without_a_word)
    with pytest.raises(MeasurementError, match="the measuring process ended with exit code -9"):
        in_own_process(die)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"threads": 0}, ConfigError, "threads must be at least 1, but is 0"),
        ({"batches": (1, -1)}, ConfigError, "batch must be at least 1, but is -1"),
        ({"backends": ("tensorrt",)}, ConfigError, "unknown backend 'tensorrt'; known: eager, compile, onnxruntime"),
        ({"device": "tpu"}, DeviceError, "this machine has no device 'tpu'"),
    ],
)
def test_wrong_settings_are_refused(keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        measure_latency(small(), **{"device": "cpu", **keywords})


def test_a_measuring_process_ends_with_its_parent() -> None:
    code = (
        "import time\nfrom nas.processes.isolated import in_own_process\n"
        "if __name__ == '__main__':\n    in_own_process(time.sleep, 60)\n"
    )
    Path("parent.py").write_text(code)
    parent = subprocess.Popen([sys.executable, "parent.py"])
    deadline = time.monotonic() + 60
    children: list[psutil.Process] = []
    while time.monotonic() < deadline and not any("spawn_main" in " ".join(c.cmdline()) for c in children):
        time.sleep(0.1)
        children = psutil.Process(parent.pid).children(recursive=True)
    time.sleep(3)  # until it has loaded and sleeps
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert children and not alive


def test_a_measurement_in_this_process_leaves_no_trace() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    found = time_inference(small(), device=CPU, threads=2, batch=3, least_seconds=0.05)
    assert (found.threads, found.batch, found.backend, found.peak_memory) == (2, 3, "eager", None)
    assert isinstance(found, Latency)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_training_needs_weights_gradients_momentum_and_what_is_kept_for_the_way_back() -> None:
    cost = count_cost(preset("resnet18", resolution=32))
    one, more = (measure_training_memory(preset("resnet18", resolution=32), batch=n, device="cpu") for n in (2, 10))
    assert one >= 3 * cost.weight_bytes
    assert more - one > 8 * 4 * cost.activations  # each convolution's output is kept for its batch norm


def test_allocated_memory_is_counted_to_the_byte() -> None:
    def run() -> None:
        first = torch.empty(1000, dtype=torch.uint8)
        second = torch.empty(5000, dtype=torch.uint8)
        del first
        third = torch.empty(2000, dtype=torch.uint8)
        del second, third

    assert peak_allocated(run, CPU, tensor_bytes=7) == 7 + 7000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_measured() -> None:
    found = measure_latency(small(4.0), device="cuda", backends=("eager", "compile"), batches=(1, 64))
    assert not found.failures
    assert all(item.device == torch.cuda.get_device_name() and item.peak_memory for item in found.latencies)
    assert measure_training_memory(small(4.0), batch=8, device="cuda") > 3 * count_cost(small(4.0)).weight_bytes


def test_networks_run_through_every_activation_and_backend_alike() -> None:
    for activation in ("relu", "prelu", "leaky_relu", "elu", "silu", "gelu", "hardswish"):
        space = load_space("inception_small").choose(activation=activation, squeeze_excitation=True)
        model = build_model(space.architecture(width=0.25, depth=0.25, resolution=8, num_classes=3)).eval()
        images = torch.randn(2, 3, 8, 8)
        export_onnx(model, images, Path("model.onnx"))
        session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"images": images.numpy()})
        with torch.inference_mode():
            assert np.allclose(logits, model(images).numpy(), atol=1e-5), activation
