"""Networks in int8 stay as accurate, run whole in int8 in plain onnxruntime, and are the same bytes each time."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from bundles import color_model
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import nn

from nas.architecture.layers import Activation, AvgPool, Block, Conv, MaxPool, SqueezeExcite
from nas.architecture.presets import preset
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture, Stage
from nas.compress import quantize
from nas.compress.expected import expected_speed
from nas.compress.profile import OperatorShare, not_faster, profile_onnx
from nas.compress.quantize import quantize_onnx
from nas.data.batches import ImageBatches, standardisation
from nas.data.sources import DataConfig, load_data
from nas.errors import DataError, ExportError, UserError
from nas.models.build import build_model
from nas.models.int8_rewrites import MERGED_WIDTH, rewrite_for_int8
from nas.models.onnx import export_onnx
from nas.training.loop import train
from nas.training.preparing import bring
from nas.training.recipe import Recipe

CPU = torch.device("cpu")
FAMILIES = ("resnet_small", "resnext_small", "efficientnet_small", "inception_small")
FURTHEST = 0.015
"""Largest allowed distance of the accuracy in int8 from that in float32, on 306 images of digits."""
NOT_INT8 = {"QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape"}
"""What the first and the last operator of a network that runs whole in int8 need; reshaping takes no time."""

Images = NDArray[np.float32]


class Trained(NamedTuple):
    """A network in two files, and images that it was not trained on with their classes."""

    plain: Path
    small: Path
    calibration: Images
    images: Images
    labels: NDArray[np.int64]


def with_activation(space: str, activation: Activation) -> Architecture:
    """Return a small network of a space with another activation."""
    other = load_space(space).model_copy(update={"activation": activation})
    return other.architecture(width=1.0, depth=1.0, resolution=32, num_classes=10)


def logits(content: Path | bytes, images: Images) -> Images:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"images": images})
    return np.asarray(result, np.float32)


def fused(path: Path, folder: Path) -> Counter[str]:
    """Return the types of the operators that onnxruntime runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that such a file is for this machine only
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


@pytest.fixture(scope="module", params=FAMILIES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp(request.param)
    data = load_data(DataConfig(digits=True))
    space = load_space(request.param)
    architecture = space.architecture(width=0.5, depth=0.25, resolution=8, num_classes=10, in_channels=1)
    recipe, standard = Recipe(epochs=4), standardisation(data)
    model = build_model(architecture).eval()  # of contiguous weights, as nas export makes it
    model.load_state_dict(train(architecture, data, recipe, seed=0, device=CPU).model.state_dict())
    parts = [
        bring(part, resolution=8, standard=standard, recipe=recipe, device=CPU)
        for part in (data.train, data.validation)
    ]
    calibration, images = (taken(part, "images").astype(np.float32) for part in parts)
    found = Trained(folder / "model.onnx", folder / "int8.onnx", calibration[:256], images, taken(parts[1], "labels"))
    export_onnx(model, torch.from_numpy(images[:2]), found.plain)
    quantize_onnx(found.plain, found.calibration, found.small)
    return found


def taken(part: ImageBatches, what: str) -> NDArray[Any]:
    return np.concatenate([getattr(batch, what).contiguous().numpy() for batch in part.in_order(256)])


def test_a_network_is_as_accurate_in_int8(trained: Trained) -> None:
    plain, small = (
        (logits(path, trained.images).argmax(1) == trained.labels).mean() for path in (trained.plain, trained.small)
    )
    assert plain > 0.8
    assert abs(plain - small) <= FURTHEST


def test_nothing_stays_outside_int8(trained: Trained, tmp_path: Path) -> None:
    whole = fused(trained.small, tmp_path)
    before = Counter(node.op_type for node in onnx.load(trained.plain).graph.node)
    assert whole["QLinearConv"] == before["Conv"] + before["AveragePool"]
    assert (whole["QuantizeLinear"], whole["DequantizeLinear"]) == (1, 1)  # of the image, and of the logits
    others = {name for name in whole if not name.startswith(("QLinear", "QGemm")) and name != "NhwcMaxPool"}
    assert others <= NOT_INT8


def test_no_sum_of_products_is_clipped_on_older_processors(trained: Trained) -> None:
    weights = [
        numpy_helper.to_array(tensor)
        for tensor in onnx.load(trained.small).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    largest = max(int(np.abs(weight.astype(int)).max()) for weight in weights)
    assert largest * 255 * 2 < 2**15 and largest > 2**5
    assert all(len(set(np.abs(weight.astype(int)).reshape(len(weight), -1).max(1))) == 1 for weight in weights)


def test_the_same_images_give_the_same_bytes_in_silence_and_leave_no_files(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    again = tmp_path / "made" / "again.onnx"
    quantize_onnx(trained.plain, trained.calibration, again)
    assert again.read_bytes() == trained.small.read_bytes()
    assert list(scratch.iterdir()) == [] and [path.name for path in again.parent.iterdir()] == ["again.onnx"]
    assert capfd.readouterr() == ("", "")
    content = again.read_bytes()
    assert str(tmp_path).encode() not in content and b"scratch" not in content
    quantize_onnx(trained.plain, 2 * trained.calibration, again)
    assert again.read_bytes() != trained.small.read_bytes()  # the images do count


def test_a_stranger_runs_it_with_any_batch(trained: Trained, tmp_path: Path) -> None:
    code = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
images = numpy.load(sys.argv[2])
(name,) = [given.name for given in session.get_inputs()]
numpy.save(sys.argv[3], numpy.concatenate([session.run(None, {name: part})[0] for part in (images[:1], images[1:])]))
assert not any(name.split(".")[0] in ("nas", "torch") for name in sys.modules)
"""
    given, found = tmp_path / "images.npy", tmp_path / "logits.npy"
    np.save(given, trained.images[:6])
    command = [sys.executable, "-c", code, str(trained.small), str(given), str(found)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert np.allclose(np.load(found), logits(trained.small, trained.images[:6]), atol=1e-6)


def test_a_profile_says_what_costs_the_time(trained: Trained, tmp_path: Path) -> None:
    plain, small = profile_onnx(trained.plain), profile_onnx(trained.small, batch=4)
    for profile in (plain, small):
        shares = [one.share for one in profile]
        assert sum(shares) == pytest.approx(1) and shares == sorted(shares, reverse=True) and shares[-1] >= 0
        assert len({one.operator for one in profile}) == len(profile)
    assert "QLinearConv" not in {one.operator for one in plain}
    assert {"QLinearConv", "QuantizeLinear/DequantizeLinear"} < {one.operator for one in small}
    assert not list(Path.cwd().glob("*.json"))


def test_what_is_not_faster_is_told_in_one_line() -> None:
    profile = [
        OperatorShare("QuantizeLinear/DequantizeLinear", 0.34),
        *(OperatorShare(name, share) for name, share in (("Conv", 0.3), ("Sigmoid", 0.12), ("Mul", 0.11))),
    ]
    said = "int8 is not faster: 0.8 x; QuantizeLinear/DequantizeLinear 34 %, Conv 30 %, Sigmoid 12 %"
    assert not_faster(0.8, profile) == said


@pytest.mark.parametrize(
    ("fast", "slow"),
    [
        (preset("resnet18", resolution=64), preset("efficientnet_b0", resolution=64)),
        (preset("resnext50_32x4d", resolution=64), preset("efficientnet_b0", resolution=64)),
        (preset("googlenet", resolution=64), with_activation("resnet_small", "leaky_relu")),
        (with_activation("resnet_small", "prelu"), with_activation("resnet_small", "silu")),
        (with_activation("resnet_small", "gelu"), with_activation("efficientnet_small", "relu")),
        (with_activation("efficientnet_small", "relu"), with_activation("efficientnet_small", "leaky_relu")),
        (with_activation("efficientnet_small", "leaky_relu"), with_activation("efficientnet_small", "silu")),
    ],
)
def test_what_to_expect_follows_from_the_blocks_and_not_from_a_name(fast: Architecture, slow: Architecture) -> None:
    first, second = expected_speed(replace(fast, name="efficientnet")), expected_speed(replace(slow, name="resnet"))
    assert first.low + first.high > second.low + second.high
    assert str(second).startswith(f"{second.low:.1f} to {second.high:.1f} times as fast (")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a network with all that is rewritten, and what looks like it and stays."""
    activations: tuple[Activation, ...] = ("relu", "prelu", "leaky_relu", "elu", "silu", "gelu", "hardswish")
    branches = tuple(
        (Conv(8, 1, activation=name), SqueezeExcite(8, name), Conv(8, 3, groups=2, activation=name))
        for name in activations
    )
    pools = ((MaxPool(3, 1),), (AvgPool(3, 1), Conv(4, 1)), (AvgPool(5, 1), Conv(8, 3, groups=4)))
    strided = (AvgPool(3, 2), Conv(96, 1), Conv(96, 3, groups=24), Conv(96, 3, groups=96), Conv(192, 3, groups=96))
    blocks = Block((*branches, *pools)), Block((strided,)), Block(((Conv(16, 1),),), (Conv(16, 1),), "add", "prelu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Architecture((Conv(8, 3),), (Stage(blocks),), (AvgPool(2, 2, padding="ceil"),), 9, 3)
        model = build_model(network).eval()
        nn.init.normal_(model.classifier.weight, std=20.0)
        for module in model.modules():
            if isinstance(module, nn.PReLU):
                nn.init.uniform_(module.weight)
        path = tmp_path_factory.mktemp("everything") / "model.onnx"
        export_onnx(model, torch.randn(2, 3, 9, 9), path)
    return path


def test_rewritten_graphs_compute_the_same(everything: Path) -> None:
    plain = onnx.load(everything)
    before = Counter(node.op_type for node in plain.graph.node)
    assert {"ReduceMean", "AveragePool", "PRelu"} < set(before)
    content = plain.SerializeToString(deterministic=True)
    rewritten = rewrite_for_int8(plain)
    assert plain.SerializeToString(deterministic=True) == content
    after = Counter(node.op_type for node in rewritten.graph.node)
    assert (after["ReduceMean"], after["PRelu"]) == (0, 0)
    assert after["AveragePool"] == 1  # the last counts no zeros beyond the edge
    weights = {tensor.name: list(tensor.dims) for tensor in rewritten.graph.initializer}
    groups = [
        (attribute.i, *weights[node.input[1]][:2])
        for node in rewritten.graph.node
        for attribute in node.attribute
        if node.op_type == "Conv" and attribute.name == "group"
    ]
    assert all(count == 1 or width >= MERGED_WIDTH or count == filters for count, filters, width in groups)
    assert (3, 96, 32) in groups and (96, 96, 1) in groups
    assert (3, 192, 32) in groups  # one channel that gives two
    images = np.random.default_rng(0).standard_normal((3, 3, 9, 9)).astype(np.float32)
    first, second = logits(everything, images), logits(rewritten.SerializeToString(), images)
    assert np.abs(first).max() > 0.1 and np.allclose(first, second, atol=1e-5 * np.abs(first).max())


@pytest.mark.parametrize(
    ("operator", "more", "attributes", "becomes"),
    [
        ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, "Conv"),
        ("AveragePool", [], {"kernel_shape": [2, 3], "strides": [2, 1]}, "Conv"),
        ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, "AveragePool"),
        ("AveragePool", [], {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}, "AveragePool"),
        ("AveragePool", [], {"kernel_shape": [2, 2], "dilations": [2, 2]}, "AveragePool"),
        ("ReduceMean", np.array([-1, 2]), {}, "GlobalAveragePool"),
        ("ReduceMean", np.array([2, 3]), {"keepdims": 0}, "ReduceMean"),
        ("ReduceMean", np.array([1, 2]), {}, "ReduceMean"),
        ("ReduceMean", [], {}, "ReduceMean"),
        ("PRelu", np.full((1, 1, 1), 0.2, np.float32), {}, "LeakyRelu"),
        ("PRelu", np.full((3, 1, 1), 0.2, np.float32), {}, "PRelu"),
    ],
)
def test_only_what_computes_the_same_is_rewritten(
    operator: str, more: NDArray[Any], attributes: dict[str, Any], becomes: str
) -> None:
    constants = [numpy_helper.from_array(more, "more")] if len(more) else []
    node = helper.make_node(operator, ["images", *(tensor.name for tensor in constants)], ["out"], **attributes)
    given = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3, 6, 6])
    result = helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "one", [given], [result], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    rewritten = rewrite_for_int8(model)
    assert [node.op_type for node in rewritten.graph.node] == [becomes]
    images = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)
    first, second = (logits(one.SerializeToString(), images) for one in (model, rewritten))
    assert first.shape == second.shape and np.allclose(first, second, atol=1e-6)


def test_every_activation_is_quantised(everything: Path) -> None:
    images = np.random.default_rng(0).standard_normal((8, 3, 9, 9)).astype(np.float32)
    quantize_onnx(everything, images, Path("int8.onnx"))
    first, second = logits(everything, images), logits(Path("int8.onnx"), images)
    assert np.abs(first - second).max() < 0.35 * np.abs(first).max()  # of a deep network of noise, whose signal is weak
    assert profile_onnx(Path("int8.onnx"))


def colors() -> onnx.ModelProto:
    return color_model()


def quantised() -> onnx.ModelProto:
    model = colors()
    model.graph.node[0].op_type = "QuantizeLinear"
    return model


def of_pixels() -> onnx.ModelProto:
    model = colors()
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    return model


def of_two_inputs() -> onnx.ModelProto:
    model = colors()
    model.graph.input.append(helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))
    return model


def elsewhere() -> onnx.ModelProto:
    model = colors()
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    return model


def of_unknown_operators() -> onnx.ModelProto:
    model = colors()
    model.graph.node[0].op_type = "Nonsense"
    return model


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (quantised, "is quantised already"),
        (of_pixels, "must take float images"),
        (of_two_inputs, "must be a network of one input, but has 2"),
        (elsewhere, "keeps weights in another file"),
        (of_unknown_operators, "cannot be quantised"),
        (lambda: onnx.ModelProto(), "must be a network of one input, but has 0"),
    ],
)
def test_what_is_no_float_network_is_refused(make: Callable[[], onnx.ModelProto], said: str) -> None:
    Path("given.onnx").write_bytes(make().SerializeToString())
    with pytest.raises(ExportError, match=said) as refused:
        quantize_onnx(Path("given.onnx"), np.zeros((1, 3, 8, 8), np.float32), Path("int8.onnx"))
    assert "\n" not in str(refused.value) and str(refused.value).startswith("given.onnx: ")
    assert [path.name for path in Path.cwd().iterdir()] == ["given.onnx"]


def test_what_is_no_onnx_file_is_refused() -> None:
    images = np.zeros((1, 3, 8, 8), np.float32)
    Path("text.onnx").write_text("not a network")
    for name, said in (("text.onnx", "is no ONNX file"), ("none.onnx", "is missing")):
        with pytest.raises(UserError, match=said):
            quantize_onnx(Path(name), images, Path("int8.onnx"))
    with pytest.raises(ExportError, match=r"text.onnx: cannot be profiled"):
        profile_onnx(Path("text.onnx"))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (
            np.zeros((2, 3, 8, 9), np.float32),
            r"takes float32 images of shape \(n, 3, 8, 8\), not float32 of \(2, 3, 8, 9\)",
        ),
        (np.zeros((3, 8, 8), np.float32), "takes float32 images"),
        (np.zeros((2, 3, 8, 8), np.uint8), "not uint8"),
        (np.zeros((0, 3, 8, 8), np.float32), "at least one"),
        (np.full((2, 3, 8, 8), np.nan, np.float32), "finite"),
    ],
)
def test_images_that_do_not_fit_are_refused(images: Images, said: str) -> None:
    Path("model.onnx").write_bytes(colors().SerializeToString())
    with pytest.raises(DataError, match=said):
        quantize_onnx(Path("model.onnx"), images, Path("int8.onnx"))
    assert not Path("int8.onnx").exists()


def test_a_failure_keeps_an_earlier_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> bytes:
        raise RuntimeError("no\nway")

    Path("model.onnx").write_bytes(colors().SerializeToString())
    Path("int8.onnx").write_text("earlier")
    monkeypatch.setattr(quantize, "to_int8", fail)
    with pytest.raises(ExportError, match=r"model.onnx: cannot be quantised \(no way\)"):
        quantize_onnx(Path("model.onnx"), np.zeros((1, 3, 8, 8), np.float32), Path("int8.onnx"))
    assert Path("int8.onnx").read_text() == "earlier"
