"""Claims: recomputing batch norm's statistics takes 2 % of a training's time at most, and changes nothing beyond noise.

Networks of 32 px are trained on CIFAR-10 from several seeds. One training gives both figures, since it goes on the same
whatever its validation uses: in each epoch the network is validated with its running averages and with statistics
computed anew. The share is the time of recomputation in that of training, validation included, in the same run.

Run as ``python tests/benchmarks/norms.py [FOLDER] [--limit 5000] [--recipe '{"epochs": 4}'] [--device cuda]``; the
folder holds the binary version of CIFAR-10. Without it images are random: the time is the same, the accuracy is chance.
What came of it is in ``studies/results/training/norms.md``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.architecture.cost import count_cost
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data.sources import DataConfig, Dataset, load_data
from nas.data.types import ImageSet
from nas.models.device import describe_device, describe_versions, resolve_device
from nas.training import norms, run
from nas.training.evaluate import evaluate
from nas.training.loop import train
from nas.training.recipe import Recipe

CLAIM = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--limit", type=int, help="training and validation images")
    parser.add_argument("--recipe", type=json.loads, default={"epochs": 4}, help="keys of a recipe, as JSON")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--families", nargs="+", default=["resnet_small", "efficientnet_small"])
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--depth", type=float, default=0.5)
    parser.add_argument("--images", type=int, help="over how many statistics are computed, in place of a fiftieth")
    given = parser.parse_args()
    if given.images is not None:
        norms._FEWEST = norms._MOST = given.images
    device = resolve_device(given.device)
    dataset = load_data(DataConfig(cifar=given.folder, limit=given.limit)) if given.folder else random_images()
    recipe = Recipe.model_validate(given.recipe)
    steps = recipe.total_steps(len(dataset.train))
    print(f"{describe_device(device)}; {describe_versions()}")
    print(
        f"{len(dataset.train)} training and {len(dataset.validation)} validation images, {steps} steps, {given.recipe}"
    )
    networks = [
        load_space(family).architecture(
            width=given.width, depth=given.depth, resolution=32, num_classes=10, in_channels=3
        )
        for family in given.families
    ]
    held = [measured(network, dataset, recipe, seeds=given.seeds, device=device) for network in networks]
    sys.exit(not all(held))


def random_images() -> Dataset:
    generator = np.random.default_rng(0)
    parts = [
        ImageSet(generator.integers(0, 256, (count, 32, 32, 3), np.uint8), generator.integers(0, 10, count))
        for count in (4000, 1000)
    ]
    return Dataset("random", tuple(map(str, range(10))), True, *parts)


def measured(network: Architecture, dataset: Dataset, recipe: Recipe, *, seeds: int, device: torch.device) -> bool:
    """Train from each seed, print what came of it, and tell whether recomputation took as little as is claimed."""
    watches = []
    for seed in range(seeds):
        watch = Watch(device)
        watch.run(network, dataset, recipe, seed=seed)
        watches.append(watch)
    print(f"{network.name}, {count_cost(network).flops / 1e6:.1f} MFLOPs, accuracy in %, {seeds} seeds")
    for epoch, rows in enumerate(zip(*(watch.accuracies for watch in watches), strict=True), start=1):
        running, recomputed = ([100 * row[column] for row in rows] for column in (0, 1))
        changes = [b - a for a, b in zip(running, recomputed, strict=True)]
        print(f"  epoch {epoch}: running {told(running)}, recomputed {told(recomputed)}, change {told(changes)}")
    share = statistics.median(watch.share for watch in watches)
    holds = share <= CLAIM
    print(f"  recomputation takes {100 * share:.2f} % of training (at most 2 %): {'PASS' if holds else 'FAIL'}")
    return holds


def told(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


class Watch:
    """Trains once, validates twice, and times what recomputation takes."""

    def __init__(self, device: torch.device) -> None:
        self.accuracies: list[tuple[float, float]] = []
        self.share = 0.0
        self._device = device
        self._recomputing = self._aside = 0.0

    def run(self, network: Architecture, dataset: Dataset, recipe: Recipe, *, seed: int) -> None:
        recompute, validate = run.recompute_statistics, run.Run._validate

        def timed(*arguments: Any, **keywords: Any) -> None:
            started = self._now()
            recompute(*arguments, **keywords)
            self._recomputing += self._now() - started

        def twice(training: run.Run, val_set: Any, norm_set: Any) -> Any:
            started = self._now()
            how = {"precision": recipe.precision, "batch": training._validation_batch}
            running = evaluate(training._trained_model(), val_set, **how).accuracy
            self._aside += self._now() - started
            result = validate(training, val_set, norm_set)
            self.accuracies.append((running, result.accuracy))
            return result

        run.recompute_statistics, run.Run._validate = timed, twice  # type: ignore[method-assign]
        try:
            result = train(network, dataset, recipe, seed=seed, device=self._device)
        finally:
            run.recompute_statistics, run.Run._validate = recompute, validate  # type: ignore[method-assign]
        self.share = self._recomputing / (result.train_seconds - self._aside)

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


if __name__ == "__main__":
    main()
