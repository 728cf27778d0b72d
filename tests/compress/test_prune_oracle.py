"""torch-pruning traces a built network and finds which channels depend on each other; we read it off the description.

It is skipped where torch-pruning is not installed (``pip install torch-pruning``), which is among what CI installs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nas.architecture.channels import Channels, Group, channels_of
from nas.architecture.cost import count_cost
from nas.architecture.layers import Conv, SqueezeExcite
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.compress.prune import keep_units
from nas.models.build import build_model

tp = pytest.importorskip("torch_pruning")

FAMILIES = (
    "resnet_small",
    "resnext_small",
    "efficientnet_small",
    "efficientnet_v2_small",
    "inception_small",
    "inception",
)
every_family = pytest.mark.parametrize("family", FAMILIES)


def network(family: str) -> Architecture:
    resolution = 75 if family == "inception" else 16
    return load_space(family).architecture(width=0.5, depth=0.5, resolution=resolution, num_classes=10)


def built(architecture: Architecture) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model(architecture).eval()


def traced(model: nn.Module, architecture: Architecture) -> Any:
    example = torch.rand(1, architecture.in_channels, architecture.resolution, architecture.resolution)
    return tp.DependencyGraph().build_dependency(model, example_inputs=example)


def removable(channels: Channels) -> list[Group]:
    """Return the groups that torch-pruning removes as we do.

    Of a grouped convolution it removes as many channels from every group and keeps the number of groups; we remove
    whole groups and keep their width.
    """
    grouped = {
        site.path for site in channels.sites if isinstance(site.layer, Conv) and 1 < site.layer.groups < len(site.reads)
    }
    tied = {unit for site in channels.sites if site.path in grouped for unit in (*site.reads, *site.writes)}
    return [group for group in channels.groups if not group.fixed and not tied & set(group.units.tolist())]


def ours(channels: Channels, unit: int) -> set[tuple[str, str, int]]:
    """Return all places that a unit has in layers with weights: the layer's name, in or out, and the channel."""

    def places() -> Iterator[tuple[str, str, int]]:
        for site in channels.sites:
            reads, writes = (np.flatnonzero(units == unit).tolist() for units in (site.reads, site.writes))
            if isinstance(site.layer, SqueezeExcite):
                yield from ((f"{site.path}.reduce", "in", place) for place in reads)
                yield from ((f"{site.path}.expand", "out", place) for place in reads)
                continue
            name = site.path if site.layer is None else f"{site.path}.conv"
            yield from ((name, "out", place) for place in writes)
            if site.layer is None or site.layer.groups == 1:  # a depthwise one keeps what it reads
                yield from ((name, "in", place) for place in reads)

    return set(places())


def theirs(model: nn.Module, group: Any) -> set[tuple[str, str, int]]:
    names = {module: name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    return {
        (names[dependency.target.module], "in" if "in_channels" in dependency.handler.__name__ else "out", place)
        for dependency, places in group
        if dependency.target.module in names
        for place in places
    }


def first_writer(channels: Channels, group: Group) -> str:
    return next(iter(group.channels))


def places_of(channels: Channels, path: str, units: set[int]) -> list[int]:
    site = next(site for site in channels.sites if site.path == path)
    return [place for place, unit in enumerate(site.writes.tolist()) if unit in units]


@every_family
def test_the_same_channels_depend_on_each_other(family: str) -> None:
    architecture = network(family)
    channels, model = channels_of(architecture), built(architecture)
    graph = traced(model, architecture)
    groups = removable(channels)
    assert len(groups) > 2
    for group in groups:
        path = first_writer(channels, group)
        for unit in {int(group.units[0]), int(group.units[-1])}:
            places = places_of(channels, path, {unit})
            found = graph.get_pruning_group(
                model.get_submodule(f"{path}.conv"), tp.prune_conv_out_channels, idxs=places
            )
            assert theirs(model, found) == ours(channels, unit), path


@every_family
def test_what_is_left_is_the_same_to_the_bit(family: str) -> None:
    architecture = network(family)
    channels, model = channels_of(architecture), built(architecture)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    graph = traced(model, architecture)
    generator, stay = np.random.default_rng(0), np.ones(channels.count, bool)
    for group in removable(channels):
        gone = generator.choice(group.units, size=len(group.units) // 3, replace=False)
        if len(gone):
            path = first_writer(channels, group)
            left = [unit for unit in next(s for s in channels.sites if s.path == path).writes.tolist() if stay[unit]]
            places = [place for place, unit in enumerate(left) if unit in set(gone.tolist())]
            layer = model.get_submodule(f"{path}.conv")
            graph.get_pruning_group(layer, tp.prune_conv_out_channels, idxs=places).prune()
            stay[gone] = False
    pruned = keep_units(channels, state, stay)
    assert count_cost(pruned.architecture).params == sum(parameter.numel() for parameter in model.parameters())
    assert count_cost(pruned.architecture).params < 0.9 * count_cost(architecture).params
    assert pruned.state.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, pruned.state[name]), name
