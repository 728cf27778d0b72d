"""Networks in fixed point: norms are folded exactly, and each tensor's integers are the nearest there are."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from conftest import SPACES, architectures, scaled, strange_architectures
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.architecture.channels import with_convs
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.compress.fixed_point import fixed_point, fixed_point_table, nearest
from nas.compress.folding import fold_norms
from nas.data.sources import DataConfig, load_data
from nas.errors import ConfigError, WeightsError
from nas.models.build import build_model
from nas.training.loop import train
from nas.training.recipe import Recipe

SMALL = tuple(name for name in SPACES if name.endswith("_small"))
CPU = torch.device("cpu")


def small() -> Architecture:
    return load_space("resnet_small").architecture(width=0.5, depth=0.5, resolution=8, num_classes=10, in_channels=1)


def noisy_state(architecture: Architecture) -> dict[str, Tensor]:
    """Return the state of a network whose norms are not the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(architecture)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                    assert tensor is not None
                    tensor.uniform_(0.5, 1.5)
    return model.state_dict()


def outputs(architecture: Architecture, state: dict[str, Tensor]) -> Tensor:
    model = build_model(architecture).double().eval()
    model.load_state_dict(state)
    shape = (2, architecture.in_channels, architecture.resolution, architecture.resolution)
    with torch.inference_mode():
        logits: Tensor = model(torch.rand(shape, generator=torch.Generator().manual_seed(1)).double())
    return logits


@settings(max_examples=scaled(10, 500))
@given(st.one_of(architectures(spaces=SMALL, largest=16), strange_architectures()))
def test_a_network_without_norms_computes_the_same(architecture: Architecture) -> None:
    given = noisy_state(architecture).items()
    state = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in given}
    folded = fold_norms(architecture, state)
    assert not any(".norm." in name for name in folded.state)
    expected = outputs(architecture, state)
    torch.testing.assert_close(outputs(folded.architecture, folded.state), expected, rtol=1e-9, atol=1e-9)


def test_folding_twice_changes_nothing_more() -> None:
    folded = fold_norms(small(), noisy_state(small()))
    again = fold_norms(*folded)
    assert again.architecture == folded.architecture
    assert all(torch.equal(tensor, folded.state[name]) for name, tensor in again.state.items())
    assert with_convs(small(), lambda conv, path: dataclasses.replace(conv, norm=False)) == folded.architecture


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(WeightsError, match="the weights have no stem.0.norm.weight, which the architecture has"):
        fixed_point(small(), {})


def test_integers_by_hand() -> None:
    assert nearest(torch.tensor([1.0, -0.5, 0.25]), 4).integers.tolist() == [4, -2, 1]
    assert nearest(torch.tensor([1.0, -0.5, 0.25]), 4).exponent == 2
    assert nearest(torch.tensor([100.0, 60.0]), 4).exponent == -4
    assert nearest(torch.tensor([100.0, 60.0]), 4).values.tolist() == [96, 64]
    assert nearest(torch.zeros(2, 3), 8).values.tolist() == [[0.0] * 3] * 2
    outlier = torch.tensor([1.0] + [0.125] * 100)  # which is cut off for the sake of the others
    assert nearest(outlier, 4).integers.tolist() == [7] + [1] * 100 and nearest(outlier, 4).exponent == 3


@settings(max_examples=scaled(100, 5_000))
@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20), st.integers(2, 16))
def test_no_other_power_of_two_is_nearer(numbers: list[float], bits: int) -> None:
    tensor = torch.tensor(numbers)
    found = nearest(tensor, bits)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    assert low <= int(found.integers.min()) and int(found.integers.max()) <= high

    def error(b: int) -> float:
        values = (tensor.double() * 2.0**b).round().clamp(low, high) * 2.0**-b
        return float((values - tensor.double()).square().sum())

    if (largest := float(tensor.double().abs().max())) > 0:
        first = math.floor(math.log2(high / largest))
        assert error(found.exponent) <= min(error(b) for b in range(first - 3, first + 4))


def test_bytes_are_counted_tensor_by_tensor() -> None:
    whole = fold_norms(small(), noisy_state(small()))
    rounded = fixed_point(small(), noisy_state(small()), bits=5)
    assert rounded.architecture == whole.architecture and rounded.bits == 5
    assert rounded.bytes == sum(1 + math.ceil(5 * tensor.numel() / 8) for tensor in whole.state.values())
    build_model(rounded.architecture).load_state_dict(rounded.state())
    for name, tensor in rounded.state().items():
        assert len(tensor.unique()) <= 32
        assert (tensor - whole.state[name]).abs().max() <= 0.6 * whole.state[name].abs().max()


@pytest.mark.parametrize("bits", [1, 17, 0])
def test_so_many_bits_are_refused(bits: int) -> None:
    with pytest.raises(ConfigError, match=f"fixed point has 2 to 16 bits, but not {bits}"):
        fixed_point(small(), noisy_state(small()), bits=bits)


def test_accuracy_is_told_against_bytes() -> None:
    digits = load_data(DataConfig(digits=True))
    trained = train(small(), digits, Recipe(epochs=4), seed=0, device=CPU)
    rows = fixed_point_table(small(), trained.model.state_dict(), digits, bits=(8, 2, 5), device=CPU)
    assert [row.bits for row in rows] == [2, 5, 8, 32]
    assert [row.bytes for row in rows] == sorted(row.bytes for row in rows)
    folded = fold_norms(small(), trained.model.state_dict()).state
    assert rows[-1].bytes == 4 * sum(tensor.numel() for tensor in folded.values())
    assert abs(rows[-1].val_accuracy - trained.val_accuracy) < 0.01
    assert abs(rows[2].val_accuracy - rows[-1].val_accuracy) < 0.03
    assert rows[0].val_accuracy < rows[1].val_accuracy - 0.1
    with pytest.raises(ConfigError, match="not 40"):
        fixed_point_table(small(), {}, digits, bits=(4, 40), device=CPU)
