"""Small trainings that draw all the random numbers there are, for hands that do several at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from nas.architecture.serialization import architecture_to_json
from nas.architecture.space import load_space
from nas.data.sources import DataConfig
from nas.executors.sharing import Sharing
from nas.executors.task import Task, Told
from nas.training.recipe import Recipe

DATA = DataConfig(digits=True, limit=150)
CPU = torch.device("cpu")
RANDOM = {"dropout": 0.3, "stochastic_depth": 0.3, "mixup": 0.4, "cutmix": 0.4, "ema": 0.9, "rotate": 10.0}
RECIPE = Recipe.model_validate({"epochs": 3, "batch_size": 32, "learning_rate": 0.2, "cpu_threads": 1, **RANDOM})
ALL = Sharing(lambda task: 0, 0)
NETWORKS = ("resnet_small", "efficientnet_small")


def task(folder: Path, number: int, recipe: Recipe = RECIPE, **values: Any) -> Task:
    sizes = {"width": 0.25, "depth": 0.5, "resolution": 8 + number}
    network = load_space(NETWORKS[number % 2]).architecture(**sizes, num_classes=10, in_channels=1)
    files = {"checkpoint": str(folder / f"{number}.checkpoint"), "weights": str(folder / f"{number}.weights")}
    document = recipe.model_dump(mode="json")
    return Task(str(number), architecture_to_json(network), document, number, **{**files, **values})


def essence(told: list[Told]) -> list[Any]:
    """Return all but times."""
    plain = [json.loads(json.dumps(asdict(one), default=lambda array: array.tolist())) for one in told]
    for one in plain:
        one.pop("train_seconds", None), one.pop("data_share", None)
        for epoch in [*one.get("curve", []), *([one["epoch"]] if "epoch" in one else [])]:
            del epoch["seconds"]
    return plain
