"""No claim: how many times faster networks are in int8 than in float32 on this machine, by what they are made of.

Run as ``python tests/benchmarks/int8_latency.py [NAME...]``: all rows, or those whose names begin so; about six minutes
for all. Fresh weights (they do not affect the time), calibrated on random images. The two files run by turns in one
thread, its processor time is what counts, and a figure is the median of the ratios of neighbouring runs. Beside it,
what ``expected_speed`` says before anything is measured, and where the time of the int8 file goes. With
``--as-exported`` no operator is replaced by one that is fast in int8, to see what that brings.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from nas.architecture.presets import preset
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.compress.expected import expected_speed
from nas.compress.profile import profile_onnx
from nas.compress.quantize import quantize_onnx
from nas.models import int8
from nas.models.build import build_model
from nas.models.device import describe_device, describe_versions
from nas.models.onnx import export_onnx

SECONDS, BATCHES = 4.0, (1, 32)
SMALL = ("resnet_small", "resnext_small", "inception_small", "efficientnet_small")
LARGE = ("resnet18", "resnet50", "resnext50_32x4d", "googlenet", "inception_v3", "efficientnet_b0")


def main(*given: str) -> None:
    wanted = tuple(name for name in given if name != "--as-exported")
    if "--as-exported" in given:
        int8.rewrite_for_int8 = lambda model: model  # type: ignore[assignment]
    print(f"{describe_device(torch.device('cpu'))}, one thread; {describe_versions()}\n")
    print("| network | pixels | batch 1 | batch 32 | expected | most of the time at batch 1 |")
    print("|---|---|---|---|---|---|")
    for name, architecture in networks():
        if name.startswith(wanted or ""):
            print(row(name, architecture), flush=True)


def networks() -> Iterator[tuple[str, Architecture]]:
    """Yield small networks of each family, some of them with other activations, and reference networks."""
    for name in SMALL:
        for width in (1.0, 2.0):
            small = load_space(name).architecture(width=width, depth=1.0, resolution=32, num_classes=10)
            yield f"{name}, width {width:g}", small
    for name in ("resnet_small", "efficientnet_small"):
        for activation in ("relu", "leaky_relu", "hardswish", "prelu", "elu", "gelu", "silu"):
            space = load_space(name)
            if activation != space.activation:
                other = space.model_copy(update={"activation": activation})
                yield (
                    f"{name}, {activation}",
                    other.architecture(width=1.0, depth=1.0, resolution=32, num_classes=10),
                )
    for name in LARGE:
        yield name, replace(preset(name, resolution=160 if name == "inception_v3" else 96), name=name)


def row(name: str, architecture: Architecture) -> str:
    """Return a row of the table."""
    sides = (architecture.in_channels, architecture.resolution, architecture.resolution)
    images = np.random.default_rng(0).standard_normal((8, *sides)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "model.onnx", Path(folder) / "model-int8.onnx"
        export_onnx(build_model(architecture).eval(), torch.from_numpy(images[:2]), plain)
        quantize_onnx(plain, images, small)
        cells = [f"{faster(plain, small, (batch, *sides)):.2f} x" for batch in BATCHES]
        costs = ", ".join(f"{one.operator} {100 * one.share:.0f} %" for one in profile_onnx(small)[:3])
    return f"| {' | '.join((name, str(architecture.resolution), *cells, str(expected_speed(architecture)), costs))} |"


def faster(plain: Path, small: Path, shape: tuple[int, ...]) -> float:
    """Return how many times faster the second file is."""
    runs = [runner(path, shape) for path in (plain, small)]
    for run in runs:
        run()
    ratios, end = list[float](), time.perf_counter() + SECONDS
    while len(ratios) < 7 or time.perf_counter() < end:
        first, second = (seconds(run) for run in runs)
        ratios.append(first / second)
    return float(np.median(ratios))


def runner(path: Path, shape: tuple[int, ...]) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images = {"images": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
    return lambda: session.run(None, images)


def seconds(run: Callable[[], object]) -> float:
    began = time.thread_time()
    run()
    return time.thread_time() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
