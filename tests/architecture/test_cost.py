"""Figures of the ledger that fvcore does not measure."""

from __future__ import annotations

import pytest
import torch
from conftest import architectures
from hypothesis import given, settings
from safetensors.torch import save

from nas.architecture.cost import Counts, Precision, count_cost
from nas.architecture.layers import AvgPool, Block, Conv, MaxPool, Shape, SqueezeExcite
from nas.architecture.presets import PRESETS, preset
from nas.architecture.spec import Architecture, Stage
from nas.models.build import build_model


def network(*blocks: Block, channels: int = 4, size: int = 8) -> Architecture:
    """Return a network whose input is already what the first block takes, with a classifier too small to matter."""
    return Architecture((), (Stage(blocks),), (), size, 1, in_channels=channels)


MAP = 64  # elements of one channel of 8x8


# elements alive at once, counted by hand for an input of 4x8x8
@pytest.mark.parametrize(
    ("block", "elements"),
    [
        # input and output of the wider convolution
        (Block(((Conv(16, 1), Conv(8, 3)),)), (16 + 8) * MAP),
        # the same while the input waits for the addition
        (Block(((Conv(16, 1), Conv(4, 3)),), shortcut=()), (4 + 16 + 4) * MAP),
        # the projection runs last: its input, its output and what it is added to
        (Block(((Conv(16, 3),),), shortcut=(Conv(16, 1),)), (4 + 16 + 16) * MAP),
        # the second branch runs beside the end of the first; then both ends and their concatenation
        (Block(((Conv(8, 1),), (Conv(8, 1),))), (8 + 8 + 16) * MAP),
        (Block(((Conv(1, 1),), (Conv(32, 1), Conv(1, 1)))), (1 + 32 + 4) * MAP),
        # added ends are not kept apart
        (Block(((Conv(8, 1),), (Conv(8, 1),), (Conv(8, 1),)), join="add"), (4 + 8 + 8) * MAP),
        # the input is part of the concatenation
        (Block(((), (Conv(8, 1),))), (4 + 8 + 12) * MAP),
        # a gate works in place, but not on an input that is needed again
        (Block(((Conv(8, 1), SqueezeExcite(2)),)), (4 + 8) * MAP),
        (Block(((SqueezeExcite(2),),), shortcut=()), 4 * MAP + 4 * MAP + 4),
        # pooling writes to new memory; a strided one to a quarter
        (Block(((AvgPool(3, 1),),)), 8 * MAP),
        (Block(((MaxPool(3, 2),),)), 5 * MAP),
        # a block within a branch
        (Block(((Conv(8, 1), Block(((Conv(8, 1),), (Conv(8, 1),)))),)), (8 + 8 + 16) * MAP),
    ],
)
def test_peak_memory_counted_by_hand(block: Block, elements: int) -> None:
    assert count_cost(network(block)).peak_memory == 4 * elements


def test_many_classes_are_the_peak_of_a_small_network() -> None:
    wide = Architecture((), (Stage((Block(((Conv(4, 1),),)),)),), (), 2, 50_000, in_channels=4)
    assert count_cost(wide).sections[-1].peak_memory == 4 * (4 + 50_000) == count_cost(wide).peak_memory


def test_a_gate_on_a_single_pixel_takes_the_place_of_the_product() -> None:
    block = Block(((SqueezeExcite(2),),), shortcut=())
    assert count_cost(network(block, channels=8, size=1)).peak_memory == 4 * (8 + 8 + 2)


@given(architectures())
@settings(max_examples=60)
def test_totals_are_the_sums_of_the_sections(architecture: Architecture) -> None:
    cost = count_cost(architecture)
    assert [section.name for section in cost.sections] == [
        "stem",
        *(f"stages[{i}]" for i in range(len(architecture.stages))),
        "head",
        "classifier",
    ]
    assert cost.counts == Counts(*map(sum, zip(*(section.counts for section in cost.sections), strict=True)))
    assert cost.peak_memory == max(section.peak_memory for section in cost.sections)
    for before, after in zip(cost.sections, cost.sections[1:], strict=False):
        assert before.after == after.before
    assert cost.flops == sum(cost.flops_by_operator.values())
    assert cost.activations == sum(cost.activations_by_operator.values())


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("fp16", torch.float16)])
def test_weight_bytes_are_those_of_a_file_of_the_parameters(precision: Precision, dtype: torch.dtype) -> None:
    architecture = preset("efficientnet_b0", num_classes=10)
    parameters = {name: p.detach().to(dtype) for name, p in build_model(architecture).named_parameters()}
    header = 8 + int.from_bytes(save(parameters)[:8], "little")
    cost = count_cost(architecture)
    assert cost.weight_bytes_at(precision) == len(save(parameters)) - header
    assert cost.weight_bytes == cost.weight_bytes_at("fp32")


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "googlenet"])
def test_eight_bit_weights_keep_scales_and_biases_in_32(name: str) -> None:
    architecture = preset(name)
    parameters = dict(build_model(architecture).named_parameters())
    expected = sum(p.numel() * (1 if p.ndim > 1 else 4) for p in parameters.values())
    assert count_cost(architecture).weight_bytes_at("int8") == expected


@pytest.mark.parametrize("name", PRESETS)
def test_the_first_feature_maps_are_the_most_of_the_memory(name: str) -> None:
    cost = count_cost(preset(name))
    image = 4 * 3 * preset(name).resolution ** 2
    assert 2 * image < cost.peak_memory < 40 * image


def test_every_figure_counted_by_hand() -> None:
    gated = Block(
        ((Conv(8, (1, 3), groups=2, norm=False), SqueezeExcite(2, "prelu")),), shortcut=(), activation="prelu"
    )
    stem, head = (Conv(8, 3, 2, activation="prelu"),), (Conv(4, 1),)
    cost = count_cost(Architecture(stem, (Stage((gated, gated)),), head, 8, 5))
    assert [(section.name, section.repeats, section.counts) for section in cost.sections] == [
        # 8x4x4 elements of 27 multiply-adds; 216 weights, a scale and a bias for each channel and one slope
        ("stem", 1, Counts(conv=3456, batch_norm=256, conv_outputs=128, params=233, weights=216)),
        # for each block: 128 elements of 12 and a gate of 8 to 2 and back; 8 + 2 + 8 biases, two slopes
        ("stages[0]", 2, Counts(conv=3136, adaptive_avg_pool2d=256, conv_outputs=276, params=296, weights=256)),
        ("head", 1, Counts(conv=512, batch_norm=128, conv_outputs=64, params=40, weights=32)),
        ("classifier", 1, Counts(linear=20, adaptive_avg_pool2d=64, linear_outputs=5, params=25, weights=20)),
    ]
    assert cost.flops_by_operator == {"conv": 7104, "batch_norm": 384, "linear": 20, "adaptive_avg_pool2d": 320}
    assert cost.activations_by_operator == {"conv": 468, "linear": 5}
    assert (cost.flops, cost.multiply_adds, cost.activations, cost.params) == (7828, 7124, 473, 594)
    assert cost.weight_bytes_at("int8") == 524 + 4 * 70
    assert all(type(count) is int for count in cost.counts)
    assert cost.sections[0].peak_memory == 4 * (3 * 64 + 128)
    assert cost.sections[-1].after == Shape(5, 1)


def test_a_section_without_layers_costs_nothing() -> None:
    stem = count_cost(network(Block(((Conv(8, 1),),)))).sections[0]
    assert (stem.repeats, stem.counts, stem.peak_memory) == (0, Counts(), 0)
    assert stem.before == stem.after == Shape(4, 8)
