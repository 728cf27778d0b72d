"""What ``shipping.py`` trains, each kept in a folder of its own, so that it can be stopped and goes on.

Two winners of the scaling table of CIFAR-10 (studies/results/scaling_table): the best ResNet below 10 million FLOPs and
the best EfficientNet below 6 million; 8,000 training images, 20 epochs, and 3 after channels were removed. The student
is the best of the table at half the FLOPs, trained for 10 epochs: alone, taught by the winner, and alone for as much
compute as that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file

from nas.architecture.cost import count_cost
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.compress.prune import prune_network
from nas.data.batches import standardisation
from nas.data.sources import DataConfig, Dataset, ImageSet, load_data, load_test
from nas.models.build import Network
from nas.training.distillation import Distillation
from nas.training.evaluate import evaluate
from nas.training.loop import train
from nas.training.preparing import bring, validation_batch
from nas.training.recipe import Recipe
from nas.training.teacher_folder import facts_of, write_teacher

EPOCHS, TUNING, SHORT, SEEDS, MULTIPLE = 20, 3, 10, 3, 8
REMOVED = (0.3, 0.5, 0.7)
WINNER, STUDENT = "winner", "searched at half the FLOPs"
CPU = torch.device("cpu")


class Family(NamedTuple):
    """One winner, and the best network of the table at half its FLOPs, as (width, depth, resolution)."""

    space: str
    winner: tuple[float, float, int]
    half: tuple[float, float, int]


FAMILIES = (
    Family("resnet_small", (1.0, 0.5, 28), (0.5, 0.5, 32)),
    Family("efficientnet_small", (0.75, 0.5, 32), (0.5, 0.5, 32)),
)


class Job(NamedTuple):
    """One training.

    Attributes:
        name: Of the variant.
        seed: Of the training.
        coefficients: Of the network.
        epochs: Of the training.
        pruned: Share of the FLOPs that is removed beforehand.
        warm: Whether training begins with what the winner has learned.
        teacher: Name of the variant that teaches, of the same seed.
    """

    name: str
    seed: int
    coefficients: tuple[float, float, int]
    epochs: int = EPOCHS
    pruned: float = 0.0
    warm: bool = False
    teacher: str = ""


def jobs(family: Family, seed: int) -> Iterator[Job]:
    """Yield the trainings of a seed, those that others need first."""
    winner, half = family.winner, family.half
    yield Job(WINNER, seed, winner)
    yield Job(STUDENT, seed, half, SHORT)
    yield Job(f"{STUDENT}, taught", seed, half, SHORT, teacher=WINNER)
    yield Job(f"{STUDENT}, for the same compute", seed, half, twin_epochs(family))
    for share in REMOVED:
        yield Job(f"pruned {share:.0%}", seed, winner, TUNING, share, warm=True)
        yield Job(f"pruned {share:.0%}, taught", seed, winner, TUNING, share, warm=True, teacher=WINNER)
        yield Job(f"shape of {share:.0%} from scratch", seed, winner, EPOCHS + TUNING, share)
    yield Job(f"pruned 50%, taught for {SHORT} epochs", seed, winner, SHORT, 0.5, warm=True, teacher=WINNER)


def twin_epochs(family: Family) -> int:
    """Return the epochs alone that cost as much as a taught training: a step is three forward passes of the network."""
    own, teacher = (count_cost(network(family, given)).flops for given in (family.half, family.winner))
    return round(SHORT * (3 * own + teacher) / (3 * own))


def network(family: Family, coefficients: tuple[float, float, int]) -> Architecture:
    width, depth, resolution = coefficients
    return load_space(family.space).architecture(width=width, depth=depth, resolution=resolution, num_classes=10)


def images(cifar: Path) -> tuple[Dataset, ImageSet]:
    """Return 8,000 training and 2,000 validation images, and the test images."""
    config = DataConfig(cifar=str(cifar), limit=10_000, validation=0.2)
    return load_data(config), load_test(config)


def train_all(cifar: Path, keep: Path) -> None:
    """Make every training that is not there yet, seed by seed."""
    dataset, test = images(cifar)
    for seed in range(SEEDS):
        for family in FAMILIES:
            for job in jobs(family, seed):
                if not (folder_of(keep, family, job) / "result.json").exists():
                    _train(job, family, dataset, test, keep)


def folder_of(keep: Path, family: Family, job: Job) -> Path:
    return keep / family.space / f"{job.name.replace(' ', '_').replace(',', '').replace('%', '')}-{job.seed}"


def _train(job: Job, family: Family, dataset: Dataset, test: ImageSet, keep: Path) -> None:
    folder, recipe, initial = folder_of(keep, family, job), Recipe(epochs=job.epochs, cpu_threads=1), None
    architecture = network(family, job.coefficients)
    if job.pruned:
        whole = load_file(folder_of(keep, family, Job(WINNER, job.seed, family.winner)) / "weights.safetensors")
        pruned = prune_network(architecture, whole, flops=round(1 - job.pruned, 12), multiple=MULTIPLE)
        architecture, initial = pruned.architecture, pruned.state if job.warm else None
    if job.teacher:
        place = folder_of(keep, family, Job(job.teacher, job.seed, family.winner))
        recipe = recipe.model_copy(update={"distillation": Distillation(teacher=str(place))})
    started = time.process_time()
    result = train(architecture, dataset, recipe, seed=job.seed, device=CPU, initial=initial)
    seconds = time.process_time() - started
    write_teacher(folder, architecture, result.model.state_dict(), facts_of(dataset))
    facts = {
        "variant": job.name,
        "seed": job.seed,
        "epochs": job.epochs,
        "flops": count_cost(architecture).flops,
        "params": count_cost(architecture).params,
        "val_accuracy": result.val_accuracy,
        "test_accuracy": _tested(result.model, architecture, dataset, test),
        "cpu_seconds": seconds,
    }
    print(family.space, facts, flush=True)
    (folder / "result.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _tested(model: Network, architecture: Architecture, dataset: Dataset, test: ImageSet) -> float:
    """Return the share of the test images that a network gets right."""
    brought = bring(
        test,
        resolution=architecture.resolution,
        standard=standardisation(dataset),
        recipe=Recipe(epochs=EPOCHS),
        device=CPU,
    )
    return evaluate(model, brought, batch=validation_batch(architecture, CPU)).accuracy
