"""What an ONNX file from elsewhere must be before it is run: whole, of known operators, of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import BundleError, ExportError

if TYPE_CHECKING:
    import onnx

OPERATORS = frozenset(
    """
    Add And AveragePool BatchNormalization Cast Clip Concat Constant Conv DequantizeLinear Div Elu Equal Erf Expand
    Flatten Floor Gather Gelu Gemm GlobalAveragePool Greater GreaterOrEqual HardSigmoid HardSwish Identity LeakyRelu
    Less MatMul Max MaxPool Min Mod Mul Not Or PRelu Pow QuantizeLinear ReduceMax ReduceMean ReduceMin Relu Reshape
    Resize Round Shape Sigmoid Slice Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze Where
    """.split()
)
"""What exports are made of; loops, branches and what makes tensors from nothing are not among it."""


_OWN = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Domains of operators that onnxruntime brings."""


def read_graph(content: bytes, *, source: object) -> onnx.ModelProto:
    """Return the network of an ONNX file that keeps to itself and ends: no loops, which need graphs within the graph.

    Args:
        content: What the file holds.
        source: Named in errors.

    Raises:
        BundleError: It is not ONNX, asks for other files, or has functions, graphs in its graph or operators of others.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own, which has moved between its versions
        raise BundleError(f"{source}: is no ONNX file ({' '.join(str(error).split())[:200]})") from None
    if not model.graph.node:
        raise BundleError(f"{source}: holds no network")
    if any(tensor.external_data or tensor.data_location for tensor in _tensors(model)):
        raise BundleError(f"{source}: keeps weights in another file (external data), which a bundle must not")
    if model.functions:
        raise BundleError(f"{source}: holds functions of its own, which a bundle must not")
    for node in model.graph.node:
        if node.domain not in _OWN or any(part.HasField("g") or part.graphs for part in node.attribute):
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise BundleError(f"{source}: has the operator {name[:60]}, which no network of a bundle has")
    return model


def require_harmless(content: bytes, shape: tuple[int, ...], *, name: str, most: int, source: Path) -> None:
    """Require that an ONNX file can be run within some memory.

    Args:
        content: What the file holds.
        shape: Of the batch that it will be given.
        name: Of its input.
        most: Elements that any tensor on the way may have.
        source: Named in errors.

    Raises:
        ExportError: It is no ONNX file, reads other files, has other inputs or operators, or takes more.
    """
    model = read_graph(content, source=source)
    graph = model.graph
    if graph.sparse_initializer or not all(node.op_type in OPERATORS and not node.domain for node in graph.node):
        raise ExportError(f"{source}: has operators that nas does not write")
    if [value.name for value in graph.input] != [name] or [value.name for value in graph.output] != ["logits"]:
        raise ExportError(f"{source}: must have the input {name!r} and the output 'logits'")
    largest = _largest(model, shape, source)
    if largest is None or largest > most:
        size = "of unknown size" if largest is None else f"of {largest:,} elements"
        raise ExportError(f"{source}: makes a tensor {size}; the network needs at most {most:,}")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor that a file holds in its graph, its operators and their graphs."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
        else:
            for attribute in nodes.pop().attribute:
                yield from (attribute.t, *attribute.tensors)
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    yield from (sparse.values, sparse.indices)
                graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _largest(model: onnx.ModelProto, shape: tuple[int, ...], source: Path) -> int | None:
    """Return the elements of the largest tensor that is made on the way; None where one cannot be told."""
    import onnx

    graph = model.graph
    del graph.value_info[:]  # what the file says of itself
    dims = graph.input[0].type.tensor_type.shape
    del dims.dim[:]
    for side in shape:
        dims.dim.add().dim_value = side
    graph.output[0].type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # onnx raises classes of its own, which moved
        raise ExportError(f"{source}: is no valid ONNX graph ({' '.join(str(error).split())[:100]})") from None
    sizes = dict[str, int]()
    for value in (*inferred.graph.value_info, *inferred.graph.output):
        size = 1
        for dim in value.type.tensor_type.shape.dim:
            size = size * dim.dim_value if dim.HasField("dim_value") and size >= 0 else -1
        sizes[value.name] = size if value.type.tensor_type.HasField("shape") else -1
    made = [sizes.get(output, -1) for node in graph.node for output in node.output if output]
    return None if not made or min(made) < 0 else max(made)
