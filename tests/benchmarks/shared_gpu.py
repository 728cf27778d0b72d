"""Claims: four workers that share a GPU train 1.6 times as fast as one, eight 2 times; nothing compiles for long.

That is the throughput of 40 trainings of ``resnet_small`` on images of CIFAR-10's size, 8 epochs of batches of 128,
starts included. EfficientNets of new shapes are to lose less than 1 s where ``recipe.depthwise`` is ``torch``: by so
much the first training of a network, of a few steps, takes longer than its second.

Run as ``python tests/benchmarks/shared_gpu.py [FOLDER] [--trainings 40]`` where there is a GPU; the folder holds the
binary version of CIFAR-10. Without it images are random, which takes the same time. No GPU has run it yet.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch

import nas
from nas.data.sources import DataConfig, load_data
from nas.models.device import describe_device, describe_versions
from nas.training.loop import train
from nas.training.recipe import Recipe

CLAIMS = {4: 1.6, 8: 2.0}
COMPILING_CLAIM = 1.0
WIDTHS = (0.5, 0.625, 0.75, 0.875)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--trainings", type=int, default=40)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no GPU here: nothing is measured")
        return
    device = torch.device("cuda:0")
    print(f"{describe_device(device)}; {describe_versions()}")
    cifar = given.folder and {"cifar": str(given.folder.absolute())}
    with TemporaryDirectory() as folder, chdir(folder):  # studies lie there
        data = cifar or random_images(Path(folder), 50_000)
        seconds = {workers: searched(data, workers, given.trainings) for workers in (1, *CLAIMS)}
        lost = {kernels: compiling(data, kernels, device) for kernels in ("cudnn", "torch")}
    for workers, claim in CLAIMS.items():
        print(f"{workers} workers: {seconds[1] / seconds[workers]:.2f} times the throughput of one (claim: {claim})")
    print(f"lost by compiling: {lost['cudnn']:.2f} s for each network with cuDNN, {lost['torch']:.2f} s without")
    fast = all(seconds[1] / seconds[workers] >= claim for workers, claim in CLAIMS.items())
    passed = fast and lost["torch"] < COMPILING_CLAIM
    print("PASS" if passed else "FAIL")
    sys.exit(not passed)


def random_images(folder: Path, count: int) -> dict[str, Any]:
    """Write images of noise, and return where they are."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "random.npz", x_train=images, y_train=generator.integers(0, 10, count))
    return {"npz": str(folder / "random.npz")}


def searched(data: dict[str, Any], workers: int, trainings: int, *, device: str = "cuda:0") -> float:
    """Return the seconds that a search takes, the start of its processes included."""
    coefficients = {"min": 0.5, "max": 1.0, "step": 0.01}
    search = {"spaces": "resnet_small", "width": coefficients, "sampler": "random", "trials": trainings}
    recipe = {"epochs": 8, "batch_size": 128, "learning_rate": 0.2}
    document = {"name": f"workers_{workers}", "data": data, "search": search, "recipe": recipe}
    began = time.monotonic()
    shares = workers > 1 and device != "cpu"
    nas.run_study(nas.StudyConfig.model_validate(document), workers=workers, share_gpu=shares, device=device)
    return time.monotonic() - began


def compiling(data: dict[str, Any], kernels: Literal["cudnn", "torch"], device: torch.device) -> float:
    """Return the mean seconds by which the first training of an EfficientNet takes longer than its second."""
    dataset, lost = load_data(DataConfig.model_validate(data)), list[float]()
    recipe = Recipe(steps=10, batch_size=128, depthwise=kernels)
    for width in WIDTHS:
        width += 0.0625 * (kernels == "torch")  # so that no shape has been met the other way
        sizes = {"width": width, "depth": 0.5, "resolution": 32}
        network = nas.load_space("efficientnet_small").architecture(**sizes, num_classes=len(dataset.classes))
        took = list[float]()
        for _ in range(2):
            began = time.monotonic()
            train(network, dataset, recipe, seed=0, device=device)
            took.append(time.monotonic() - began)
        lost.append(took[0] - took[1])
    return statistics.mean(lost)


if __name__ == "__main__":
    main()
