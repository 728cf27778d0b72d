"""What a training takes in FLOPs, and the twin that takes as much without a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.architecture.cost import count_cost
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.data.sources import DataConfig, Dataset, load_data
from nas.models.build import build_model
from nas.training.compute import TrainingCompute, alone_for_equal_compute, training_compute
from nas.training.recipe import Recipe
from nas.training.teacher_folder import facts_of, write_teacher

IMAGES, BATCH = 240, 64
STEPS = IMAGES // BATCH  # of an epoch


def small(width: float = 0.25, resolution: int = 8) -> Architecture:
    return load_space("resnet_small").architecture(
        width=width, depth=0.25, resolution=resolution, num_classes=10, in_channels=1
    )


@pytest.fixture(scope="module")
def digits() -> Dataset:
    found = load_data(DataConfig(digits=True, limit=300))
    assert len(found.train) == IMAGES
    return found


@pytest.fixture(scope="module")
def teacher(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, network = tmp_path_factory.mktemp("teacher"), small(width=1.0, resolution=16)
    write_teacher(folder, network, build_model(network).state_dict(), facts_of(digits))
    return folder


def recipe(**fields: Any) -> Recipe:
    return Recipe.model_validate({"epochs": 10, "batch_size": BATCH, **fields})


def test_by_hand(digits: Dataset, teacher: Path) -> None:
    own, asked = count_cost(small()).flops, count_cost(small(width=1.0, resolution=16)).flops
    each = recipe(distillation={"teacher": str(teacher)})
    shown = 10 * STEPS * BATCH
    assert training_compute(small(), each, digits) == TrainingCompute(3 * shown * own, shown * asked)
    assert training_compute(small(), recipe(), digits) == TrainingCompute(3 * shown * own, 0)
    once = recipe(distillation={"teacher": str(teacher)}, crop=0)
    assert training_compute(small(), once, digits) == TrainingCompute(3 * shown * own, IMAGES * asked)
    both = recipe(distillation={"teacher": [str(teacher)] * 2}, epochs=None, steps=7)
    assert training_compute(small(), both, digits) == TrainingCompute(3 * 7 * BATCH * own, 7 * BATCH * 2 * asked)
    sides = (8, 11, 13, 16, 16)  # from half of 16 px on, in the first four fifths
    grows = training_compute(small(resolution=16), recipe(epochs=5, progressive=0.5), digits)
    assert grows.own == sum(3 * STEPS * BATCH * count_cost(small(resolution=side)).flops for side in sides)


@pytest.mark.parametrize("length", [{"epochs": 10}, {"steps": 31}, {"images": 1000}])
@pytest.mark.parametrize("crop", [0, 0.125])
def test_the_twin_takes_at_least_as_much_and_no_unit_more(
    digits: Dataset, teacher: Path, length: dict[str, int], crop: float
) -> None:
    taught = recipe(**{"epochs": None, **length}, crop=crop, distillation={"teacher": str(teacher)})
    compute = training_compute(small(), taught, digits)
    twin = alone_for_equal_compute(taught, compute)
    assert twin.distillation is None and twin.crop == taught.crop
    ((key, value),) = length.items()
    assert compute.own * (getattr(twin, key) - 1) < compute.total * value <= compute.own * getattr(twin, key)
    if key != "images":  # which are rounded up to steps
        assert training_compute(small(), twin, digits).own >= compute.total
