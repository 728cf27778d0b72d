"""A float ONNX file in eight-bit integers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nas.compress.expected import expected_speed
from nas.errors import DataError, ExportError
from nas.files import read_bounded, write_whole
from nas.models.int8 import to_int8

if TYPE_CHECKING:
    import onnx

__all__ = ["expected_speed", "quantize_onnx"]

_MOST_BYTES = 2**31  # no larger protobuf can be read


def quantize_onnx(source: Path, images: npt.NDArray[np.float32], target: Path) -> None:
    """Write the int8 network of a float ONNX file; ``images`` are what it is calibrated on.

    The new file takes and gives the same as the old one. The same file and images give the same bytes.

    Args:
        source: The ONNX file, of one input of float images.
        images: float32 of shape (n, channels, side, side), preprocessed; some hundred training images.
        target: The ONNX file to write, whole or not at all.

    Raises:
        DataError: The images do not fit the network, are none, or are not finite numbers.
        ExportError: The source is no float network, or the target cannot be written.
        BundleError: The source is missing, a link or too large.
    """
    content = read_bounded(source, most=_MOST_BYTES)
    _require_images(images, _network(content, source).graph.input[0], source)
    try:
        quantised = to_int8(content, images)
    except Exception as error:  # onnx and onnxruntime have classes of their own, without a common base
        raise ExportError(f"{source}: cannot be quantised ({' '.join(str(error).split())[:200]})") from None
    write_whole(target, lambda: quantised)


def _network(content: bytes, source: Path) -> onnx.ModelProto:
    """Return the network of a file, not quantised and with all its weights.

    Raises:
        ExportError: It is none.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own, which has moved between its versions
        raise ExportError(f"{source}: is no ONNX file ({' '.join(str(error).split())[:200]})") from None
    if len(model.graph.input) != 1 or not model.graph.node:
        raise ExportError(f"{source}: must be a network of one input, but has {len(model.graph.input)}")
    if any(tensor.data_location for tensor in model.graph.initializer):
        raise ExportError(f"{source}: keeps weights in another file (external data); they must be in the file")
    if any(node.op_type.endswith("QuantizeLinear") for node in model.graph.node):
        raise ExportError(f"{source}: is quantised already; give the float network")
    return model


def _require_images(images: npt.NDArray[np.float32], given: Any, source: Path) -> None:
    """Require images that the network takes."""
    import onnx

    if given.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise ExportError(f"{source}: must take float images; give the file without preprocessing")
    wanted = [side.dim_value for side in given.type.tensor_type.shape.dim][1:]
    if images.dtype != np.float32 or images.ndim != 4 or list(images.shape[1:]) != wanted:
        shape = ", ".join(map(str, ("n", *wanted)))
        raise DataError(f"{source}: takes float32 images of shape ({shape}), not {images.dtype} of {images.shape}")
    if not len(images) or not np.isfinite(images).all():
        raise DataError(f"{source}: needs images to calibrate on, at least one and of finite numbers")
