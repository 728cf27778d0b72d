"""An ONNX graph made such that onnxruntime runs all of it in int8; what it computes stays the same.

Each rewrite stands for an operator that onnxruntime has no fast int8 kernel of, or none at all. They were found by
looking at the graph that onnxruntime makes of a quantised file, and at its profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

MERGED_WIDTH = 32
"""Input channels that a group of a grouped convolution has at least, once groups are merged."""


def rewrite_for_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a float network that computes the same by operators that have fast kernels in int8.

    - A mean over height and width becomes a global average pooling, which need not leave int8.
    - An average pooling becomes a depthwise convolution with equal weights, exact in int8 as well: onnxruntime's
      pooling in int8 took three times as long as that in float.
    - A grouped convolution becomes one of fewer, wider groups, with zeros where the groups were apart: onnxruntime has
      no kernel for narrow groups in int8 and goes from group to group.
    - PReLU of one slope becomes a leaky ReLU, which has a kernel in int8.

    Args:
        model: A network whose feature maps have known channels; the file that it is from stays as it is.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(model)
    channels = _channels(model.graph)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for index, node in enumerate(model.graph.node):
        if node.op_type == "ReduceMean":
            _pool_globally(node, weights)
        elif node.op_type == "AveragePool" and node.input[0] in channels:
            _convolve(node, channels[node.input[0]], model.graph, f"mean_{index}")
        elif node.op_type == "PRelu" and node.input[1] in weights:
            _leak(node, weights[node.input[1]])
        elif node.op_type == "Conv" and node.input[1] in weights:
            _merge_groups(node, weights[node.input[1]], model.graph, f"merged_{index}")
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.value_info[:], model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def _channels(graph: Any) -> dict[str, int]:
    """Return the channels of all feature maps whose number is known."""
    known = {}
    for value in (*graph.input, *graph.value_info):
        sides = value.type.tensor_type.shape.dim
        if len(sides) == 4 and sides[1].dim_value:
            known[value.name] = int(sides[1].dim_value)
    return known


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _pool_globally(node: Any, weights: dict[str, Any]) -> None:
    """Let a mean over height and width be a global average pooling; any other mean stays."""
    from onnx import numpy_helper

    given = _attributes(node)
    axes = given.get("axes")  # an attribute before opset 18, then an input
    if axes is None and len(node.input) > 1 and node.input[1] in weights:
        axes = numpy_helper.to_array(weights[node.input[1]]).tolist()
    if axes is None or sorted(axis % 4 for axis in axes) != [2, 3] or not given.get("keepdims", 1):
        return
    node.op_type = "GlobalAveragePool"
    del node.input[1:], node.attribute[:]


def _convolve(node: Any, channels: int, graph: Any, name: str) -> None:
    """Let an average pooling be a depthwise convolution, where padded zeros count as elements or there are none."""
    from onnx import helper, numpy_helper

    given = _attributes(node)
    kernel, pads = given["kernel_shape"], given.get("pads", [0, 0, 0, 0])
    plain = not given.get("ceil_mode") and given.get("auto_pad", b"NOTSET") == b"NOTSET" and "dilations" not in given
    if not plain or (any(pads) and not given.get("count_include_pad")):
        return
    equal = np.full((channels, 1, *kernel), 1 / np.prod(kernel), np.float32)
    graph.initializer.append(numpy_helper.from_array(equal, name))
    strides = given.get("strides", [1, 1])
    settings = {"kernel_shape": kernel, "strides": strides, "pads": pads, "group": channels}
    node.CopyFrom(helper.make_node("Conv", [node.input[0], name], list(node.output), name=node.name, **settings))


def _leak(node: Any, slope: Any) -> None:
    """Let a PReLU whose channels share a slope be a leaky ReLU."""
    from onnx import helper, numpy_helper

    values = numpy_helper.to_array(slope)
    if values.size == 1:
        node.CopyFrom(
            helper.make_node(
                "LeakyRelu", [node.input[0]], list(node.output), name=node.name, alpha=float(values.item())
            )
        )


def _merge_groups(node: Any, weight: Any, graph: Any, name: str) -> None:
    """Merge neighbouring groups of a convolution until they are wide enough; depthwise ones stay."""
    from onnx import numpy_helper

    groups = _attributes(node).get("group", 1)
    narrow = numpy_helper.to_array(weight)
    filters, width = len(narrow), narrow.shape[1]
    merged = _groups_in_one(groups, width)
    if merged == 1 or (width == 1 and filters == groups):
        return
    wide = np.zeros((filters, merged, *narrow.shape[1:]), narrow.dtype)
    place = np.arange(filters) // (filters // groups) % merged  # of a filter's group among those that it is merged with
    wide[np.arange(filters), place] = narrow
    graph.initializer.append(numpy_helper.from_array(wide.reshape(filters, merged * width, *narrow.shape[2:]), name))
    node.input[1] = name
    next(attribute for attribute in node.attribute if attribute.name == "group").i = groups // merged


def _groups_in_one(groups: int, width: int) -> int:
    """Return how many groups are merged into one: the fewest that divide them and are wide enough, or all."""
    return next((n for n in range(1, groups) if groups % n == 0 and n * width >= MERGED_WIDTH), groups)
