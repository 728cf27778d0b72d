"""Which channels stand together, and networks that keep some of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import SPACES, architectures, scaled, strange_architectures
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture.channels import Channels, Group, channels_of
from nas.architecture.cost import count_cost
from nas.architecture.layers import Block, Conv, MaxPool, SqueezeExcite
from nas.architecture.presets import preset
from nas.architecture.serialization import architecture_from_json, architecture_to_json
from nas.architecture.spec import Architecture, Stage
from nas.errors import ArchitectureError
from nas.models.build import build_model
from nas.models.measure import measure_cost

SMALL = tuple(name for name in SPACES if name.endswith("_small"))


def network(*blocks: Block, stem: int = 8) -> Architecture:
    return Architecture((Conv(stem, 3),), (Stage(blocks),), (), 8, 3)


def sizes(architecture: Architecture) -> list[tuple[int, dict[str, int]]]:
    return [(len(group.units), group.channels) for group in channels_of(architecture).groups if not group.fixed]


def some_counts(draw: st.DrawFn, channels: Channels) -> list[int]:
    """Draw how many units each group keeps."""
    return [
        len(group.units) if group.fixed else draw(st.integers(1, len(group.units)), label=next(iter(group.channels)))
        for group in channels.groups
    ]


def test_a_convolution_makes_channels_and_what_is_depthwise_pools_or_gates_keeps_them() -> None:
    inverted = (Conv(16, 1), Conv(16, 3, groups=16), SqueezeExcite(4), MaxPool(3, 1), Conv(12, 1))
    inner = {"stages.0.0.branches.0.0": 1, "stages.0.0.branches.0.1": 1}
    assert sizes(network(Block((inverted,)))) == [(8, {"stem.0": 1}), (16, inner), (12, {"stages.0.0.branches.0.4": 1})]


def test_addition_unites_and_the_identity_ties_a_whole_stage() -> None:
    block = Block(((Conv(8, 3),),), shortcut=())
    together = {"stem.0": 1, "stages.0.0.branches.0.0": 1, "stages.0.1.branches.0.0": 1}
    assert sizes(network(block, block)) == [(8, together)]


def test_concatenation_lists_and_an_addition_splits_what_meets_the_list() -> None:
    listed = Block(((Conv(4, 1),), (Conv(6, 1),)), shortcut=(Conv(10, 1),))
    tied = [{f"stages.0.0.branches.{i}.0": 1, "stages.0.0.shortcut.0": 1} for i in (0, 1)]
    assert sizes(network(listed)) == [(8, {"stem.0": 1}), (4, tied[0]), (6, tied[1])]


def test_a_grouped_convolution_loses_whole_groups() -> None:
    grouped = Block(((Conv(16, 3, groups=4),),))
    assert sizes(network(grouped)) == [(4, {"stem.0": 2, "stages.0.0.branches.0.0": 4})]
    left = channels_of(network(grouped))
    smaller = left.keeping([len(g.units) if g.fixed else 3 for g in left.groups])
    assert smaller.stem == (Conv(6, 3),)
    assert smaller.stages[0].blocks[0].branches == ((Conv(12, 3, groups=3),),)


def test_a_list_that_holds_a_map_twice_keeps_or_loses_both() -> None:
    twice = Block(((), (MaxPool(3, 1),)))
    assert sizes(network(twice, Block(((Conv(16, 3, groups=16),),)))) == [
        (8, {"stem.0": 1, "stages.0.1.branches.0.0": 2})
    ]


def test_channels_of_the_image_stay() -> None:
    on_image = Architecture((), (Stage((Block(((Conv(6, 3, groups=3),),)),)),), (), 8, 3)
    (group,) = channels_of(on_image).groups
    assert group.fixed
    with pytest.raises(ArchitectureError, match=r"can keep all 3 units, but not 2"):
        channels_of(on_image).keeping([2])
    plain = channels_of(network(Block(((Conv(8, 3),),))))
    with pytest.raises(ArchitectureError, match=r"stem.0 can keep 1 to 8 units, but not 0"):
        plain.keeping([3, 0, 8])


@pytest.mark.parametrize(("channels", "step"), [({"a": 1}, 8), ({"a": 4, "b": 4}, 2), ({"a": 4, "b": 3}, 8)])
def test_steps_leave_multiples(channels: dict[str, int], step: int) -> None:
    assert Group(np.arange(9), channels, False).step(8) == step


def test_a_residual_stage_of_resnext_has_one_group_and_inner_groups_of_four() -> None:
    groups = channels_of(preset("resnext50_32x4d")).groups
    stage, inner = next(g for g in groups if "stages.0.0.shortcut.0" in g.channels), groups[2]
    assert (len(stage.units), len(stage.channels)) == (256, 4)
    assert (len(inner.units), set(inner.channels.values())) == (32, {4})


@settings(max_examples=scaled(20, 2_000))
@given(st.data(), st.one_of(architectures(spaces=SMALL, largest=24), strange_architectures()))
def test_what_is_left_is_an_ordinary_network_with_the_cost_that_is_measured(
    data: st.DataObject, architecture: Architecture
) -> None:
    channels = channels_of(architecture)
    assert channels.keeping([len(group.units) for group in channels.groups]) == architecture
    smaller = channels.keeping(some_counts(data.draw, channels))
    read = architecture_from_json(architecture_to_json(smaller))
    assert (read, read.digest) == (smaller, smaller.digest)
    assert count_cost(smaller).flops <= count_cost(architecture).flops
    model = build_model(smaller).eval()
    assert count_cost(smaller).counts == measure_cost(model, smaller).counts
    with torch.inference_mode():
        images = torch.zeros(1, smaller.in_channels, smaller.resolution, smaller.resolution)
        assert model(images).shape == (1, smaller.num_classes)


@settings(max_examples=scaled(60, 2_000))
@given(st.one_of(architectures(spaces=SMALL), strange_architectures()))
def test_groups_hold_every_channel_of_every_convolution_once(architecture: Architecture) -> None:
    channels = channels_of(architecture)
    state = build_model(architecture).state_dict()
    held: dict[str, int] = {}
    for group in channels.groups:
        assert math.gcd(group.step(8), 8) == group.step(8)
        for path, count in group.channels.items():
            held[path] = held.get(path, 0) + count * len(group.units)
    assert held == {site.path: len(state[f"{site.path}.conv.weight"]) for site in channels.sites if len(site.writes)}
    assert sorted(np.concatenate([group.units for group in channels.groups]).tolist()) == list(range(channels.count))
