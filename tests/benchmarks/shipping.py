"""Claims: int8 keeps a winner's accuracy to half a point, pruning most of it, and a teacher brings two points.

What ships of a ResNet and an EfficientNet that won on CIFAR-10, three seeds each: in float32 and int8, with 30, 50 and
70 % of the FLOPs removed and trained on, taught by what they were or not; beside the same shapes trained from scratch
and the best searched network of half the FLOPs: alone, taught by the winner, and alone for the compute of that.
Accuracy is that of the ONNX file on the 10,000 test images; times are processor time of one thread, all files in turns.

Run as ``python tests/benchmarks/shipping.py CIFAR_FOLDER --keep FOLDER [-o studies/results/shipping]`` (two hours of a
core; it goes on where it was stopped). It writes shipping.csv and RESULTS.md, with remarks.md at its end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import torch
from safetensors.torch import load_file
from shipped.trainings import (
    CPU,
    FAMILIES,
    SEEDS,
    SHORT,
    STUDENT,
    WINNER,
    Family,
    folder_of,
    images,
    jobs,
    network,
    train_all,
)

from nas.architecture.serialization import load_architecture
from nas.architecture.spec import Architecture
from nas.compress.profile import profile_onnx
from nas.compress.quantize import quantize_onnx
from nas.compress.scoring import onnx_score
from nas.compress.speed import compare_speed
from nas.data.batches import ImageBatches, standardisation
from nas.data.sources import Dataset
from nas.data.types import ImageSet
from nas.models.build import Network
from nas.models.device import describe_device
from nas.models.onnx import export_onnx
from nas.training.preparing import bring
from nas.training.recipe import Recipe
from nas.units import format_count

INT8, CALIBRATED, BATCHES = " int8", 256, (1, 32)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cifar", type=Path, help="folder of CIFAR-10's binary files")
    parser.add_argument("--keep", type=Path, required=True, help="folder that trainings are kept in")
    parser.add_argument("-o", "--output", type=Path, default=Path("studies/results/shipping"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    train_all(given.cifar, given.keep)
    frame = pd.DataFrame(row for family in FAMILIES for row in measured(family, given.cifar, given.keep))
    given.output.mkdir(parents=True, exist_ok=True)
    frame.to_csv(given.output / "shipping.csv", index=False, float_format="%.5g")
    table = summary(frame)
    told = list(verdicts(frame, table))
    remarks = given.output / "remarks.md"
    lines = [*page(table), *told, *profiles(given.keep)]
    lines += ["", remarks.read_text(encoding="utf-8").rstrip()] if remarks.exists() else []
    (given.output / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(told))
    sys.exit(any(line.startswith("- FAIL") for line in told))


def measured(family: Family, cifar: Path, keep: Path) -> Iterator[dict[str, Any]]:
    """Yield one row for each file of a family: what it is, its accuracy, bytes and times."""
    dataset, test = images(cifar)
    for seed in range(SEEDS):
        files, facts = dict[str, Path](), dict[str, dict[str, Any]]()
        for job in jobs(family, seed):
            folder = folder_of(keep, family, job)
            facts[job.name] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            files[job.name] = exported(folder, dataset)
            if "scratch" not in job.name:
                files[job.name + INT8] = quantised(folder, dataset)
        times = [compare_speed(files, batch=batch) for batch in BATCHES]
        for name, path in files.items():
            side = load_architecture(path.with_name("architecture.json")).resolution
            yield {
                "space": family.space,
                "seed": seed,
                "variant": name,
                **{key: facts[name.removesuffix(INT8)][key] for key in ("epochs", "flops", "params", "cpu_seconds")},
                "bytes": path.stat().st_size,
                "val_accuracy": onnx_score(path, brought(dataset.validation, dataset, side), classes=10),
                "test_accuracy": onnx_score(path, brought(test, dataset, side), classes=10),
                **{f"ms_{batch}": found.median_ms(name) for batch, found in zip(BATCHES, times, strict=True)},
            }


def exported(folder: Path, dataset: Dataset) -> Path:
    """Return the ONNX file of a training, which is made where it is not there."""
    path = folder / "model.onnx"
    if not path.exists():
        architecture = load_architecture(folder / "architecture.json")
        model = Network(architecture).eval()
        model.load_state_dict(load_file(folder / "weights.safetensors"))
        export_onnx(model, calibrated(folder, dataset)[:2], path)
    return path


def quantised(folder: Path, dataset: Dataset) -> Path:
    """Return its int8 file, likewise."""
    path = folder / "model-int8.onnx"
    if not path.exists():
        quantize_onnx(folder / "model.onnx", np.ascontiguousarray(calibrated(folder, dataset).numpy()), path)
    return path


def calibrated(folder: Path, dataset: Dataset) -> torch.Tensor:
    """Return the training images by which a network's int8 file is calibrated."""
    resolution = load_architecture(folder / "architecture.json").resolution
    part = dataset.train.take(np.arange(CALIBRATED))
    return next(brought(part, dataset, resolution).in_order(CALIBRATED)).images


def brought(part: ImageSet, dataset: Dataset, resolution: int) -> ImageBatches:
    recipe, standard = Recipe(epochs=1), standardisation(dataset)
    return bring(part, resolution=resolution, standard=standard, recipe=recipe, device=CPU)


def eager_ms(architecture: Architecture, batch: int = 1) -> float:
    """Return processor milliseconds of the PyTorch module, one thread."""
    model, given = Network(architecture).eval(), torch.randn(batch, 3, *2 * [architecture.resolution])
    times = []
    with torch.inference_mode():
        for _ in range(5):
            model(given)
        for _ in range(60):
            begun = time.thread_time()
            model(given)
            times.append(time.thread_time() - begun)
    return 1000 * statistics.median(times)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each variant: means over the seeds, and the deviation of the accuracy."""
    names = ["epochs", "flops", "params", "bytes", *(f"ms_{batch}" for batch in BATCHES)]
    groups = frame.groupby(["space", "variant"], sort=False)
    table = groups[names].mean()
    for part in ("val", "test"):
        points = 100 * groups[f"{part}_accuracy"].agg(["mean", "std"])
        table[[part, f"{part}_std"]] = points.to_numpy()
    return table


def page(table: pd.DataFrame) -> Iterator[str]:
    yield "# What ships"
    yield ""
    yield (
        "Written by `python tests/benchmarks/shipping.py`, whose first lines say what is measured and how"
        f" ({os.cpu_count()} cores of {describe_device(CPU)}, Python {platform.python_version()}, torch"
        f" {torch.__version__.split('+')[0]}, onnxruntime {onnxruntime.__version__}). Accuracy in percent, mean ±"
        f" standard deviation of {SEEDS} seeds. Chosen is by validation images; the test images decide nothing here."
    )
    for family in FAMILIES:
        rows = table.loc[family.space]
        yield from (
            "",
            f"## {family.space}, {describe_winner(family)}",
            "",
            "| variant | epochs | FLOPs | bytes | ms, 1 image | ms, 32 images | test accuracy | validation |",
            "|---|---|---|---|---|---|---|---|",
        )
        for name, row in rows.iterrows():
            yield (
                f"| {name} | {row.epochs:.0f} | {format_count(round(row.flops))} | {format_count(round(row.bytes))}"
                f" | {row.ms_1:.3f} | {row.ms_32:.2f} | {row.test:.1f} ± {row.test_std:.1f} | {row.val:.1f} |"
            )
    yield ""


def describe_winner(family: Family) -> str:
    width, depth, resolution = family.winner
    return f"{width:g} × {depth:g}, {resolution} px"


def verdicts(frame: pd.DataFrame, table: pd.DataFrame) -> Iterator[str]:
    """Yield what was claimed and what came of it, one line each."""
    for family in FAMILIES:
        rows, paired = table.loc[family.space], _by_seed(frame, family)

        def lost(name: str, paired: pd.DataFrame = paired) -> str:
            difference = 100 * (paired[WINNER] - paired[name])
            return f"{difference.mean():.1f} ± {difference.std():.1f} points"

        def line(holds: bool, text: str, family: Family = family) -> str:
            return f"- {'PASS' if holds else 'FAIL'}, {family.space}: {text}"

        below = rows.test[WINNER] - rows.test[WINNER + INT8]
        yield line(below <= 0.5, f"int8 loses {lost(WINNER + INT8)} (at most 0.5)")
        faster = rows.ms_1[WINNER] / rows.ms_1[WINNER + INT8]
        if family.space == "resnet_small":
            yield line(faster >= 1.8, f"int8 is {faster:.2f} times as fast for one image (at least 1.8)")
        else:
            yield f"- {family.space}: int8 is {faster:.2f} times as fast for one image"
        for share, most, name in ((30, 0.5, ""), (50, 1.5, ""), (70, 3.0, ", taught")):
            text = f"{share} % of the FLOPs removed{name}: loses {lost(f'pruned {share}%{name}')} (at most {most:g})"
            time_left = rows.ms_1[f"pruned {share}%"] / rows.ms_1[WINNER]
            yield line(
                rows.test[WINNER] - rows.test[f"pruned {share}%{name}"] <= most, f"{text}, {time_left:.2f} of the time"
            )
            best = f"pruned {share}%, taught"
            scratch = f"shape of {share}% from scratch"
            noise = _noise(paired[best] - paired[scratch])
            yield line(
                rows.test[best] >= rows.test[scratch] - 2 * noise,
                f"{best}: {rows.test[best]:.1f}; {scratch}, as many epochs: {rows.test[scratch]:.1f} (standard error of"
                f" the difference {noise:.1f})",
            )
        longer = f"pruned 50%, taught for {SHORT} epochs"
        yield f"- {family.space}: {longer}: loses {lost(longer)}"
        taught = f"{STUDENT}, taught"
        gain = rows.test[taught] - rows.test[STUDENT]
        yield line(gain >= 2, f"taught, the student gains {gain:.1f} points in as many epochs (at least 2)")
        beyond = rows.test[taught] - rows.test[f"{STUDENT}, for the same compute"]
        yield line(beyond > 0, f"and {beyond:.1f} beside itself alone for the same compute (above 0)")
        architecture = network(family, family.winner)
        share = rows.ms_1[WINNER] / eager_ms(architecture)
        yield line(share <= 0.5, f"ONNX takes {share:.2f} of eager's time for one image (at most 0.5)")


def _by_seed(frame: pd.DataFrame, family: Family) -> pd.DataFrame:
    return frame[frame["space"] == family.space].pivot(index="seed", columns="variant", values="test_accuracy")


def _noise(differences: pd.Series) -> float:
    """Return the standard error of a mean of differences, in points."""
    return float(100 * differences.std() / len(differences) ** 0.5)


def profiles(keep: Path) -> Iterator[str]:
    """Yield what costs the time of the winners' int8 files."""
    yield from ("", "What costs the time of the winners in int8, for one image:", "")
    for family in FAMILIES:
        folder = folder_of(keep, family, next(jobs(family, 0)))
        shares = profile_onnx(folder / "model-int8.onnx")
        shown = ", ".join(f"{one.operator} {100 * one.share:.0f} %" for one in shares[:6])
        yield f"- {family.space}: {shown}"


if __name__ == "__main__":
    main()
