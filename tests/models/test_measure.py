"""The closed form against those who did not write it: fvcore, torch's own counter, published networks."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from conftest import architectures, scaled, strange_architectures
from hypothesis import given, settings
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nas.architecture.cost import count_cost
from nas.architecture.layers import Block, Conv, MaxPool
from nas.architecture.presets import preset
from nas.architecture.spec import Architecture, Stage
from nas.errors import MeasurementError
from nas.models.build import build_model
from nas.models.measure import measure_cost

GOLDEN = Path(__file__).parent.parent / "golden" / "reference_models.csv"
REFERENCES = list(csv.DictReader(GOLDEN.read_text().splitlines()))


@pytest.mark.endurance
@given(architectures())
@settings(max_examples=scaled(12, 400))
def test_counted_cost_equals_the_measured_one_by_section(architecture: Architecture) -> None:
    model = build_model(architecture)
    assert measure_cost(model, architecture) == count_cost(architecture)
    assert model.training


@pytest.mark.endurance
@given(strange_architectures())
@settings(max_examples=scaled(30, 1000))
def test_any_block_costs_what_is_measured(architecture: Architecture) -> None:
    assert measure_cost(build_model(architecture), architecture) == count_cost(architecture)


def test_joins_count_as_fvcore_measures() -> None:
    concat = Block(((Conv(8, 1),), (Conv(4, 1), Conv(8, 5, groups=4)), (MaxPool(3, 1),)), activation="silu")
    added = Block(((Conv(28, 3, norm=False),), (Conv(28, 1),)), shortcut=(), join="add", activation="relu")
    architecture = Architecture((Conv(12, 3, 2),), (Stage((concat, added)),), (Conv(16, 1),), 21, 5)
    assert measure_cost(build_model(architecture), architecture) == count_cost(architecture)


def test_more_classes_than_features_take_memory_too() -> None:
    architecture = Architecture((Conv(4, 3, 2),), (), (), 2, 50)
    assert measure_cost(build_model(architecture), architecture) == count_cost(architecture)


@pytest.mark.endurance
@given(architectures())
@settings(max_examples=scaled(8, 400))
def test_multiply_adds_are_half_of_torchs_own_count(architecture: Architecture) -> None:
    with torch.device("meta"):
        model = build_model(architecture).eval()
        images = torch.empty(1, architecture.in_channels, architecture.resolution, architecture.resolution)
    with FlopCounterMode(display=False) as counter:
        model(images)
    assert counter.get_total_flops() == 2 * count_cost(architecture).multiply_adds


@pytest.mark.parametrize("row", REFERENCES, ids=lambda row: f"{row['model']}-{row['resolution']}")
def test_presets_equal_the_reference_networks(row: dict[str, str]) -> None:
    cost = count_cost(preset(row["model"], resolution=int(row["resolution"])))
    expected = {key: int(row[key]) for key in ("params", "flops", "multiply_adds", "activations")}
    assert {key: getattr(cost, key) for key in expected} == expected


def test_presets_have_their_papers_resolution() -> None:
    assert [preset(f"efficientnet_b{i}").resolution for i in range(8)] == [224, 240, 260, 300, 380, 456, 528, 600]


def test_an_operator_that_nobody_counts_is_an_error() -> None:
    architecture = preset("resnet18", resolution=32)
    model = build_model(architecture)
    model.head.append(nn.Softplus())
    with pytest.raises(MeasurementError, match="aten::softplus"):
        measure_cost(model, architecture)
