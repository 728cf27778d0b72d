"""Question: does the best learning rate move with a network's depth or width, and does it change who is ahead?

Networks of three widths and three depths of a family are trained at several learning rates from several seeds, all else
as in ``studies/table_cifar10.yaml``. Each training is a line of a CSV file, and a run goes on where it stopped.

Run as ``python tests/benchmarks/learning_rates.py FOLDER -o FILE.csv``; the folder holds the binary version of
CIFAR-10. Without a folder nothing is trained, and what the file has is written beside it as a page. What came of it is
``studies/results/scaling/learning_rates.md``.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import kendalltau

from nas.architecture.cost import count_cost
from nas.architecture.space import load_space
from nas.data.sources import DataConfig, load_data
from nas.errors import TrainingDiverged
from nas.training.loop import train, trial_seed
from nas.training.recipe import Recipe

COLUMNS = ("family", "width", "depth", "resolution", "flops", "epochs", "rate", "seed", "accuracy", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=["resnet_small", "efficientnet_small"])
    parser.add_argument("--widths", nargs="+", type=float, default=[0.25, 0.5, 1.0])
    parser.add_argument("--depths", nargs="+", type=float, default=[0.5, 1.25, 2.0])
    parser.add_argument("--resolution", type=int, default=16)
    parser.add_argument("--rates", nargs="+", type=float, default=[0.025, 0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    if given.folder is None:
        given.output.with_suffix(".md").write_text(page(pd.read_csv(given.output), given.output.name))
        return
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


USUAL = 0.2
"""Rate of ``studies/table_cifar10.yaml`` for all networks."""


def page(rows: pd.DataFrame, source: str) -> str:
    """Return what trainings tell, as a page."""
    lines = [
        "# Does the best learning rate move with depth or width?",
        "",
        f"`{source}`: each row a training. Made, and written again, by",
        "",
        "```bash",
        f"python tests/benchmarks/learning_rates.py data/cifar-10-batches-bin -o studies/results/scaling/{source}",
        f"python tests/benchmarks/learning_rates.py -o studies/results/scaling/{source}   # this page",
        "```",
        "",
        "CIFAR-10, 4,000 training and 5,000 validation images, and all else of the recipe, as in"
        f" `studies/table_cifar10.yaml`; {len(rows)} trainings,"
        f" {rows['seconds'].sum() / 3600:.1f} hours of one core beside other work.",
        "Accuracies in percent, mean over the seeds; the best rate of each network in bold.",
    ]
    for (family, epochs), part in rows.groupby(["family", "epochs"]):
        lines += ["", f"## {family}, {epochs} epochs, {part['resolution'].iloc[0]} px", "", *_family(part)]
    return "\n".join(lines) + "\n"


def _family(part: pd.DataFrame) -> list[str]:
    part = part.assign(accuracy=100 * part["accuracy"])
    table = part.pivot_table(index=["depth", "width"], columns="rate", values="accuracy")
    counts = part.groupby(["depth", "width", "rate"])["accuracy"].count()
    whole = table.dropna()
    lines = [
        "| depth | width | " + " | ".join(f"{rate:g}" for rate in table) + " |",
        "|---" * (2 + table.shape[1]) + "|",
    ]
    for (depth, width), row in table.iterrows():
        cells = ["" if np.isnan(v) else f"**{v:.1f}**" if v == row.max() else f"{v:.1f}" for v in row]
        lines.append(f"| {depth:g} | {width:g} | {' | '.join(cells)} |")
    lines += ["", f"Trainings behind a number: {counts.min()} to {counts.max()}. {_noise(part)}"]
    if len(whole) < 4 or whole.shape[1] < 3 or USUAL not in whole:
        return [*lines, "Too few whole rows to say more."]
    logs = np.log2([_best(row) for _, row in whole.iterrows()])
    depths, widths = (np.log2([index[i] for index in whole.index]) for i in (0, 1))
    design = np.column_stack([np.ones(len(logs)), depths, widths])
    fitted, *_ = np.linalg.lstsq(design, logs, rcond=None)
    left = logs - design @ fitted
    spread = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * (left @ left) / max(1, len(logs) - 3))
    own, usual = whole.max(axis=1), whole[USUAL]
    moved = own - usual
    return [
        *lines,
        "",
        "The best rate (the top of a parabola through the best and its neighbours) follows"
        f" depth^{fitted[1]:.2f} ± {spread[1]:.2f} and width^{fitted[2]:.2f} ± {spread[2]:.2f} (one standard error)."
        f" With its own rate a network gains {moved.mean():.1f} points over {USUAL:g} on average, at most"
        f" {moved.max():.1f}; that the best of {whole.shape[1]} rates is chosen by the same trainings is a part of it."
        f" Kendall's tau of the order of the {len(whole)} networks with {USUAL:g} and with their own rates:"
        f" {kendalltau(usual, own).statistic:.2f}.",
    ]


def _best(row: pd.Series) -> float:
    """Return the rate at the top of a parabola through the best rate and its neighbours."""
    rates, values = np.log2(row.index.to_numpy(float)), row.to_numpy(float)
    top = int(values.argmax())
    if top in (0, len(values) - 1):
        return float(2 ** rates[top])
    bend, slope, _ = np.polyfit(rates[top - 1 : top + 2], values[top - 1 : top + 2], 2)
    return float(2 ** (-slope / (2 * bend)))


def _noise(part: pd.DataFrame) -> str:
    several = part.groupby(["depth", "width", "rate"])["accuracy"].agg(["var", "count"])
    several = several[several["count"] > 1]
    if several.empty:
        return "One seed: the noise is not measured."
    return f"Noise of one training: ± {np.sqrt(several['var'].mean()):.1f} points."


if __name__ == "__main__":
    main()
