"""Rows of a table become stages: scaling, lists of channels, groups, choices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture.cost import count_cost
from nas.architecture.layers import Block, Conv, SqueezeExcite
from nas.architecture.presets import preset
from nas.architecture.space import DIMENSIONS, SearchSpace, load_space
from nas.architecture.spec import Architecture
from nas.errors import ArchitectureError, ConfigError
from nas.schema import shipped


def convolutions(architecture: Architecture) -> list[Conv]:
    """Return the convolutions of the stages."""

    def within(block: Block) -> list[Conv]:
        found = []
        for layer in (layer for branch in block.branches for layer in branch):
            found += within(layer) if isinstance(layer, Block) else [layer] if isinstance(layer, Conv) else []
        return found

    return [conv for stage in architecture.stages for block in stage.blocks for conv in within(block)]


def built(space: SearchSpace, **coefficients: Any) -> Architecture:
    return space.architecture(**{"resolution": space.base_resolution, "num_classes": 10, **coefficients})


def test_modules_take_their_channels_from_the_same_place_of_the_sequence() -> None:
    space = load_space("inception_v1")

    def first_channels(depth: float) -> list[int]:
        _, *modules = built(space, depth=depth).stages[1].blocks
        return [module.branches[0][0].channels for module in modules]

    assert first_channels(1.0) == [192, 160, 128, 112, 256]
    assert first_channels(2.0) == [192, 192, 160, 160, 128, 128, 112, 112, 256, 256]
    assert first_channels(0.2) == [128]
    assert first_channels(0.6) == [192, 128, 256]


def test_nested_branches_and_a_reduction_are_where_the_paper_has_them() -> None:
    network = preset("inception_v3")
    reduction, *modules = network.stages[2].blocks
    assert [len(branch) for branch in reduction.branches] == [2, 4, 1]
    assert len(modules) == 2 and modules[0] == modules[1]
    fork = modules[0].branches[1][1]
    assert isinstance(fork, Block)
    assert [branch[0].kernel for branch in fork.branches] == [(1, 3), (3, 1)]
    assert [len(stage.blocks) for stage in network.stages] == [3, 5, 3]


@given(st.floats(0.25, 2.5), st.sampled_from((2, 3, 8, 12, 32)))
def test_inner_channels_are_a_multiple_of_the_cardinality(width: float, cardinality: int) -> None:
    space = load_space("resnext").choose(cardinality=cardinality)
    grouped = [conv for conv in convolutions(built(space, width=width)) if conv.kernel == 3]
    assert {conv.groups for conv in grouped} == {cardinality}
    assert all(conv.channels % cardinality == 0 and conv.channels % 8 == 0 for conv in grouped)


@given(st.floats(0.25, 2.5))
def test_a_group_width_makes_more_groups_with_the_width(width: float) -> None:
    document = load_space("resnext").model_dump()
    for row in document["stages"]:
        row |= {"cardinality": None, "group_width": 24}
    grouped = [c for c in convolutions(built(SearchSpace.model_validate(document), width=width)) if c.kernel == 3]
    assert all(conv.channels == 24 * conv.groups for conv in grouped)


def test_choices_change_what_they_name_and_nothing_else() -> None:
    space = load_space("efficientnet_small")
    plain = built(space)
    assert {conv.kernel for conv in convolutions(built(space.choose(kernel=7)))} == {1, 7}
    relu = built(space.choose(activation="gelu"))
    assert {conv.activation for conv in (*relu.stem, *relu.head, *convolutions(relu))} == {"gelu", "identity"}
    assert count_cost(relu) == count_cost(plain)
    wide = built(space.choose(expansion=6))
    assert wide.stages[0] == plain.stages[0]  # its row does not expand
    assert wide.stages[1].blocks[0].branches[0][0].channels == 6 * 16
    ungated = built(space.choose(squeeze_excitation=False))
    assert not any(isinstance(x, SqueezeExcite) for s in ungated.stages for b in s.blocks for x in b.branches[0])
    assert built(space.choose(squeeze_excitation=True)) == plain
    assert built(space.choose()) == plain


def test_a_chosen_gate_has_the_tables_ratio_and_a_chosen_cardinality_replaces_a_group_width() -> None:
    document = load_space("efficientnet_small").model_dump()
    for row in document["stages"]:
        row["squeeze_excitation"] = 0.5
    space = SearchSpace.model_validate(document)
    assert built(space.choose(squeeze_excitation=True)) == built(space)
    document = load_space("resnext").model_dump()
    for row in document["stages"]:
        row |= {"cardinality": None, "group_width": 4}
    chosen = built(SearchSpace.model_validate(document).choose(cardinality=16))
    assert {conv.groups for conv in convolutions(chosen) if conv.kernel == 3} == {16}


@pytest.mark.parametrize("name", ["resnet", "resnet_small", "resnext_small", "inception_small"])
def test_squeeze_and_excitation_can_be_turned_on(name: str) -> None:
    space = load_space(name)
    gated = built(space.choose(squeeze_excitation=True))
    for stage in gated.stages:
        gate = stage.blocks[-1].branches[0][-1]
        assert isinstance(gate, SqueezeExcite)
    assert count_cost(gated).params > count_cost(built(space)).params


@pytest.mark.parametrize(
    ("space", "choices", "message"),
    [
        ("inception", {"kernel": 5}, "kernel does not apply to inception; known: activation, squeeze_excitation"),
        ("efficientnet", {"cardinality": 4}, "cardinality does not apply to efficientnet"),
        ("resnet", {"kernel": 4}, "resnet: kernel: a kernel must be odd, but 4 was given"),
        ("resnet", {"expansion": 0}, "resnet: expansion: .*greater than 0, but 0 was given"),
        ("resnet", {"activation": "swish"}, "resnet: activation: unknown value 'swish'; did you mean 'hardswish'\\?"),
        ("resnet", {"kernels": 3}, "resnet: unknown key 'kernels'; did you mean 'kernel'"),
    ],
)
def test_choices_that_are_not_there_are_refused(space: str, choices: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_space(space).choose(**choices)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["stages"][0].update(repeats=10**8), "a stage of 2.5e\\+07 blocks is too long: at most 1,000"),
        (lambda d: d["stages"][0].update(channels=10**12), "channels must be at least 1 and at most 1,000,000"),
        (
            lambda d: d["stages"][0].update(expansion=True),
            r"stages\[0\].bottleneck.expansion: must be a number, but true was given",
        ),
    ],
)
def test_figures_that_nothing_could_have_are_refused(edit: Any, message: str) -> None:
    document = load_space("resnext_small").model_dump()
    edit(document)
    Path("huge.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(document))))
    with pytest.raises((ArchitectureError, ConfigError), match=message):
        built(load_space("huge.yaml"))


def test_every_space_says_what_it_can_vary() -> None:
    assert load_space("resnext").dimensions == DIMENSIONS
    assert load_space("efficientnet_v2").dimensions == ("kernel", "expansion", "activation", "squeeze_excitation")
    assert load_space("inception_v1").dimensions == ("activation", "squeeze_excitation")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "inception_v1",
            "[64, 128]",
            "[64, 128, 256]",
            r"stages\[0\].inception: channels \[64, 128, 256\] must be one",
        ),
        ("inception", "channels: 384}]\n", "channels: [384]}]\n", "channels of a reduction must be one number"),
        ("inception_v1", "kernel: 7, stride: 2, channels: 64", "kernel: 7, channels: [64, 64]", "a stem or head layer"),
        ("inception", "layer: fork", "layer: forks", r"stages\[2\].inception.branches\[1\]\[1\]: .*'forks'"),
        ("resnext", "cardinality: 32,", "cardinality: 32, group_width: 4,", "cardinality or group_width, not both"),
        ("inception", "[1, 7]", "[1, 7, 1]", r"kernel.*"),
    ],
)
def test_a_wrong_row_is_refused_with_its_place(name: str, old: str, new: str, message: str) -> None:
    text = (shipped("search_spaces") / f"{name}.yaml").read_text()
    assert old in text
    Path("wrong.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as caught:
        load_space("wrong.yaml")
    assert str(caught.value).startswith("wrong.yaml: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("path", sorted(shipped("search_spaces").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_space_names_its_source_and_its_middle_can_be_built(path: Path) -> None:
    space = load_space(path)
    assert space.name == path.stem and "arXiv:" in space.source
    assert yaml.safe_load(path.read_text())["name"] == path.stem
    network = built(space)
    assert count_cost(network).flops > 0
    if path.stem.endswith("_small"):
        assert (space.base_resolution, space.resolution.min, space.resolution.max) == (32, 8, 64)
        assert built(space, width=space.width.min, depth=space.depth.min, resolution=8)
