from __future__ import annotations

import pytest
import torch
from conftest import architectures
from hypothesis import given, settings
from torch import nn

from nas.architecture.space import load_space
from nas.architecture.spec import Architecture, walk
from nas.models.build import StochasticDepth, build_model


@given(architectures(largest=48))
@settings(max_examples=25)
def test_every_part_puts_out_the_described_shape(architecture: Architecture) -> None:
    model = build_model(architecture).eval()
    features = torch.zeros(2, architecture.in_channels, architecture.resolution, architecture.resolution)
    assert model(features).shape == (2, architecture.num_classes)
    blocks = [block for stage in model.stages for block in stage]
    steps = list(walk(architecture))
    modules = [*model.stem, *blocks, *model.head]
    assert len(modules) == len(steps)
    for module, step in zip(modules, steps, strict=True):
        features = module(features)
        assert features.shape == (2, step.after.channels, step.after.size, step.after.size), step.where


def test_the_identity_is_added_where_the_shape_stays() -> None:
    network = load_space("resnet_small").architecture(resolution=8, num_classes=3)
    block = build_model(network).eval().stages[0][0]
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    features = torch.rand(2, 16, 8, 8)
    torch.testing.assert_close(block(features), features)


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = StochasticDepth(0.25)
    dropped = drop(torch.ones(20_000, 2, 1, 1)).flatten(1)
    assert ((dropped == 0).all(1) | (dropped > 1).all(1)).all()
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(drop.eval()(torch.ones(5, 1, 1, 1)), torch.ones(5, 1, 1, 1))


def test_drop_rates_rise_over_the_blocks() -> None:
    model = build_model(load_space("efficientnet").architecture(resolution=32, num_classes=3))
    rates = [module.rate for module in model.modules() if isinstance(module, StochasticDepth)]
    blocks = 16
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.2 * 14 / blocks)  # block 15, the last, has no shortcut
    small = build_model(load_space("resnet_small").architecture(resolution=32, num_classes=3))
    assert not any(isinstance(module, StochasticDepth) for module in small.modules())
