"""A bundle from a stranger is data: whatever is wrong with it is one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bundles import color_model, write_bundle, write_image
from onnx import TensorProto, helper

from nas.errors import BundleError
from nas.predict.bundle import read_bundle
from nas.predict.explain import find_head
from nas.predict.run import Predictor


def refusal(folder: Path) -> str:
    """Return why a bundle is refused, before or while it names an image."""
    with pytest.raises(BundleError) as refused:
        Predictor(folder).predict(write_image(Path("a.png"), "red"))
    text = str(refused.value)
    assert "\n" not in text and len(text) < 400
    return text


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"mean": None}, "lacks mean"),
        ({"format": 2}, "has format 2, this version reads 1; export it again"),
        ({"format": "[" * 99}, "has format [[[[[[[[[[[[[[[[[[[[, this"),
        ({"size": 10**9}, "size cannot be 1000000000"),
        ({"size": 2.5}, "size cannot be 2.5"),
        ({"resolution": True}, "resolution cannot be True"),
        ({"std": [1, 0, 1]}, "std cannot be [1, 0, 1]"),
        ({"std": [1, 1]}, "std cannot be [1, 1]"),
        ({"mean": [0, 0, 10**400]}, "mean cannot be [0, 0, 1000"),
        ({"mean": [0, 0, float("nan")]}, "mean cannot be [0, 0, nan]"),
        ({"color": "lab"}, "color cannot be 'lab'"),
        ({"color": {}}, "color cannot be {}"),
        ({"channels": 1}, "channels cannot be 1"),
        ({"classes": ["a", "a", "b"]}, "classes cannot be ['a', 'a', 'b']"),
        ({"classes": ["a", 1, "b"]}, "classes cannot be ['a', 1, 'b']"),
        ({"classes": ["a", "b"]}, "gives float (batch, 3), but must give float (batch, 2), one for each class"),
        ({"resolution": 9}, "takes float (batch, 3, 8, 8), but must take float (batch, 3, 9, 9)"),
    ],
)
def test_facts_that_cannot_be(facts: dict[str, Any], said: str) -> None:
    assert said in refusal(write_bundle(Path("bundle"), **facts))


def test_facts_of_the_first_version_had_no_format() -> None:
    assert Predictor(write_bundle(Path("bundle"), format=None)).predict(write_image(Path("a.png"), "red"))


@pytest.mark.parametrize("content", ["", "[[", "[" * 100_000, "[1]", '"text"', "\x00"])
def test_facts_that_are_none(content: str) -> None:
    folder = write_bundle(Path("bundle"))
    (folder / "preprocessing.json").write_text(content)
    assert "preprocessing.json: " in refusal(folder)


def outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")


def outside_constant(model: onnx.ModelProto) -> None:
    value = helper.make_tensor("value", TensorProto.FLOAT, [3, 3], np.eye(3, dtype=np.float32).ravel())
    value.external_data.add(key="location", value="/etc/passwd")
    del model.graph.initializer[:]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["weights"], value=value))


def endless(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["never"], body=body))


def other_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.stranger"


def functions(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="local")


def too_much(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [1], [3 * 10**9]))
    model.graph.node[2].input[0] = "few"
    model.graph.node.insert(2, helper.make_node("ConstantOfShape", ["shape"], ["many"]))
    model.graph.node.insert(3, helper.make_node("ReduceMean", ["many"], ["mean"], keepdims=0))
    model.graph.node.insert(4, helper.make_node("Add", ["pooled", "mean"], ["few"]))


def not_finite(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Log"


def two_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["batch", 3]))


def nothing(model: onnx.ModelProto) -> None:
    del model.graph.node[:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (outside, "keeps weights in another file (external data)"),
        (outside_constant, "keeps weights in another file (external data)"),
        (endless, "has the operator Loop"),
        (other_domain, "has the operator com.stranger.Relu"),
        (functions, "holds functions of its own"),
        (too_much, "cannot be run ("),
        (not_finite, "gives logits that are not 1 rows of finite numbers"),
        (two_outputs, "gives float (batch, 3) and float (batch, 3), but must give float (batch, 3)"),
        (nothing, "holds no network"),
    ],
)
def test_networks_from_elsewhere(change: Callable[[onnx.ModelProto], None], said: str) -> None:
    model = color_model()
    change(model)
    assert said in refusal(write_bundle(Path("bundle"), model=model))


def test_a_batch_that_is_fixed_is_one() -> None:
    assert "takes 4 images at once" in refusal(write_bundle(Path("bundle"), model=color_model(batch=4)))


def test_a_network_without_such_a_head_has_no_map() -> None:
    model = color_model()
    model.graph.node[1].op_type = "GlobalMaxPool"
    with pytest.raises(BundleError, match="does not end in global average pooling and a linear layer"):
        find_head(read_bundle(write_bundle(Path("bundle"), model=model)))


@pytest.mark.parametrize("name", ["model.onnx", "preprocessing.json"])
def test_files_are_files_of_the_bundle(name: str) -> None:
    folder = write_bundle(Path("bundle"))
    os.rename(folder / name, "elsewhere")
    assert f"{name}: is missing" in refusal(folder)
    os.symlink(Path("elsewhere").resolve(), folder / name)
    assert "is a link, which could lead out of the bundle" in refusal(folder)
    (folder / name).unlink()
    os.symlink(name, folder / name)
    assert f"{name}: is a link" in refusal(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert f"{name}: is not a file" in refusal(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    assert f"bundle/{name}: " in refusal(folder)


def test_a_link_to_a_bundle_is_one() -> None:
    write_bundle(Path("real"))
    os.symlink("real", "bundle")
    assert read_bundle("bundle").classes == ("red", "green", "blue")


def test_a_file_larger_than_it_may_be_is_not_read() -> None:
    folder = write_bundle(Path("bundle"))
    os.truncate(folder / "preprocessing.json", 2**24 + 1)
    assert "has 16,777,217 bytes; at most 16,777,216 are expected of it" in refusal(folder)


def test_what_nas_train_wrote_is_told_how_to_become_a_bundle() -> None:
    Path("trained").mkdir()
    Path("trained/result.json").write_text("{}")
    assert "export it first: nas export trained -o FOLDER" in refusal(Path("trained"))
