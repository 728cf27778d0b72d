"""Claim: in int8, networks of every family are on average within 0.5 points of their accuracy in float32.

Run as ``python tests/benchmarks/int8_accuracy.py [FOLDER]``: on handwritten digits, or on the binary version of
CIFAR-10 in a folder (8,000 images to train on, 24 px, 5 epochs). Three networks of each family are trained, exported,
calibrated on 512 of their training images, and validated in onnxruntime from both files.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from nas.architecture.cost import count_cost
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.compress.quantize import quantize_onnx
from nas.data.batches import standardisation
from nas.data.sources import DataConfig, Dataset, load_data
from nas.data.types import ImageSet
from nas.models.build import build_model
from nas.models.onnx import export_onnx
from nas.training.loop import train
from nas.training.preparing import bring
from nas.training.recipe import Recipe

FAMILIES = ("resnet_small", "resnext_small", "inception_small", "efficientnet_small")
SEEDS, CALIBRATION, MOST, CPU = 3, 512, 0.5, torch.device("cpu")


def main(folder: str = "") -> None:
    config = DataConfig(cifar=Path(folder), limit=10000) if folder else DataConfig(digits=True)
    data, recipe = load_data(config), Recipe(epochs=5 if folder else 10)
    sides = {"resolution": 24, "in_channels": 3} if folder else {"resolution": 8, "in_channels": 1}
    failed = False
    for family in FAMILIES:
        architecture = load_space(family).architecture(width=0.5, depth=0.5, num_classes=10, **sides)
        found = [both(architecture, data, recipe, seed) for seed in range(SEEDS)]
        plain, eight = ([100 * one[index] for one in found] for index in (0, 1))
        lost = [first - second for first, second in zip(plain, eight, strict=True)]
        print(f"{family}, {count_cost(architecture).flops:,} FLOPs: {told(plain)} in float32, {told(eight)} in int8;")
        print(f"  lost {statistics.mean(lost):+.2f} ± {statistics.stdev(lost):.2f} points", flush=True)
        failed |= statistics.mean(lost) > MOST
    print("FAIL" if failed else "PASS")
    sys.exit(int(failed))


def told(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f} %"


def both(architecture: Architecture, data: Dataset, recipe: Recipe, seed: int) -> tuple[float, float]:
    """Return the validation accuracy of a training in float32 and in int8."""
    model = build_model(architecture).eval()
    model.load_state_dict(train(architecture, data, recipe, seed=seed, device=CPU).model.state_dict())
    chosen = data.train.take(np.random.default_rng(seed).permutation(len(data.train))[:CALIBRATION])
    calibration, _ = arrays(chosen, architecture, data, recipe)
    images, labels = arrays(data.validation, architecture, data, recipe)
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "model.onnx", Path(folder) / "model-int8.onnx"
        export_onnx(model, torch.from_numpy(images[:2]), plain)
        quantize_onnx(plain, calibration, small)
        first, second = (float((classes(path, images) == labels).mean()) for path in (plain, small))
    return first, second


def arrays(part: ImageSet, architecture: Architecture, data: Dataset, recipe: Recipe) -> tuple[NDArray[Any], ...]:
    """Return images as the network takes them, and their classes."""
    resolution, standard = architecture.resolution, standardisation(data)
    batches = list(bring(part, resolution=resolution, standard=standard, recipe=recipe, device=CPU).in_order(256))
    images = np.concatenate([batch.images.contiguous().numpy() for batch in batches])
    return images, np.concatenate([batch.labels.numpy() for batch in batches])


def classes(path: Path, images: NDArray[np.float32]) -> NDArray[np.int64]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    logits = [session.run(None, {"images": images[at : at + 256]})[0] for at in range(0, len(images), 256)]
    return np.concatenate(logits).argmax(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
