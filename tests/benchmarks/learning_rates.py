"""Question: does the best learning rate move with a network's depth or width, and does it change who is ahead?

Networks of three widths and three depths of a family are trained at several learning rates from several seeds, all else
as in ``studies/table_cifar10.yaml``. Each training is a line of a CSV file, and a run goes on where it stopped.

Run as ``python tests/benchmarks/learning_rates.py FOLDER -o FILE.csv``; the folder holds the binary version of
CIFAR-10. What came of it is in ``studies/results/scaling/learning_rates.md``.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from pathlib import Path

import torch

from nas.architecture.cost import count_cost
from nas.architecture.space import load_space
from nas.data.sources import DataConfig, load_data
from nas.errors import TrainingDiverged
from nas.training.loop import train, trial_seed
from nas.training.recipe import Recipe

COLUMNS = ("family", "width", "depth", "resolution", "flops", "epochs", "rate", "seed", "accuracy", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=["resnet_small", "efficientnet_small"])
    parser.add_argument("--widths", nargs="+", type=float, default=[0.25, 0.5, 1.0])
    parser.add_argument("--depths", nargs="+", type=float, default=[0.5, 1.25, 2.0])
    parser.add_argument("--resolution", type=int, default=16)
    parser.add_argument("--rates", nargs="+", type=float, default=[0.025, 0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load_data(DataConfig(cifar=given.folder, limit=9000, validation=0.5555))
    done = known(given.output)
    with given.output.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(COLUMNS)
        loops = (range(given.seeds), given.families, given.rates, given.depths, given.widths)
        for seed, family, rate, depth, width in itertools.product(*loops):
            key = (family, width, depth, given.resolution, given.epochs, rate, seed)
            if key in done:
                continue
            architecture = load_space(family).architecture(
                width=width, depth=depth, resolution=given.resolution, num_classes=10
            )
            recipe = Recipe(epochs=given.epochs, learning_rate=rate, cpu_threads=1)
            began = time.perf_counter()
            try:
                accuracy = train(
                    architecture,
                    dataset,
                    recipe,
                    seed=trial_seed(0, architecture.digest, seed),
                    device=torch.device("cpu"),
                ).val_accuracy
            except TrainingDiverged:  # it diverged: as good as guessing
                accuracy = 0.1
            seconds = time.perf_counter() - began
            flops = count_cost(architecture).flops
            row = (family, width, depth, given.resolution, flops, given.epochs, rate, seed, accuracy, round(seconds, 2))
            writer.writerow(row)
            file.flush()


def known(path: Path) -> set[tuple[str, float, float, int, int, float, int]]:
    """Return which trainings a file has."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {
            (
                *(row["family"], float(row["width"]), float(row["depth"]), int(row["resolution"])),
                *(int(row["epochs"]), float(row["rate"]), int(row["seed"])),
            )
            for row in csv.DictReader(file)
        }


if __name__ == "__main__":
    main()
