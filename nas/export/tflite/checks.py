"""What a TensorFlow Lite file from elsewhere must be before native code reads it: known operators of bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nas.errors import BundleError
from nas.export.tflite.running import Shapes

MARK = b"TFL3"
"""Bytes 4 to 8 of such a file."""

OPERATORS = frozenset(
    """
    ABS ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEQUANTIZE ELU EXP FULLY_CONNECTED GELU GREATER
    GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL NEG PAD PADV2 PRELU
    QUANTIZE RELU RELU6 RESHAPE SELECT SELECT_V2 SLICE SPLIT STRIDED_SLICE SUB SUM TANH TRANSPOSE
    """.split()
)
"""What exports are made of; loops, branches, others' operators and what makes tensors from nothing are not."""

_FLOAT32 = 0


def require_harmless(content: bytes, shapes: Shapes, *, most: int, source: str) -> None:
    """Require that a file is one network of ours.

    Args:
        content: What the file holds. It is read by Python, within its bytes.
        shapes: Of its input and its output, which are float32.
        most: Elements that any tensor may have.
        source: Named in errors.

    Raises:
        BundleError: It is none, keeps weights elsewhere, or has other ends, operators or larger tensors.
    """
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != MARK:
        raise BundleError(f"{source}: is no TensorFlow Lite file")
    try:
        _require(schema, schema.Model.GetRootAs(content, 0), shapes, most, source)
    except BundleError:
        raise
    except Exception as error:  # offsets that lead out of the file
        raise BundleError(f"{source}: is no TensorFlow Lite file ({type(error).__name__})") from None


def _require(schema: Any, model: Any, shapes: Shapes, most: int, source: str) -> None:
    if model.ExternalBuffersLength() or model.ExternalBufferGroupsLength():
        raise BundleError(f"{source}: keeps weights in another file (external data), which a bundle must not")
    if model.SubgraphsLength() != 1:
        raise BundleError(f"{source}: must hold one network, but holds {model.SubgraphsLength()}")
    for name in _operators(schema, model):
        if name not in OPERATORS:
            raise BundleError(f"{source}: has the operator {name[:60]}, which no network of a bundle has")
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(index) for index in range(graph.TensorsLength())]
    sizes = [tuple(map(int, tensor.ShapeAsNumpy())) if tensor.ShapeLength() else () for tensor in tensors]
    if any(min(shape, default=1) < 0 or math.prod(shape) > most for shape in sizes):
        raise BundleError(f"{source}: has a tensor of more elements than the network needs, {most:,} at most")
    for what, ends, wanted in (
        ("take", _ends(graph.InputsAsNumpy()), shapes.image),
        ("give", _ends(graph.OutputsAsNumpy()), shapes.logits),
    ):
        found = [(tensors[index].Type(), sizes[index]) for index in ends]
        if found != [(_FLOAT32, wanted)]:
            raise BundleError(f"{source}: must {what} float32 of shape {wanted} and nothing else")


def _operators(schema: Any, model: Any) -> Iterator[str]:
    """Yield the names of the operators of a file."""
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        if code.CustomCode():
            yield code.CustomCode().decode(errors="replace")
        else:
            yield names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "unknown")


def _ends(indices: Any) -> list[int]:
    return [int(index) for index in np.atleast_1d(indices)]
