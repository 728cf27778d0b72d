from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import architectures
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture.layers import Block, Conv, MaxPool, Shape, SqueezeExcite
from nas.architecture.presets import preset
from nas.architecture.serialization import architecture_from_json, architecture_to_json, load_architecture
from nas.architecture.shapes import layer_shape
from nas.architecture.spec import Architecture, Stage
from nas.errors import ArchitectureError, ConfigError
from nas.models.build import build_layer

INCEPTION = Block(
    branches=((Conv(8, 1),), (Conv(4, 1), Conv(12, 3)), (MaxPool(3, 1), Conv(4, 1))),
    shortcut=(Conv(24, 1),),
    activation="relu",
)


@given(architectures())
@settings(max_examples=60)
def test_json_round_trip_keeps_value_and_digest(architecture: Architecture) -> None:
    again = architecture_from_json(architecture_to_json(architecture))
    assert again == architecture
    assert again.digest == architecture.digest


def test_digest_ignores_the_name_and_nothing_else() -> None:
    network = preset("resnet18")
    assert replace(network, name="other").digest == network.digest
    for change in ({"resolution": 192}, {"num_classes": 10}, {"in_channels": 1}, {"dropout": 0.1}, {"head": ()}):
        changed = replace(network, **change)
        assert (changed.digest == network.digest) == (changed == network)
    assert replace(network, stochastic_depth=0.1).digest != network.digest


def test_digests_stay_what_they_were() -> None:
    # a change here means that continued studies would train every network anew
    assert preset("efficientnet_b0").digest == "c6aa3a5348e4bd2b"
    assert preset("resnet50").digest == "f7feda6818fbb027"


@given(st.integers(1, 7), st.integers(1, 9), st.sampled_from(("same", "valid", "ceil")), st.integers(1, 40))
def test_windows_are_torchs(kernel: int, stride: int, padding: Any, size: int) -> None:
    pool = MaxPool(kernel, stride, padding)
    try:
        expected = layer_shape(pool, Shape(3, size))
    except ArchitectureError:
        return
    assert build_layer(pool, Shape(3, size))(torch.zeros(1, 3, size, size)).shape[2:] == (expected.size,) * 2


def test_branches_concatenate_and_shortcuts_add() -> None:
    assert layer_shape(INCEPTION, Shape(16, 9)) == Shape(24, 9)
    added = Block(((Conv(16, 3),), (Conv(16, 1),)), shortcut=(), join="add")
    assert layer_shape(added, Shape(16, 9)) == Shape(16, 9)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Block(((Conv(16, 3, 2),), (Conv(16, 3),))), "branches of shapes 16x5x5, 16x9x9 cannot be joined by concat"),
        (Block(((Conv(16, 3),), (Conv(8, 3),)), join="add"), "cannot be joined by add"),
        (Block(((Conv(8, 3),),), shortcut=()), "shortcut of shape 16x9x9 cannot be added to 8x9x9"),
        (Block(()), "at least one branch"),
        (Block(((Conv(12, 3, groups=5),),)), "5 groups must divide both 16 and 12 channels"),
        (Block(((Conv(12, 3, groups=0),),)), "0 groups"),
        (Block(((Conv(0, 3),),)), "channels must be at least 1"),
        (Block(((Conv(8, 2),),)), "kernel must be odd, but is 2"),
        (Block(((Conv(8, 1, 0),),)), "kernel and stride must be at least 1"),
        (Block(((MaxPool(3, 10),),)), "a 9x9 feature map is too small for stride 10"),
        (Block(((SqueezeExcite(0),),)), "squeeze-and-excitation channels"),
        (
            Block(((Conv(8, 11, padding="valid"),),)),
            "a 9x9 feature map is smaller than the 11x11 kernel: raise the reso",
        ),
        (Block(((MaxPool(10, 2, "ceil"),),)), "a 9x9 feature map is smaller than the 10x10 kernel"),
        (Block(((Conv(8, (1, 3), padding="valid"),),)), "kernel must be square without padding, but is 1x3"),
        (Block(((Conv(8, (1, 4)),),)), r"kernel must be odd, but is \(1, 4\)"),
        (Block(((Conv(8, (0, 3)),),)), "kernel and stride must be at least 1"),
        (
            Block(
                (
                    (
                        Conv(8, 3),
                        Block(((Conv(8, 3),), (Conv(8, 3, 2),))),
                    ),
                )
            ),
            "branches of shapes 8x9x9, 8x5x5 cannot be",
        ),
        (Block(((Conv(16, 3),), ()), join="add"), "a branch without layers cannot be added: make it the shortcut"),
        (Block(((),)), "at least one branch with a layer"),
    ],
)
def test_what_cannot_exist_is_refused_by_stage_and_block(block: Block, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message) as caught:
        Architecture((Conv(16, 3),), (Stage((INCEPTION, Block(((Conv(16, 1),),)))), Stage((block,))), (), 9, 10)
    assert "stages[1].blocks[0]" in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"resolution": 0}, {"num_classes": 0}, {"in_channels": 0}, {"dropout": 1.0}, {"stochastic_depth": -0.1}]
)
def test_figures_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ArchitectureError, match=next(iter(change))):
        replace(preset("resnet18"), **change)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"kernel": 7', '"kernel": 7, "size": 1', r"stem\[0\].*size"),
        ('"kernel": 7', '"kernel": "7"', r"stem\[0\].*kernel"),
        ('"kernel": 7', '"kernel": 6', r"stem\[0\].*kernel must be odd"),
        ('"kind": "conv"', '"kind": "convolution"', r"stem\[0\]"),
        ('"format_version": 1', '"format_version": 2', "format_version is 2"),
        ('"format_version": 1,', "", "format_version is None"),
        ('"resolution": 224', '"resolution": -1', "resolution must be at least 1"),
        ('"num_classes"', '"number_of_classes"', "num"),
    ],
)
def test_edited_files_are_refused_with_the_place(old: str, new: str, message: str) -> None:
    text = architecture_to_json(preset("resnet18"))
    assert old in text
    with pytest.raises(ConfigError, match=message) as caught:
        architecture_from_json(text.replace(old, new, 1), source="net.json")
    assert str(caught.value).startswith("net.json")
    assert "\n" not in str(caught.value)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("kind", "kernel", "x")), inner),
    max_leaves=4,
)


@given(st.sampled_from(("googlenet", "inception_v3", "efficientnet_v2_s", "resnext50_32x4d")), JSON_VALUES, st.data())
@settings(max_examples=300)
def test_any_edit_of_a_file_is_a_network_or_an_error_in_one_line(name: str, value: Any, data: st.DataObject) -> None:
    document = json.loads(architecture_to_json(preset(name, resolution=96)))
    place, path = document, []
    while isinstance(place, dict | list) and place and (not path or data.draw(st.integers(0, 5))):
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        path.append(data.draw(st.sampled_from(list(keys))))
        parent, place = place, place[path[-1]]
    parent[path[-1]] = value
    _is_a_network_or_refused(json.dumps(document))


@given(st.sampled_from(("googlenet", "resnet18")), st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(name: str, share: float) -> None:
    text = architecture_to_json(preset(name)).rstrip()
    with pytest.raises(ConfigError, match="net.json"):
        architecture_from_json(text[: int(share * len(text))], source="net.json")


def _is_a_network_or_refused(text: str) -> None:
    try:
        architecture = architecture_from_json(text, source="net.json")
    except ConfigError as error:
        assert str(error).startswith("net.json") and "\n" not in str(error)
    else:
        assert architecture_from_json(architecture_to_json(architecture)) == architecture


def test_blocks_nested_without_end_are_refused() -> None:
    layer = '{"channels": 8, "kernel": 1, "kind": "conv"}'
    for depth in (200, 2000, 200_000):
        nested = '{"branches": [[' * depth + layer + "]]}" * depth
        _is_a_network_or_refused(
            f'{{"format_version": 1, "stem": [], "stages": [{{"blocks": [{nested}]}}], "head": [], "resolution": 8,'
            ' "num_classes": 2}'
        )


def test_a_block_hashes_the_same_after_a_journey_to_another_process() -> None:
    block = preset("googlenet").stages[0].blocks[0]
    assert hash(pickle.loads(pickle.dumps(block))) == hash(block)
    assert copy.deepcopy(block) == block and {block: 1}[copy.deepcopy(block)] == 1
    command = (
        "import pickle, sys; b = pickle.load(sys.stdin.buffer); assert hash(b) == hash(pickle.loads(pickle.dumps(b)))"
    )
    command += (
        "; from nas.architecture.presets import preset; assert {b: 1}[preset('googlenet').stages[0].blocks[0]] == 1"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    subprocess.run([sys.executable, "-c", command], input=pickle.dumps(block), check=True, env=environment)


@pytest.mark.parametrize("digits", [7, 4000, 5000])
def test_numbers_without_end_are_refused(digits: int) -> None:
    text = architecture_to_json(preset("resnet18")).replace('"num_classes": 1000', f'"num_classes": {"9" * digits}')
    with pytest.raises(ConfigError, match="net.json: .*(at most 1,000,000|too long|valid integer)") as caught:
        architecture_from_json(text, source="net.json")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps("x")])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        architecture_from_json(text)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.json: cannot be read"):
        load_architecture("nowhere.json")
