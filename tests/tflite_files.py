"""TensorFlow Lite files made in an instant, of the network of ``bundles.color_model``; needs the extra ``litert``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bundles import SHARPNESS

MEBIBYTE = 1 << 20


def color_tflite(
    change: Callable[[Any, Any], None] | None = None, *, resolution: int = 8, channels: int = 3, classes: int = 3
) -> bytes:
    """Return a network that averages each channel of what is positive.

    Args:
        change: Changes the model, given the module of its classes, before it is written.
        resolution: Of an image.
        channels: Of an image.
        classes: Number of logits.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    kinds, operators = schema.TensorType, schema.BuiltinOperator
    weights = np.eye(classes, channels, dtype=np.float32) * SHARPNESS
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]

    def tensor(name: str, shape: list[int], constant: np.ndarray | None = None) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name.encode(), shape, 0
        made.type = kinds.INT32 if constant is not None and constant.dtype == np.int32 else kinds.FLOAT32
        if constant is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(constant.tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    graph.tensors, graph.operators, model.operatorCodes = [], [], []
    image = [1, channels, resolution, resolution]
    images, features = tensor("images", image), tensor("features", image)
    axes = tensor("axes", [2], np.array([2, 3], np.int32))
    pooled, matrix = tensor("pooled", [1, channels]), tensor("weights", [classes, channels], weights)
    logits = tensor("logits", [1, classes])
    for code, given, made, options in (
        (operators.RELU, [images], features, None),
        (operators.MEAN, [features, axes], pooled, (schema.BuiltinOptions.ReducerOptions, schema.ReducerOptionsT())),
        (
            operators.FULLY_CONNECTED,
            [pooled, matrix, -1],
            logits,
            (schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT()),
        ),
    ):
        kind, node = schema.OperatorCodeT(), schema.OperatorT()
        kind.builtinCode = kind.deprecatedBuiltinCode = code
        kind.version = 1
        model.operatorCodes.append(kind)
        node.opcodeIndex, node.inputs, node.outputs = len(model.operatorCodes) - 1, given, [made]
        if options is not None:
            node.builtinOptionsType, node.builtinOptions = options
        graph.operators.append(node)
    graph.inputs, graph.outputs = [images], [logits]
    if change is not None:
        change(model, schema)
    builder = flatbuffers.Builder(MEBIBYTE)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
