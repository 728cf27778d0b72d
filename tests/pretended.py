"""Trainings that take no time and whose truth is known, for what asks many networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nas.architecture.cost import count_cost
from nas.architecture.serialization import architecture_from_json
from nas.architecture.spec import Architecture
from nas.executors import inline
from nas.executors.task import Ended, EpochDone, Task, Tell
from nas.records import Epoch

STUDY: dict[str, Any] = {
    "data": {"digits": True, "limit": 400},
    "search": {
        "spaces": ["resnet_small"],
        "width": {"min": 0.5, "max": 2.0, "step": 0.25},
        "depth": {"min": 0.5, "max": 2.0, "step": 0.5},
        "resolution": {"min": 12, "max": 32, "step": 4},
        "trials": 12,
        "sampler": "random",
    },
    "recipe": {"epochs": 2, "batch_size": 64},
}
NOISE = 0.002


def truth(architecture: Architecture) -> float:
    """Return the error of a network: least where width grows with the square root of the resolution, at 3 blocks."""
    blocks = sum(len(stage.blocks) for stage in architecture.stages)
    width = architecture.stages[-1].blocks[0].branches[0][0].channels / 64  # type: ignore[attr-defined]
    place = np.log2([width, blocks / 6, architecture.resolution / 24])
    size = 2 * place[0] + place[1] + 2 * place[2]
    shape = (place[0] - 0.5 * place[2]) ** 2 + (place[1] - 0.25 * place[2]) ** 2
    return float(0.3 * 2 ** (-0.15 * size) * (1 + 0.5 * shape))


def pretend(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Let trainings in this process take no time, and return those that are made, as they are made."""
    made = list[Task]()

    def work(task: Task, dataset: Any, *, device: Any, tell: Tell, stop: Any) -> bool:
        made.append(task)
        epochs, images = task.recipe["epochs"], len(dataset.train)
        error = truth(architecture_from_json(task.architecture)) * (epochs / 2) ** -0.1 * (images / 320) ** -0.2
        accuracy = 1 - error + NOISE * float(np.random.default_rng(task.seed).normal())
        seconds = 1e-8 * count_cost(architecture_from_json(task.architecture)).flops
        curve = tuple(Epoch(n + 1, 1.0, 0.5, 1.0, accuracy, seconds / epochs) for n in range(epochs))
        for epoch in curve:
            tell(EpochDone(task.key, epoch))
        tell(Ended(False, curve, "nothing", seconds, None, 0.0, np.zeros(80, np.int64), task.key))
        return True

    monkeypatch.setattr(inline, "work", work)
    return made
