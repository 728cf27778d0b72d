"""An ONNX file with its weights in 8 or 4 bits: fewer bytes, computed in float32 as before. Needs no images.

Each output channel w of a convolution or linear layer becomes round(w / s) with s = max |w| / (2^(bits - 1) - 1);
biases, which hold what is left of the norms too, stay as they are. The file turns weights back by ``Cast`` and ``Mul``.
Of constants these run once, when onnxruntime loads the file, so that the network is as fast as before.
``DequantizeLinear`` would say the same, but that onnxruntime runs at every batch, as int8 kernels might use it, unless
the session is told ``session.disable_quant_qdq``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas.errors import ConfigError, ExportError
from nas.files import read_bounded, write_whole

if TYPE_CHECKING:
    import onnx

Bits: TypeAlias = Literal[8, 4]

Array: TypeAlias = NDArray[np.float32]

_MOST_BYTES = 2**31  # of an ONNX file without external data
_INT4_OPSET, _INT4_IR = 21, 10  # the first versions of ONNX that have four bits
_OUTPUTS = {"Conv": 0, "Gemm": 1, "MatMul": -1}
"""Operators that read weights as their second input, and the dimension of these that runs along the outputs."""


class Rounded(NamedTuple):
    """Weights as integers with a scale for each output.

    Attributes:
        integers: int8, of the weights' shape.
        scales: float32, of the same number of dimensions; their product with the integers is near the weights.
    """

    integers: NDArray[np.int8]
    scales: Array


def quantize_weights(source: Path, target: Path, *, bits: Bits) -> None:
    """Write a float network of an ONNX file with its weights as integers.

    Args:
        source: The float network, as ``nas export`` writes it.
        target: The file to write.
        bits: Of a weight. Files with 4 bits need ONNX's operators of version 21, which they then ask for, and
            onnxruntime 1.23.

    Raises:
        ConfigError: There is no such number of bits.
        ExportError: The source cannot be read or holds no float weights of convolutions or linear layers, the
            installed onnxruntime cannot run the result, or the target cannot be written.
    """
    if bits not in (8, 4):
        raise ConfigError(f"weights can have 8 or 4 bits, but not {bits}")
    model = _read(source)
    if bits == 4:
        model = _with_int4(model, source)
    _quantize(model, bits, source)
    content = model.SerializeToString()
    _require_runs(content, bits)
    write_whole(target, lambda: content)


def rounded(weights: Array, *, bits: int, dim: int) -> Rounded:
    """Return weights as integers of so many bits, symmetric about 0, with a scale for each index of a dimension."""
    top = 2 ** (bits - 1) - 1
    others = tuple(axis for axis in range(weights.ndim) if axis != dim % weights.ndim)
    largest = np.abs(weights).max(axis=others, keepdims=True)
    scales = np.maximum(largest / top, np.finfo(np.float32).tiny).astype(np.float32)  # of zeros any will do
    return Rounded(np.clip(np.rint(weights / scales), -top, top).astype(np.int8), scales)


def packed(integers: NDArray[np.int8]) -> bytes:
    """Return integers from -8 to 7 as ONNX keeps them: two to a byte, the first in the lower half."""
    halves = np.zeros(2 * math.ceil(integers.size / 2), np.uint8)
    halves[: integers.size] = integers.reshape(-1).astype(np.uint8) & 0xF
    return (halves[::2] | halves[1::2] << 4).tobytes()


def _read(source: Path) -> onnx.ModelProto:
    import onnx

    content = read_bounded(source, most=_MOST_BYTES)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own, which has moved between its versions
        raise ExportError(f"{source}: is no ONNX file ({' '.join(str(error).split())[:200]})") from None
    if any(tensor.external_data or tensor.data_location for tensor in model.graph.initializer):
        raise ExportError(f"{source}: keeps weights in another file (external data); export it as one file")
    return model


def _with_int4(model: onnx.ModelProto, source: Path) -> onnx.ModelProto:
    """Return a network that may hold four bits."""
    import onnx

    if max((entry.version for entry in model.opset_import if not entry.domain), default=0) < _INT4_OPSET:
        try:
            model = onnx.version_converter.convert_version(model, _INT4_OPSET)
        except Exception as error:  # of C++, which raises what it likes
            raise ExportError(f"{source}: cannot be brought to opset {_INT4_OPSET} ({str(error)[:200]})") from None
    model.ir_version = max(model.ir_version, _INT4_IR)
    return model


class _Weights(NamedTuple):
    """The weights of a layer."""

    tensor: onnx.TensorProto
    dim: int


def _weights(graph: onnx.GraphProto) -> Iterator[_Weights]:
    """Yield the float weights of all layers, each once."""
    from onnx import TensorProto

    held = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    for node in graph.node:
        name = node.input[1] if node.op_type in _OUTPUTS and len(node.input) > 1 else ""
        if (tensor := held.pop(name, None)) is None or len(tensor.dims) < 2:
            continue
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        yield _Weights(tensor, 0 if transposed else _OUTPUTS[node.op_type])


def _quantize(model: onnx.ModelProto, bits: Bits, source: Path) -> None:
    """Put integers in place of all weights, and before all nodes those that turn them back."""
    from onnx import TensorProto, helper, numpy_helper

    graph, turning_back = model.graph, list[object]()
    for tensor, dim in list(_weights(graph)):
        name, shape = tensor.name, tuple(tensor.dims)
        integers, scales = rounded(numpy_helper.to_array(tensor), bits=bits, dim=dim)
        kind = TensorProto.INT8 if bits == 8 else TensorProto.INT4
        raw = integers.tobytes() if bits == 8 else packed(integers)
        tensor.CopyFrom(helper.make_tensor(f"{name}.integers", kind, shape, raw, raw=True))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scales"))
        turning_back += [
            helper.make_node("Cast", [f"{name}.integers"], [f"{name}.cast"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}.cast", f"{name}.scales"], [name]),
        ]
    if not turning_back:
        raise ExportError(f"{source}: holds no float weights of convolutions or linear layers")
    nodes = [*turning_back, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _require_runs(content: bytes, bits: Bits) -> None:
    """Require that the installed onnxruntime can load a network."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it says is told in one line below
    try:
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own, of which there are many
        hint = "; 4 bits need onnxruntime 1.23 or newer" if bits == 4 else ""
        said = " ".join(str(error).split())[:200]
        raise ExportError(
            f"onnxruntime {onnxruntime.__version__} cannot run {bits}-bit weights{hint} ({said})"
        ) from None
