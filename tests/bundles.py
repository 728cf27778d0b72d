"""Bundles made in an instant, whose right answers are known: an image is of the colour that it has most of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from nas.export import manifest

COLORS = ("red", "green", "blue")
FACTS: dict[str, Any] = {
    "format": 1,
    "classes": list(COLORS),
    "channels": 3,
    "color": "rgb",
    "size": 12,
    "resolution": 8,
    "mean": [0.0, 0.0, 0.0],
    "std": [1.0, 1.0, 1.0],
}
SHARPNESS = 8.0
"""Logit of a class over the mean of its channel."""


def color_model(
    *, batch: str | int = "batch", resolution: int = 8, channels: int = 3, classes: int = 3
) -> onnx.ModelProto:
    """Return a network that averages each channel of what is positive."""
    weights = np.eye(classes, channels, dtype=np.float32) * SHARPNESS
    nodes = [
        helper.make_node("Relu", ["images"], ["features"]),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights"], ["logits"], transB=1),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, channels, resolution, resolution])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes])
    graph = helper.make_graph(nodes, "colors", [images], [logits], [numpy_helper.from_array(weights, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def write_bundle(folder: Path, *, model: onnx.ModelProto | None = None, **facts: Any) -> Path:
    """Write a bundle of which some facts may be others; a fact that is None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes((model or color_model()).SerializeToString())
    said = {name: value for name, value in {**FACTS, **facts}.items() if value is not None}
    (folder / "preprocessing.json").write_text(json.dumps(said))
    return folder


def write_image(path: Path, color: str, **options: Any) -> Path:
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 16), color if color != "green" else "lime").save(path, **options)
    return path


def forge(bundle: Path, name: str, content: bytes) -> None:
    """Change a file, and the manifest with it, as someone would who wants to be believed."""
    (bundle / name).write_bytes(content)
    path = bundle / manifest.NAME
    known = manifest.read_manifest(path.read_bytes(), source="manifest")
    files = {**known.files, name: manifest.facts_of(content)}
    path.write_text(manifest.manifest_text(known.model_copy(update={"files": files})))
