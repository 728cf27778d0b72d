"""Claims: fewer bits and zeros cost bytes, not accuracy.

On handwritten digits, the mean of three networks: weights of 8 bits cost at most 0.5 points, numbers of 8 bits in fixed
point too, and so do 80 % zeros after 10 epochs, against as much training without; compressed, the weights then take at
most 0.55 of their bytes. Weights of 8 and 4 bits take at most 1.1 times the time of float32.

Run as ``python tests/benchmarks/bits.py [resnet_small] [efficientnet_small] [speed]``; without a word, all three. Each
network is trained for 10 epochs; weights become zeros in 3 or 10 more. Times are CPU times of the calling thread, for
one image on one thread, variants in turn, medians.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper

from nas.architecture.presets import preset
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.compress.fixed_point import fixed_point_table
from nas.compress.folding import Folded, fold_norms
from nas.compress.sparsity import sparsify, stored_bytes
from nas.compress.weight_only import quantize_weights
from nas.data.batches import ImageBatches, standardisation
from nas.data.sources import DataConfig, Dataset, load_data
from nas.models.build import build_model
from nas.models.onnx import export_onnx
from nas.training.evaluate import evaluate
from nas.training.loop import train
from nas.training.preparing import bring
from nas.training.recipe import Recipe

SEEDS, CPU, SPARSITIES = 3, torch.device("cpu"), (0.5, 0.8, 0.9, 0.95)
FAMILIES = ("resnet_small", "efficientnet_small")
Figures = defaultdict[tuple[str, str], list[float]]


def main(*parts: str) -> None:
    failed = sum(accuracy(family) for family in FAMILIES if family in parts or not parts)
    if "speed" in parts or not parts:
        failed += sum(map(speed, ("resnet18", "efficientnet_b0")))
    sys.exit(min(failed, 1))


def accuracy(family: str) -> int:
    """Print accuracy and bytes of a family's variants; return how many claims do not hold."""
    data = load_data(DataConfig(digits=True))
    architecture = load_space(family).architecture(width=0.5, depth=0.5, resolution=8, num_classes=10, in_channels=1)
    standard = standardisation(data)
    images = bring(data.validation, resolution=8, standard=standard, recipe=Recipe(), device=CPU)
    found = Figures(list)
    for seed in range(SEEDS):
        state = train(architecture, data, Recipe(epochs=10), seed=seed, device=CPU).model.state_dict()
        of_files(architecture, state, images, found, "weights of")
        rows = fixed_point_table(architecture, state, data, device=CPU)
        for row in rows:
            tell(found, f"fixed point, {row.bits} bits", row.val_accuracy, row.bytes)
        whole = fold_norms(architecture, state)
        tell(found, "fixed point, 4 bits, nothing cut off", uncut(whole, images, bits=4), rows[0].bytes)
        for epochs in (3, 10):
            of_zeros(architecture, state, data, found, seed, epochs)
        sparse = sparsify(architecture, state, data, sparsity=0.8, seed=seed, device=CPU).training.model.state_dict()
        of_files(architecture, sparse, images, found, "10 epochs, zeros 0.8, weights of")
    print(f"\n{family}, {SEEDS} networks, validation accuracy")
    for name in dict.fromkeys(name for name, _ in found):
        points, sizes = found[name, "accuracy"], found[name, "bytes"]
        compressed = found.get((name, "compressed"))
        packed = f", {statistics.mean(compressed):,.0f} compressed" if compressed else ""
        print(f"{name}: {mean_std(points)} %, {statistics.mean(sizes):,.0f} bytes{packed}")
    return claims(found)


def claims(found: Figures) -> int:
    def points(name: str) -> float:
        return 100 * statistics.mean(found[name, "accuracy"])

    def compressed(name: str) -> float:
        return statistics.mean(found[name, "compressed"])

    sparse, dense = "10 epochs, zeros 0.8", "10 epochs, zeros none"
    held = {
        "8-bit weights at most 0.5 points": points("weights of float32") - points("weights of 8 bits") <= 0.5,
        "fixed point of 8 bits at most 0.5 points": points("fixed point, 32 bits") - points("fixed point, 8 bits")
        <= 0.5,
        "80 % zeros at most 0.5 points": points(dense) - points(sparse) <= 0.5,
        "80 % zeros at most 0.55 of the compressed bytes": compressed(sparse) <= 0.55 * compressed(dense),
    }
    for claim, holds in held.items():
        print(f"{claim}: {'PASS' if holds else 'FAIL'}")
    return sum(not holds for holds in held.values())


def uncut(whole: Folded, images: ImageBatches, *, bits: int) -> float:
    """Return the accuracy in fixed point with the largest b that cuts no number off."""
    model, high = build_model(whole.architecture), 2 ** (bits - 1) - 1
    largest = {name: float(tensor.abs().max()) for name, tensor in whole.state.items()}
    b = {name: math.floor(math.log2(high / value)) if value else 0 for name, value in largest.items()}
    model.load_state_dict({name: (t * 2.0 ** b[name]).round() * 2.0 ** -b[name] for name, t in whole.state.items()})
    return evaluate(model, images, precision="float32").accuracy


def of_zeros(architecture: Architecture, state: Any, data: Dataset, found: Figures, seed: int, epochs: int) -> None:
    """Tell what zeros cost, beside as much training without."""
    recipe, what = Recipe(epochs=epochs), f"{epochs} epochs, zeros"
    dense = train(architecture, data, recipe, seed=seed, device=CPU, initial=state)
    tell(found, f"{what} none", dense.val_accuracy, *stored_bytes(dense.model.state_dict()))
    for share in SPARSITIES:
        sparse = sparsify(architecture, state, data, sparsity=share, recipe=recipe, seed=seed, device=CPU)
        tell(found, f"{what} {share}", sparse.training.val_accuracy, *sparse.stored)


def of_files(architecture: Architecture, state: Any, images: ImageBatches, found: Figures, what: str) -> None:
    """Tell accuracy and bytes of a network's ONNX files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, path in variants(architecture, state, Path(folder)).items():
            content = path.read_bytes()
            tell(found, f"{what} {name}", right(path, images), len(content), len(zlib.compress(content, 9)))


def variants(architecture: Architecture, state: Any, folder: Path) -> dict[str, Path]:
    model = build_model(architecture).eval()
    model.load_state_dict(state)
    side = architecture.resolution
    export_onnx(model, torch.zeros(2, architecture.in_channels, side, side), folder / "float32.onnx")
    quantize_weights(folder / "float32.onnx", folder / "8 bits.onnx", bits=8)
    quantize_weights(folder / "float32.onnx", folder / "4 bits.onnx", bits=4)
    return {name: folder / f"{name}.onnx" for name in ("float32", "8 bits", "4 bits")}


def right(path: Path, images: ImageBatches) -> float:
    batch = next(iter(images.in_order(len(images))))
    logits = session(path).run(None, {"images": batch.images.contiguous().numpy()})[0]
    return float((logits.argmax(axis=1) == batch.labels.numpy()).mean())


def tell(found: Figures, name: str, accuracy: float, size: int, compressed: int | None = None) -> None:
    found[name, "accuracy"].append(accuracy)
    found[name, "bytes"].append(size)
    if compressed is not None:
        found[name, "compressed"].append(compressed)


def mean_std(shares: list[float]) -> str:
    return f"{100 * statistics.mean(shares):.1f} ± {100 * statistics.stdev(shares):.1f}"


def speed(name: str) -> int:
    """Print what loading and one image take, against float32; return 1 where weights of few bits take longer."""
    architecture = preset(name)
    with tempfile.TemporaryDirectory() as folder:
        paths = variants(architecture, build_model(architecture).state_dict(), Path(folder))
        sessions = {key: session(path) for key, path in paths.items()}
        for key in ("8 bits", "4 bits"):
            dequantizing(paths[key], path := Path(folder) / "dequantizing.onnx")
            sessions[f"{key}, DequantizeLinear"] = session(path)
            sessions[f"{key}, DequantizeLinear, disable_quant_qdq"] = session(path, disable=True)
        print(f"\n{name}: {', '.join(f'{key} {path.stat().st_size:,} bytes' for key, path in paths.items())}")
    shape = (1, architecture.in_channels, architecture.resolution, architecture.resolution)
    image = {"images": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    taken = defaultdict[str, list[float]](list)
    for _ in range(40):
        for key, opened in sessions.items():
            before = time.thread_time()
            opened.run(None, image)
            taken[key].append(time.thread_time() - before)
    ratio = {key: statistics.median(times) / statistics.median(taken["float32"]) for key, times in taken.items()}
    for key, value in ratio.items():
        print(f"{key}: {value:.2f} times float32's time")
    holds = max(ratio["8 bits"], ratio["4 bits"]) <= 1.1
    print(f"weights of 8 and 4 bits take at most 1.1 times the time: {'PASS' if holds else 'FAIL'}")
    return int(not holds)


def session(path: Path, *, disable: bool = False) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if disable:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def dequantizing(source: Path, target: Path) -> None:
    """Write a file of integers with ``DequantizeLinear`` in place of ``Cast`` and ``Mul``."""
    model = onnx.load(source)
    graph, nodes = model.graph, list(model.graph.node)
    held = {tensor.name: tensor for tensor in graph.initializer}
    del graph.node[:]
    for node in nodes:
        if node.op_type == "Cast" and node.input[0] in held:
            continue
        if node.op_type == "Mul" and node.input[1].endswith(".scales"):
            scales, integers = node.input[1], node.input[1].removesuffix("scales") + "integers"
            axis = max(range(len(held[scales].dims)), key=lambda dim: held[scales].dims[dim])
            del held[scales].dims[:]
            held[scales].dims.append(held[integers].dims[axis])
            node = helper.make_node("DequantizeLinear", [integers, scales], node.output, axis=axis)
        graph.node.append(node)
    onnx.save(model, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
