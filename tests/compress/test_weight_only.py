"""Weights of an ONNX file become integers of 8 or 4 bits; what is computed stays float32 and as fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bundles
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nas.architecture.space import load_space
from nas.compress.weight_only import packed, quantize_weights, rounded
from nas.errors import ConfigError, ExportError
from nas.models.build import build_model
from nas.models.onnx import export_onnx


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a network with depthwise convolutions, gates and a classifier."""
    space = load_space("efficientnet_small")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(space.architecture(width=1.0, depth=0.25, resolution=16, num_classes=10))
        for _ in range(20):  # norms that fit: else the signal fades, and the logits are nothing but the bias
            model(torch.randn(8, 3, 16, 16))
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_onnx(model.eval(), torch.zeros(2, 3, 16, 16), path)
    return path


def logits(path: Path, side: int = 16) -> NDArray[np.float32]:
    images = np.random.default_rng(0).standard_normal((8, 3, side, side)).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": images})[0])


def small(operator: str, weights: NDArray[np.float32], **attributes: Any) -> onnx.ModelProto:
    """Return a network of one layer on feature maps of one pixel, or on what is left of them."""
    node = helper.make_node(operator, ["images", "weights"], ["logits"], **attributes)
    sides = [1, 1] if operator == "Conv" else []
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *sides])
    made = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2, *sides])
    graph = helper.make_graph([node], "one", [images], [made], [numpy_helper.from_array(weights, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.mark.parametrize(("bits", "share", "error"), [(8, 0.4, 0.1), (4, 0.27, 0.5)])
def test_a_file_is_smaller_and_says_nearly_the_same(
    exported: Path, tmp_path: Path, bits: Any, share: float, error: float
) -> None:
    quantize_weights(exported, target := tmp_path / "small.onnx", bits=bits)
    onnx.checker.check_model(str(target), full_check=True)
    assert target.stat().st_size < share * exported.stat().st_size
    before, after = logits(exported), logits(target)
    assert 0 < np.abs(after - before).max() < error * np.abs(before).max()


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_are_turned_back_when_the_file_is_loaded_and_not_in_every_batch(
    exported: Path, tmp_path: Path, bits: Any
) -> None:
    quantize_weights(exported, target := tmp_path / "small.onnx", bits=bits)
    ran = []
    for path in (exported, target):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # what is written fits this machine only, it warns
        options.optimized_model_filepath = str(tmp_path / "ran.onnx")
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        ran.append(sorted(node.op_type for node in onnx.load(tmp_path / "ran.onnx").graph.node))
    assert ran[0] == ran[1]


@pytest.mark.parametrize(
    ("operator", "shape", "attributes"),
    [("Conv", (2, 3, 1, 1), {}), ("Gemm", (2, 3), {"transB": 1}), ("Gemm", (3, 2), {}), ("MatMul", (3, 2), {})],
)
@pytest.mark.parametrize("bits", [8, 4])
def test_every_output_has_a_scale_of_its_own(
    tmp_path: Path, operator: str, shape: tuple[int, ...], attributes: dict[str, Any], bits: Any
) -> None:
    top = 2 ** (bits - 1) - 1
    outputs = np.array([[top, 1, -2], [0.001 * top, 0.003, -0.002]], np.float32)  # whole multiples of 1 and of 0.001
    weights = (outputs if shape[0] == 2 else outputs.T).reshape(shape)
    onnx.save(small(operator, weights, **attributes), source := tmp_path / "one.onnx")
    quantize_weights(source, target := tmp_path / "small.onnx", bits=bits)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(target).graph.initializer}
    assert np.sort(held["weights.scales"].ravel()) == pytest.approx([0.001, 1])
    images = np.array([[1, 10, 100]], np.float32).reshape((1, 3, 1, 1) if operator == "Conv" else (1, 3))
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    assert session.run(None, {"images": images})[0].ravel() == pytest.approx(outputs @ [1, 10, 100], rel=1e-5)


@given(st.lists(st.integers(-8, 7), min_size=1, max_size=9))
def test_four_bits_are_packed_as_onnx_packs_them(integers: list[int]) -> None:
    raw = packed(np.array(integers, np.int8))
    tensor = helper.make_tensor("four", TensorProto.INT4, [len(integers)], raw, raw=True)
    assert numpy_helper.to_array(tensor).astype(int).tolist() == integers


def test_rounding_is_symmetric_and_off_by_half_a_step_at_most() -> None:
    weights = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    weights[2] = 0
    integers, scales = rounded(weights, bits=4, dim=0)
    assert integers.min() == -7 or integers.max() == 7
    assert np.abs(integers).max(axis=1).tolist() == [7, 7, 0, 7, 7]
    assert (np.abs(integers * scales - weights) <= scales / 2 + 1e-6).all()


def test_what_cannot_be_made_smaller_is_told(exported: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.onnx"
    with pytest.raises(ConfigError, match="weights can have 8 or 4 bits, but not 6"):
        quantize_weights(exported, target, bits=6)  # type: ignore[arg-type]
    (no_network := tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ExportError, match="text.onnx: is no ONNX file"):
        quantize_weights(no_network, target, bits=8)
    with pytest.raises(ExportError, match="missing.onnx: is missing"):
        quantize_weights(tmp_path / "missing.onnx", target, bits=8)
    quantize_weights(exported, once := tmp_path / "once.onnx", bits=8)
    with pytest.raises(ExportError, match="once.onnx: holds no float weights of convolutions or linear layers"):
        quantize_weights(once, target, bits=4)
    onnx.save(bundles.color_model(), elsewhere := tmp_path / "elsewhere.onnx")
    model = onnx.load(elsewhere)
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    elsewhere.write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match="keeps weights in another file"):
        quantize_weights(elsewhere, target, bits=8)
    assert not target.exists()


def test_an_older_onnxruntime_is_named(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("NOT_IMPLEMENTED :\nCast(21)")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(
        ExportError, match=r"cannot run 4-bit weights; 4 bits need onnxruntime 1.23 or newer \(NOT_IMPL"
    ):
        quantize_weights(exported, tmp_path / "small.onnx", bits=4)
    assert not (tmp_path / "small.onnx").exists()
