"""A network as an ONNX file that takes pixels: it resizes and standardises them itself.

It is a file of its own and not a second input of ``model.onnx``, because what quantises and compiles ONNX files wants
one input of a fixed size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nas.data.color import convert
from nas.data.types import Space
from nas.models.onnx import DEFAULT_OPSET, export_onnx

if TYPE_CHECKING:
    import onnx

INPUT = "pixels"


class Standardised(nn.Module):
    """What makes a network's input of pixel levels."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        """Keep how images are prepared."""
        super().__init__()
        color = preprocessing["color"]
        self.space: Space = color if color in ("hsv", "ycbcr") else "stored"
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(preprocessing[name])[:, None, None])

    def forward(self, levels: Tensor) -> Tensor:
        """Map float32 of shape (batch, channels, resolution, resolution), in 0 to 255, to the network's input."""
        return (convert(levels / 255, self.space) - self.mean) / self.std


def write_pixels_onnx(
    network: Path, preprocessing: Mapping[str, Any], path: Path, *, opset: int = DEFAULT_OPSET
) -> None:
    """Write an ONNX file from uint8 pixels of shape (batch, height, width, channels) to logits.

    Pixels of any height and width are resized to the network's, as training does it; what is not square is stretched.

    Args:
        network: ONNX file of the network, from ``images`` to ``logits``.
        preprocessing: How images are prepared.
        path: Of the file.
        opset: Version of ONNX's operators, that of ``network``.

    Raises:
        ExportError: This torch does not write that version.
    """
    import onnx
    from onnx import compose

    shape = (2, preprocessing["channels"], preprocessing["resolution"], preprocessing["resolution"])
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "levels.onnx"
        export_onnx(Standardised(preprocessing).eval(), torch.zeros(shape), inner, opset=opset, name="levels")
        before = onnx.load(inner)
    _prepend_resize(before.graph, preprocessing["channels"], preprocessing["resolution"])
    model = onnx.load(network)
    before.ir_version = model.ir_version
    merged = compose.merge_models(before, model, io_map=[("logits", "images")], prefix1="before_")
    merged.graph.input[0].name = INPUT
    merged.graph.node[0].input[0] = INPUT
    merged.producer_name = model.producer_name
    onnx.checker.check_model(merged, full_check=True)
    path.write_bytes(merged.SerializeToString())


def _prepend_resize(graph: onnx.GraphProto, channels: int, size: int) -> None:
    """Give a graph whose input are levels an input of pixels instead."""
    from onnx import TensorProto, helper

    # without exclude_outside, onnxruntime lets what lies beyond the edge count
    resize: dict[str, Any] = {"mode": "linear", "antialias": 1, "exclude_outside": 1, "axes": [2, 3]}
    nodes = [
        helper.make_node("Transpose", [INPUT], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["exact"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["exact", "", "", "size"], ["resized"], **resize),
        helper.make_node("Round", ["resized"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "darkest", "lightest"], ["levels"]),
        *graph.node,
    ]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.initializer.append(helper.make_tensor("size", TensorProto.INT64, [2], [size, size]))
    for name, level in (("darkest", 0.0), ("lightest", 255.0)):
        graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [], [level]))
    pixels: list[str | int | None] = ["batch", "height", "width", channels]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, pixels))
