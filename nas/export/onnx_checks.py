"""What an ONNX file from elsewhere must be before it is run: whole, of known operators, of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import ExportError

if TYPE_CHECKING:
    import onnx

OPERATORS = frozenset(
    """
    Add And AveragePool BatchNormalization Cast Clip Concat Constant Conv Div Elu Equal Erf Expand Flatten Floor Gather
    Gelu Gemm GlobalAveragePool Greater GreaterOrEqual HardSigmoid HardSwish Identity LeakyRelu Less MatMul Max MaxPool
    Min Mod Mul Not Or PRelu Pow ReduceMax ReduceMean ReduceMin Relu Reshape Resize Round Shape Sigmoid Slice Split Sqrt
    Squeeze Sub Tanh Transpose Unsqueeze Where
    """.split()
)
"""What exports are made of; loops, branches and what makes tensors from nothing are not among it."""


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
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise ExportError(f"{source}: is no ONNX file") from None
    if any(tensor.external_data or tensor.data_location for tensor in _tensors(model)):
        raise ExportError(f"{source}: reads data from another file")
    graph = model.graph
    nested = any(attribute.g.node or attribute.graphs for node in graph.node for attribute in node.attribute)
    known = all(node.op_type in OPERATORS and not node.domain for node in graph.node)
    if model.functions or nested or graph.sparse_initializer or not known:
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
