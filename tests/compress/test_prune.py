"""Channels are removed from networks with their weights, down to a target of FLOPs."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SPACES, architectures, scaled, strange_architectures
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.architecture.channels import Channels, channels_of
from nas.architecture.cost import count_cost
from nas.architecture.layers import Block, Conv
from nas.architecture.presets import preset
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture, Stage
from nas.compress.importance import CRITERIA, unit_scores
from nas.compress.prune import Mask, keep_units, prune_network
from nas.compress.ranking import rank_criteria
from nas.data.sources import DataConfig, load_data
from nas.errors import ConfigError, WeightsError
from nas.models.build import build_model
from nas.training.loop import train
from nas.training.recipe import Recipe

SMALL = tuple(name for name in SPACES if name.endswith("_small"))
CPU = torch.device("cpu")


def small(family: str = "resnet_small", **changes: Any) -> Architecture:
    given = {"width": 1.0, "depth": 0.5, "resolution": 8, "num_classes": 10, "in_channels": 1, **changes}
    return load_space(family).architecture(**given)


def two_layers() -> Architecture:
    return Architecture((Conv(8, 3), Conv(16, 1, norm=False)), (), (), 4, 2)


def noisy(architecture: Architecture) -> nn.Module:
    """Return a network in eval mode whose norms are not the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(architecture).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                    assert tensor is not None
                    tensor.uniform_(0.5, 1.5)
    return model


def silence(channels: Channels, state: dict[str, Tensor], gone: Mask) -> None:
    """Make every channel of units that are to go put out zeros, in place."""
    for site in channels.sites:
        places = torch.from_numpy(np.flatnonzero(gone[site.writes]))
        for name in ("conv.weight", "conv.bias", "norm.weight", "norm.bias"):
            if len(site.writes) and f"{site.path}.{name}" in state:
                state[f"{site.path}.{name}"][places] = 0


def outputs(architecture: Architecture, state: dict[str, Tensor]) -> Tensor:
    model = build_model(architecture).double().eval()
    model.load_state_dict(state)
    generator = torch.Generator().manual_seed(1)
    shape = (2, architecture.in_channels, architecture.resolution, architecture.resolution)
    with torch.inference_mode():
        logits: Tensor = model(torch.rand(shape, generator=generator).double())
    return logits


@settings(max_examples=scaled(25, 1_000))
@given(st.data(), st.one_of(architectures(spaces=SMALL, largest=16), strange_architectures()))
def test_removing_what_puts_out_zeros_changes_nothing(data: st.DataObject, architecture: Architecture) -> None:
    channels, state = channels_of(architecture), noisy(architecture).state_dict()
    generator = np.random.default_rng(data.draw(st.integers(0, 1_000)))
    stay = generator.random(channels.count) < 0.6
    for group in channels.groups:
        stay[group.units[:1] if not group.fixed else group.units] = True
    silence(channels, state, ~stay)
    pruned = keep_units(channels, state, stay)
    before, after = outputs(architecture, state), outputs(pruned.architecture, pruned.state)
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)


@functools.cache
def trained_state(architecture: Architecture) -> dict[str, Tensor]:
    return noisy(architecture).state_dict()


@settings(max_examples=scaled(25, 500))
@given(
    st.sampled_from(SMALL),
    st.floats(0.35, 1.0),
    st.sampled_from(CRITERIA),
    st.sampled_from((1, 4, 8)),
    st.sampled_from(("global", "uniform")),
)
def test_the_target_is_met_by_as_few_channels_as_need_go(
    family: str, flops: float, criterion: Any, multiple: int, scope: Any
) -> None:
    architecture = small(family)
    state, whole = trained_state(architecture), count_cost(architecture).flops
    try:
        pruned = prune_network(architecture, state, flops=flops, criterion=criterion, multiple=multiple, scope=scope)
    except ConfigError as error:
        assert multiple > 1, error  # narrow networks have not many multiples of 8
        return
    assert count_cost(pruned.architecture).flops <= flops * whole
    if multiple == 1:
        assert count_cost(pruned.architecture).flops > (flops - 0.12) * whole
    model = build_model(pruned.architecture)
    model.load_state_dict(pruned.state)
    for site in channels_of(architecture).sites:
        if len(site.writes):
            kept = pruned.kept[site.path]
            assert len(kept) % multiple == 0 or len(kept) == len(site.writes)
            bias = "norm.bias" if f"{site.path}.norm.bias" in state else "conv.bias"
            assert torch.equal(pruned.state[f"{site.path}.{bias}"], state[f"{site.path}.{bias}"][list(kept)])


def test_what_need_not_go_for_the_target_is_put_back() -> None:
    architecture = small(width=0.5)  # whose first layers cost a quarter of all FLOPs at a step
    whole = count_cost(architecture).flops
    shares = [
        count_cost(prune_network(architecture, trained_state(architecture), flops=flops, multiple=4).architecture).flops
        / whole
        for flops in (0.7, 0.5)
    ]
    assert 0.66 < shares[0] <= 0.7
    assert 0.46 < shares[1] <= 0.5


def test_criteria_by_hand() -> None:
    architecture = two_layers()
    channels, state = channels_of(architecture), build_model(architecture).state_dict()
    state["stem.0.conv.weight"].zero_()[:, 0, 0, :2] = torch.tensor([[3.0, -4.0]] + [[1.0, 0.0]] * 7)
    state["stem.1.conv.weight"].zero_()[:, 0] = 2
    state["stem.0.norm.weight"][:] = -torch.arange(8.0)

    def scores(criterion: Any) -> list[float]:
        image, found = channels.groups[0], unit_scores(channels, state, criterion)
        assert image.fixed
        return found[[3, 4, 11]].round(6).tolist()  # the stem's first and second filter, the first of the other layer

    assert scores("l1") == [7, 1, 2]
    assert scores("l2") == [5, 1, 2]
    assert scores("scale") == [0, 1, np.inf]
    assert scores("share") == [25 / 32, 1 / 32, 1 / 16]
    assert scores("share_times_channels") == [8 * 25 / 32, 8 / 32, 1]
    random = unit_scores(channels, state, "random", seed=3)
    assert np.array_equal(random, unit_scores(channels, state, "random", seed=3))
    assert not np.array_equal(random, unit_scores(channels, state, "random", seed=4))


def test_a_unit_is_worth_all_the_filters_that_make_it() -> None:
    block = Block(((Conv(8, 1),),), shortcut=())
    architecture = Architecture((Conv(8, 1),), (Stage((block,)),), (), 4, 2)
    channels, state = channels_of(architecture), build_model(architecture).state_dict()
    state["stem.0.conv.weight"][:] = 1
    state["stages.0.0.branches.0.0.conv.weight"][:] = 2
    state["stages.0.0.branches.0.0.norm.weight"][:] = 3
    assert set(unit_scores(channels, state, "l1")[3:].tolist()) == {3 + 16}
    assert set(unit_scores(channels, state, "l2")[3:].tolist()) == {(3 + 32) ** 0.5}
    assert set(unit_scores(channels, state, "scale")[3:].tolist()) == {(1 + 3) / 2}
    assert set(unit_scores(channels, state, "share")[3:].tolist()) == {1 / 8}


def test_one_threshold_on_the_share_as_written_empties_wide_layers_first() -> None:
    architecture = small()
    narrow = "stem.0"
    wide = f"stages.{len(architecture.stages) - 1}.0.branches.0.0"
    state, everywhere = trained_state(architecture), {"multiple": 1, "scope": "global"}
    left = {
        criterion: prune_network(architecture, state, criterion=criterion, **everywhere).kept
        for criterion in ("share", "share_times_channels")
    }
    widths = {
        path: len(kept) for path, kept in prune_network(architecture, trained_state(architecture), flops=1).kept.items()
    }
    assert widths[narrow] < widths[wide]
    assert len(left["share"][narrow]) == widths[narrow]
    assert len(left["share"][wide]) < widths[wide] / 10
    assert len(left["share_times_channels"][wide]) > widths[wide] / 4


def test_uniform_pruning_takes_the_same_share_of_every_group() -> None:
    architecture = preset("resnext50_32x4d", num_classes=10)
    channels = channels_of(architecture)
    state = {key: tensor for key, tensor in build_model(architecture).state_dict().items()}
    pruned = prune_network(architecture, state, flops=0.5, scope="uniform")
    shares = {
        len(pruned.kept[path]) / (len(group.units) * count)
        for group in channels.groups
        for path, count in group.channels.items()
    }
    assert max(shares) - min(shares) < 0.13  # of 64 channels a step of 8 is an eighth
    assert 0.45 < count_cost(pruned.architecture).flops / count_cost(architecture).flops <= 0.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"flops": 0}, r"flops must be a share of the network's, above 0 and at most 1, but is 0"),
        ({"flops": 0.001}, r"cannot be pruned to 0.1 % of its FLOPs: with channels in multiples of 8 at least \d"),
        ({"multiple": 0}, r"multiple must be at least 1, but is 0"),
        ({"criterion": "l3"}, r"criterion: unknown 'l3'; did you mean 'l2'\? known: l1, l2, scale, share"),
        ({"scope": "globl"}, r"scope: unknown 'globl'; did you mean 'global'\?"),
    ],
)
def test_what_cannot_be_pruned_is_told(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prune_network(small(), trained_state(small()), **wrong)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"stem.0.conv.weight has shape 8x3x3x3, but the architecture has \d+ along"):
        prune_network(small(), build_model(two_layers()).state_dict())
    with pytest.raises(WeightsError, match=r"the weights have no stem.0.conv.weight, which the architecture has"):
        prune_network(small(), {})


def test_criteria_are_ranked_without_training() -> None:
    digits, architecture = load_data(DataConfig(digits=True)), small(width=0.5)
    recipe = Recipe(epochs=2)
    state = train(architecture, digits, recipe, seed=0, device=CPU).model.state_dict()
    ranked = rank_criteria(
        architecture, state, digits, recipe=recipe, flops=0.7, multiple=4, criteria=("random", "l2"), device=CPU
    )
    assert [one.criterion for one in ranked] == ["l2", "random"]
    assert ranked[0].val_accuracy > ranked[1].val_accuracy
    raw = prune_network(architecture, state, flops=0.7, multiple=4)
    last = f"stages.{len(architecture.stages) - 1}.0.branches.0.1"
    assert torch.equal(raw.state[f"{last}.conv.weight"], ranked[0].pruned.state[f"{last}.conv.weight"])
    name = f"{last}.norm.running_mean"
    assert not torch.equal(raw.state[name], ranked[0].pruned.state[name])
