"""Measurements are of the right thing, in a process of their own, and say why where there are none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from nas.architecture.cost import count_cost
from nas.architecture.layers import Activation, AvgPool, Block, Conv, MaxPool, SqueezeExcite
from nas.architecture.presets import preset
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture, Stage
from nas.errors import ConfigError, DeviceError, MeasurementError
from nas.models import latency, memory
from nas.models.backends import Latency
from nas.models.build import build_model
from nas.models.latency import measure_latency, time_inference
from nas.models.memory import measure_training_memory, peak_allocated
from nas.models.onnx import export_onnx

CPU = torch.device("cpu")


def small(width: float = 0.25) -> Architecture:
    return load_space("resnet_small").architecture(width=width, depth=0.25, resolution=16, num_classes=5)


def plain(resolution: int = 8) -> Architecture:
    """Return a network of one convolution."""
    return Architecture((Conv(4, 3),), (), (), resolution, 2)


class Here:
    """Stands for a process of its own, without one."""

    calls = 0

    def __call__(self, task: Callable[..., Any], *arguments: Any) -> Any:
        self.calls += 1
        return task(*arguments)


def _told(started: list[tuple[str, int]]) -> Callable[[str, int], None]:
    return lambda backend, batch: started.append((backend, batch))


def test_a_wider_network_takes_longer_and_more_memory_and_so_does_a_larger_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[tuple[str, int]] = []
    both: dict[str, Any] = {"device": "cpu", "threads": 1, "least_seconds": 0.1}
    eager = measure_latency(small(4.0), backends=("eager",), batches=(1, 8), on_start=_told(started), **both)
    onnx = measure_latency(small(4.0), backends=("onnxruntime",), **both)
    here = Here()
    monkeypatch.setattr(latency, "in_own_process", here)
    narrow = measure_latency(small(), backends=("eager", "onnxruntime"), on_start=_told(started), **both)
    assert here.calls == 2  # one a backend and batch
    assert started == [("eager", 1), ("eager", 8), ("eager", 1), ("onnxruntime", 1)]
    assert not (eager.failures or onnx.failures or narrow.failures)
    found = [*eager.latencies, *onnx.latencies, *narrow.latencies]
    assert [(item.backend, item.batch) for item in found] == [
        *(("eager", 1), ("eager", 8), ("onnxruntime", 1)),
        *(("eager", 1), ("onnxruntime", 1)),
    ]
    for item in found:
        assert 0 < item.p10_ms <= item.median_ms <= item.p90_ms
        assert item.threads == 1 and item.repeats >= 10
        assert item.images_per_second == pytest.approx(1000 * item.batch / item.median_ms)
        assert item.device.startswith("CPU ") and torch.__version__ in item.versions
    one, many, one_onnx = found[:3]
    assert one.median_ms < many.median_ms
    for thin, wide in zip(narrow.latencies, (one, one_onnx), strict=True):
        assert thin.median_ms < wide.median_ms
        assert (thin.peak_memory or 0) < (wide.peak_memory or 0)
    wide_cost = count_cost(small(4.0))
    assert (one.peak_memory or 0) >= wide_cost.weight_bytes + wide_cost.peak_memory


def test_int8_is_measured_of_a_network_in_int8_and_on_the_cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    operators = list[set[str]]()
    made = latency._session

    def session(path: Path, **keywords: Any) -> Any:
        operators.append({node.op_type for node in onnx.load(path).graph.node})
        return made(path, **keywords)

    monkeypatch.setattr(latency, "_session", session)
    monkeypatch.setattr(latency, "in_own_process", Here())
    given: dict[str, Any] = {"backends": ("onnxruntime", "onnxruntime-int8"), "least_seconds": 0.01}
    network = small()
    plain, eight = measure_latency(network, device="cpu", **given).latencies
    assert "QuantizeLinear" not in operators[0] and "QuantizeLinear" in operators[1]
    assert (plain.backend, plain.precision) == ("onnxruntime", "float32")
    assert (eight.backend, eight.precision) == ("onnxruntime-int8", "int8") and plain.setting != eight.setting
    alone = time_inference(network, backend="onnxruntime-int8", device=CPU, least_seconds=0.01)
    assert alone.backend == "onnxruntime-int8" and "QuantizeLinear" in operators[2]
    with pytest.raises(MeasurementError, match="int8 is measured on the CPU only"):
        time_inference(network, backend="onnxruntime-int8", device=torch.device("cuda:0"))


@pytest.mark.slow
def test_the_compiler_runs_or_says_why_not() -> None:
    found = measure_latency(plain(), device="cpu", backends=("compile",), least_seconds=0.01)
    if shutil.which("g++") or shutil.which("c++"):
        assert [item.backend for item in found.latencies] == ["compile"] and not found.failures
    else:
        assert found.failures[0].reason


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler's own imports
def test_every_network_is_compiled_however_many_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.utils import counters

    # torch decides what to compile before it makes machine code of it, which takes long and is left out here
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    for index in range(10):  # torch compiles eight of a class and runs the others as they are
        counters.clear()
        time_inference(plain(resolution=8 + index), backend="compile", device=CPU, least_seconds=0.01)
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
    monkeypatch.setattr(latency, "CALM_SPREAD", 10.0)
    found = time_inference(small(), device=CPU)
    assert (found.p10_ms, found.median_ms, found.p90_ms) == pytest.approx((2.0, 6.0, 10.0))
    assert found.repeats == 11


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """Return a function that sets p90 over p10, and the share of the processor's time, of each attempt in turn."""

    def set_times(*attempts: tuple[float, float]) -> list[float]:
        now, coming, given = [0.0, 0.0], list(attempts), []  # of the processor, and of the clock

        def timed(run: Any, least_seconds: float) -> list[float]:
            spread, share = coming.pop(0)
            given.append(spread)
            now[0], now[1] = now[0] + share, now[1] + 1.0
            return [0.001] * 5 + [0.001 * spread] * 6

        fake = SimpleNamespace(process_time=lambda: now[0], perf_counter=lambda: now[1])
        monkeypatch.setattr(latency, "time", fake)
        monkeypatch.setattr(latency, "_timed", timed)
        return given

    return set_times


@pytest.mark.parametrize(
    ("attempts", "kept", "noisy"),
    [
        ([(1.2, 0.99)], 1.2, False),
        ([(15.0, 0.99), (1.1, 1.0)], 1.1, False),
        ([(1.2, 0.5), (1.3, 0.95)], 1.3, False),  # half of the time was another program's: all calls took longer
        ([(15.0, 0.99), (4.0, 0.99), (9.0, 0.99)], 4.0, True),
        ([(1.1, 0.2), (1.4, 0.6), (1.1, 0.3)], 1.4, True),
        ([(1.2, 3.5)], 1.2, False),  # several threads
    ],
)
def test_a_disturbed_measurement_is_made_again_and_else_marked(
    attempts: list[tuple[float, float]], kept: float, noisy: bool, clocks: Callable[..., list[float]]
) -> None:
    tried = clocks(*attempts)
    found = time_inference(plain(), device=CPU)
    assert len(tried) == len(attempts)
    assert (found.p90_ms, found.noisy) == (pytest.approx(kept), noisy)


def test_a_gpus_work_takes_no_processor_time(clocks: Callable[..., list[float]]) -> None:
    clocks((1.2, 0.1))
    setting = latency._Setting("eager", "cuda:0", 1, 1, 1.0)
    assert latency._calmest(lambda: None, setting).unrest <= 1


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


def test_a_measurement_in_this_process_leaves_no_trace() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    found = time_inference(small(), device=CPU, threads=2, batch=3, least_seconds=0.05)
    assert (found.threads, found.batch, found.backend, found.peak_memory) == (2, 3, "eager", None)
    assert isinstance(found, Latency)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_training_needs_weights_gradients_momentum_and_what_is_kept_for_the_way_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = preset("resnet18", resolution=32)
    cost = count_cost(network)
    one = measure_training_memory(network, batch=2, device="cpu")
    monkeypatch.setattr(memory, "in_own_process", Here())
    again, more = (measure_training_memory(network, batch=count, device="cpu") for count in (2, 10))
    assert one >= 3 * cost.weight_bytes
    assert more - one > 8 * 4 * cost.activations  # each convolution's output is kept for its batch norm
    assert again == one  # what else a process holds makes no difference


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
    activations: tuple[Activation, ...] = ("relu", "prelu", "leaky_relu", "elu", "silu", "gelu", "hardswish")
    assert {"identity", *activations} == set(get_args(Activation))
    branches = tuple(
        (Conv(8, 1, activation=name), SqueezeExcite(8, name), Conv(8, 3, groups=2, activation=name))
        for name in activations
    )
    joined = Block((*branches, (MaxPool(3, 1),), (AvgPool(3, 1), Conv(4, 1))))
    added = Block(((Conv(16, 1),),), (Conv(16, 1),), "add", "relu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(Architecture((Conv(8, 3, 2),), (Stage((joined, added)),), (Conv(16, 1),), 8, 3)).eval()
        nn.init.normal_(model.classifier.weight)  # so that a small difference shows
        images = torch.randn(2, 3, 8, 8)
    export_onnx(model, images, Path("model.onnx"))
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": images.numpy()})
    with torch.inference_mode():
        assert np.allclose(logits, model(images).numpy(), atol=1e-5)
        for branch in model.stages[0][0].branches[: len(activations)]:
            for part in (branch[0], branch[1], branch[2]):
                left_out, part.activation = part.activation, nn.Identity()
                assert np.abs(logits - model(images).numpy()).max() > 1e-3, left_out
                part.activation = left_out
