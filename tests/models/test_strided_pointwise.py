"""Strided 1x1 convolutions of few channels, whose gradient oneDNN computes with writes past its workspace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from conftest import FORKING, SPACES, scaled
from torch.nn import functional

from nas.architecture.layers import Block, Conv, Layer, Shape
from nas.architecture.shapes import kernel_sides, layer_shape
from nas.architecture.space import Range, load_space
from nas.architecture.spec import sections
from nas.models.build import StridedPointwiseConv, build_layer

SMALL = tuple(name for name in SPACES if name.endswith("_small"))
MOST = scaled(15, 32)
"""Channels up to which every shape is tried; oneDNN's block is 16."""


class Met(NamedTuple):
    """A strided 1x1 convolution that some network has, and what it is given."""

    layer: Conv
    given: Shape


def met_in(parts: tuple[Layer | Block, ...], shape: Shape) -> Iterator[Met]:
    for part in parts:
        if isinstance(part, Block):
            for branch in (*part.branches, part.shortcut or ()):
                yield from met_in(branch, shape)
        elif isinstance(part, Conv) and kernel_sides(part.kernel) == (1, 1) and part.stride > 1:
            yield Met(part, shape)
        shape = layer_shape(part, shape)


def widths(allowed: Range) -> Iterator[float]:
    steps = round((allowed.max - allowed.min) / (allowed.step or 0.125))
    return (min(allowed.max, allowed.min + (allowed.step or 0.125) * index) for index in range(steps + 1))


def all_met() -> set[Met]:
    """Return the convolutions of few channels of every small space, at every width and resolution."""
    found: set[Met] = set()
    for name in SMALL:
        space = load_space(name)
        for width in widths(space.width):
            for resolution in range(space.resolution.min, space.resolution.max + 1):
                network = space.architecture(width=width, depth=space.depth.min, resolution=resolution, num_classes=10)
                shape = Shape(network.in_channels, resolution)
                for section in sections(network):
                    found |= {met for met in met_in(section.parts, shape) if met.given.channels <= MOST}
                    for part in section.parts:
                        shape = layer_shape(part, shape)
    return found


def take_a_step(met: Met) -> None:
    """Compare the gradients in channels last with those in channels first, which oneDNN computes otherwise."""
    conv = build_layer(met.layer, met.given)[0].to(memory_format=torch.channels_last)
    assert isinstance(conv, StridedPointwiseConv)
    images = torch.randn(32, met.given.channels, met.given.size, met.given.size)
    last = images.clone(memory_format=torch.channels_last).requires_grad_()
    first, weight = images.requires_grad_(), conv.weight.detach().clone(memory_format=torch.contiguous_format)
    expected = functional.conv2d(first, weight.requires_grad_(), conv.bias, conv.stride, groups=conv.groups)
    found = conv(last)
    pull = torch.randn_like(expected)
    expected.backward(pull)
    found.backward(pull)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(last.grad, first.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(conv.weight.grad, weight.grad, rtol=1e-3, atol=1e-2)


def take_steps(mets: list[Met]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for met in mets:
        take_a_step(met)


@pytest.mark.endurance
def test_every_one_that_a_small_space_has_is_trained_and_right() -> None:
    mets = sorted(all_met(), key=repr)
    assert {met.given.channels for met in mets} >= {8} and max(met.given.size for met in mets) == 64
    process = FORKING.Process(target=take_steps, args=(mets,))  # a crash ends it, and not the tests
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (24, 3), (15, 1), (4, 4)])
def test_any_of_few_channels_is_right(channels: int, groups: int) -> None:
    process = FORKING.Process(
        target=take_steps, args=([Met(Conv(24, 1, 2, groups), Shape(channels, size)) for size in (1, 7, 46, 64)],)
    )
    process.start()
    process.join()
    assert process.exitcode == 0


def test_without_gradients_it_is_the_convolution_that_costs_and_files_tell_of() -> None:
    conv = build_layer(Conv(16, 1, 2), Shape(8, 9))[0]
    images = torch.randn(2, 8, 9, 9)
    sliced = conv(images)
    with torch.no_grad():
        graph = torch.fx.symbolic_trace(conv).graph
        torch.testing.assert_close(conv(images), sliced)
    assert sum(node.op == "call_function" for node in graph.nodes) == 1  # and no slice
