"""When trainings may share a GPU: what is refused, and how much memory one is taken to need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from nas.architecture.cost import count_cost
from nas.architecture.serialization import architecture_to_json
from nas.architecture.space import load_space
from nas.config.study import StudyConfig
from nas.data.sources import DataConfig, Dataset, load_data
from nas.errors import ConfigError
from nas.executors.task import Task
from nas.models.device import Memory
from nas.models.memory import estimate_training_memory, measure_training_memory
from nas.search import sharing
from nas.search.sharing import needed_bytes, sharing_of
from nas.training.preparing import validation_batch
from nas.training.recipe import Recipe

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
DATA = load_data(DataConfig(digits=True, limit=300))


def dataset() -> Dataset:
    return DATA


def task(resolution: int = 16, **recipe: Any) -> Task:
    network = load_space("efficientnet_small").architecture(
        width=0.5, depth=0.5, resolution=resolution, num_classes=10, in_channels=1
    )
    return Task("a", architecture_to_json(network), Recipe(**recipe).model_dump(mode="json"), 0, "nowhere")


@pytest.mark.parametrize(
    ("devices", "recipe", "message"),
    [
        ([CPU, CPU], {}, "--share-gpu needs a GPU, but trainings run on cpu"),
        ([GPU], {}, "--share-gpu needs --workers above 1"),
        ([GPU, GPU], {"compile": True}, "--share-gpu needs recipe.compile: false"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    devices: list[torch.device], recipe: dict[str, Any], message: str, tiny_config: StudyConfig
) -> None:
    config = tiny_config.model_copy(update={"recipe": Recipe.model_validate(recipe)})
    with pytest.raises(ConfigError, match=message):
        sharing_of(config, dataset, devices, wanted=True)
    assert sharing_of(config, dataset, devices, wanted=False) is None


def test_the_gpu_with_the_least_memory_tells_what_fits(
    tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"cuda:0": 9_000_000_000, "cuda:1": 8_000_000_000, "cpu": 2**34}
    monkeypatch.setattr(sharing, "device_memory", lambda device: Memory(10**10, free[str(device)]))
    monkeypatch.setattr(sharing, "room_for_images", lambda device: 10**9)
    monkeypatch.setattr(sharing, "validation_batch", lambda architecture, device: 512)
    found = sharing_of(tiny_config, dataset, [GPU, torch.device("cuda:1")] * 2, wanted=True)
    assert found is not None and found.room == 8_000_000_000
    few = found.needs(task(batch_size=32))
    assert found.needs(replace(task(batch_size=64), key="more images")) > few
    assert found.needs(replace(task(24, batch_size=32), key="more pixels")) > few
    others = [replace(task(batch_size=32), key=str(number)) for number in range(found.room // few - 1)]
    assert found.admits(task(batch_size=32), others) and not found.admits(task(batch_size=32), [*others, others[0]])


def test_needed_are_a_step_a_validation_and_images_that_are_kept() -> None:
    one = task(batch_size=32)
    cost = count_cost(
        network := load_space("efficientnet_small").architecture(
            width=0.5, depth=0.5, resolution=16, num_classes=10, in_channels=1
        )
    )
    expected = estimate_training_memory(cost, batch=32).high + 2 * cost.peak_memory * validation_batch(network, CPU)
    train, validation = len(DATA.train) * 256, len(DATA.validation) * 256
    found = [needed_bytes(one, DATA, CPU, room_for_images=room) for room in (0, validation, train)]
    assert found == [expected, expected + validation, expected + train + validation]


def test_a_step_takes_no_more_than_it_is_taken_to_need(measured_here: None) -> None:
    network = load_space("efficientnet_small").architecture(width=0.5, depth=0.5, resolution=16, num_classes=10)
    one = Task("a", architecture_to_json(network), Recipe(batch_size=32).model_dump(mode="json"), 0, "nowhere")
    assert measure_training_memory(network, batch=32, device="cpu") < needed_bytes(one, DATA, CPU, room_for_images=0)
