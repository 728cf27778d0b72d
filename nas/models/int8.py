"""Networks in eight-bit integers: static post-training quantisation by onnxruntime's own tools."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nas.models.int8_rewrites import rewrite_for_int8

if TYPE_CHECKING:
    import onnx

Images = npt.NDArray[np.float32]

_BATCH = 32  # images that are calibrated at once


def to_int8(content: bytes, images: Images) -> bytes:
    """Return the ONNX file of a network in int8.

    Activations are unsigned, of one scale for each feature map, from the smallest to the largest value that the images
    give; weights are signed, of 7 bits and one scale for each output channel. The graph keeps float operators between
    ``QuantizeLinear`` and ``DequantizeLinear`` (QDQ), which runtimes fuse into int8 ones.

    Args:
        content: The file of the network in float, of one input.
        images: Of shape (n, channels, side, side), preprocessed, at least one.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as folder:
        model = onnx.load_model_from_string(content)
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        _fold(rewrite_for_int8(model).SerializeToString(), prepared)
        quantize_static(
            prepared,
            quantised,
            _reader(model.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            # weights of 7 bits: with 8, processors without VNNI clip sums of products, and answer otherwise than here
            reduce_range=True,
        )
        tidy: bytes = _tidy(onnx.load(quantised)).SerializeToString(deterministic=True)
    return tidy


def _fold(content: bytes, target: Path) -> None:
    """Write a network whose batch norms and constants are folded, where the exporter has not done so."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is in the exceptions
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    folded = onnx.load(target)
    add_pre_process_metadata(folded)  # otherwise the quantiser warns that nobody has
    onnx.save(folded, target)


def _reader(name: str, images: Images) -> Any:
    """Return what onnxruntime calibrates on."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Gives batch after batch, then None."""

        def __init__(self) -> None:
            self._batches = _batches(images)

        def get_next(self) -> dict[str, Images] | None:
            batch = next(self._batches, None)
            return None if batch is None else {name: batch}

    return Reader()


def _batches(images: Images) -> Iterator[Images]:
    for start in range(0, len(images), _BATCH):
        yield images[start : start + _BATCH]


def _tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take out what the tools note for themselves, and operator sets that no operator is of."""
    del model.metadata_props[:]
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model
