"""Which batch size, optimiser and learning rate train small networks best, by family and data set.

    python studies/results/training/recipe_defaults.py FOLDER --csv FILE [--part 0/2] [--families ...] [--data ...]
    python studies/results/training/recipe_defaults.py FOLDER --csv FILE --summary

FOLDER holds ``cifar-10-batches-bin`` and ``flowers-128``. One thread; a row of the CSV per training, and a row that is
there is not trained again. The defaults of ``nas/training/recipe.py`` come from the tables that ``--summary`` prints.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import torch

from nas.architecture.cost import count_cost
from nas.architecture.space import load_space
from nas.data.sources import DataConfig, Dataset, load_data
from nas.errors import TrainingDiverged
from nas.training.loop import train, trial_seed
from nas.training.recipe import Recipe

SEEDS = (0, 1)
FAMILIES = ("resnet_small", "efficientnet_small", "resnext_small", "inception_small")
RESOLUTIONS = {"digits": 12, "cifar10": 24, "flowers": 40, "cifar10_40k": 24}
EPOCHS = {"digits": 10, "cifar10": 10, "flowers": 10, "cifar10_40k": 4}
Setting: TypeAlias = tuple[str, int, float]
GRID: list[Setting] = [
    *(("nesterov", batch, rate) for batch in (32, 128) for rate in (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4)),
    *(("adamw", batch, rate) for batch in (32, 128) for rate in (0.001, 0.003, 0.01)),
]
OTHERS: list[Setting] = [
    *(("sgd", 32, rate) for rate in (0.2, 0.5, 1.0)),
    ("momentum", 32, 0.2),
    *(("adagrad", 32, rate) for rate in (0.01, 0.03)),
    *(("rmsprop", 32, rate) for rate in (0.0003, 0.001, 0.003)),
    *(("adam", 32, rate) for rate in (0.003, 0.01)),
]
NEAR: list[Setting] = [*(("nesterov", 32, rate) for rate in (0.1, 0.2, 0.4)), ("nesterov", 128, 0.4)]
LARGE: list[Setting] = [("nesterov", 32, 0.2), ("nesterov", 64, 0.28), ("nesterov", 128, 0.4), ("nesterov", 256, 0.57)]
FIELDS = ("data", "train_images", "family", "flops", "optimizer", "batch_size", "learning_rate", "seed", "accuracy")


def main() -> None:
    """Train what is missing, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--data", nargs="+", default=list(RESOLUTIONS))
    parser.add_argument("--summary", action="store_true", help="print the table and train nothing")
    given = parser.parse_args()
    if given.summary:
        print(summary(pd.read_csv(given.csv)))
        return
    part, parts = map(int, given.part.split("/"))
    jobs = [
        (data, family, *setting, seed)
        for seed in SEEDS
        for data in given.data
        for family in given.families
        for setting in settings(data, family, seed)
    ]
    datasets = {data: load_data(config(data, given.folder)) for data in given.data}
    for job in jobs[part::parts]:
        if job not in finished(given.csv):
            row = run(datasets[job[0]], *job)
            with given.csv.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, FIELDS).writerow(row)


def settings(data: str, family: str, seed: int) -> list[Setting]:
    """Return the whole grid for two families on small data, and what lies near its best where training takes long."""
    if data == "cifar10_40k":
        return LARGE
    whole = family in ("resnet_small", "efficientnet_small") and (data != "flowers" or seed == 0)
    return [*GRID, *(OTHERS if data == "digits" else [])] if whole else NEAR


def config(data: str, folder: Path) -> DataConfig:
    """Return which images a name stands for."""
    if data == "digits":
        return DataConfig(digits=True)
    if data == "cifar10":
        return DataConfig(cifar=folder / "cifar-10-batches-bin", limit=6000, validation=1 / 3)
    if data == "cifar10_40k":
        return DataConfig(cifar=folder / "cifar-10-batches-bin")
    return DataConfig(folder=folder / "flowers-128", size=64)


def finished(path: Path) -> set[tuple[str, str, str, int, float, int]]:
    """Return the trainings that the file has."""
    if not path.exists():
        path.write_text(",".join(FIELDS) + "\n", encoding="utf-8")
    frame = pd.read_csv(path)
    keys = ("data", "family", "optimizer", "batch_size", "learning_rate", "seed")
    return set(zip(*(frame[key] for key in keys), strict=True))


def run(
    dataset: Dataset, data: str, family: str, optimizer: str, batch: int, rate: float, seed: int
) -> dict[str, object]:
    """Return the row of one training."""
    architecture = load_space(family).architecture(
        width=0.5,
        depth=1.0,
        resolution=RESOLUTIONS[data],
        num_classes=len(dataset.classes),
        in_channels=dataset.channels,
    )
    recipe = Recipe(
        epochs=EPOCHS[data],
        batch_size=batch,
        optimizer=optimizer,  # type: ignore[arg-type]
        learning_rate=rate,
        weight_decay=0.05 if optimizer == "adamw" else 5e-4,
    )
    try:
        result = train(
            architecture,
            dataset,
            recipe,
            seed=trial_seed(seed, architecture.digest),
            device=torch.device("cpu"),
        )
        accuracy = result.val_accuracy
    except TrainingDiverged:
        accuracy = 0.0
    values = (
        data, len(dataset.train), family, count_cost(architecture).flops, optimizer, batch, rate, seed, accuracy,
    )  # fmt: skip
    return dict(zip(FIELDS, values, strict=True))


def summary(frame: pd.DataFrame) -> str:
    """Return how near the defaults come to the best setting, then mean accuracy of every setting, as Markdown."""
    keys = ["optimizer", "batch_size", "learning_rate"]
    grouped = frame.groupby(["data", "family", *keys]).accuracy.agg(["mean", "std", "count"]).reset_index()
    images = frame.groupby("data").train_images.first()
    lines = [
        "| data | training images | family | default | its accuracy | best setting | its accuracy | noise |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (data, family), rows in grouped.groupby(["data", "family"]):
        default = Recipe().resolved(int(images[data]))
        own = rows[
            (rows.optimizer == "nesterov")
            & (rows.batch_size == default.batch_size)
            & (rows.learning_rate == default.learning_rate)
        ].iloc[0]
        best = rows.loc[rows["mean"].idxmax()]
        near = rows[rows["mean"] > best["mean"] - 0.05]
        noise = near["std"].pow(2).mean() ** 0.5
        lines.append(
            f"| {data} | {images[data]:,} | {family} | {_setting(own)} | {_percent(own)} | {_setting(best)} |"
            f" {_percent(best)} | {'not measured' if pd.isna(noise) else f'{100 * noise:.2f} %'} |"
        )
    for data, rows in grouped.groupby("data"):
        table = rows.pivot_table(index=keys, columns="family", values="mean")
        lines += [
            "",
            f"{data}:",
            "",
            "| setting | " + " | ".join(table.columns) + " |",
            "|---" * (1 + len(table.columns)) + "|",
        ]
        for index, values in table.iterrows():
            cells = ["" if pd.isna(value) else f"{100 * value:.1f}" for value in values]
            lines.append(f"| {' '.join(map(str, index))} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _setting(row: pd.Series) -> str:
    return f"{row.optimizer} {row.batch_size} {row.learning_rate:g}"


def _percent(row: pd.Series) -> str:
    spread = "" if row["count"] < 2 else f" ± {100 * row['std']:.1f}"
    return f"{100 * row['mean']:.1f}{spread} % (n = {row['count']})"


if __name__ == "__main__":
    main()
