"""What an ONNX file holds, and how good it is on images."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from nas.compress.speed import onnx_session
from nas.data.batches import ImageBatches
from nas.records import Metric
from nas.training.metrics import score_of

_BATCH = 64
_BITS = {"INT4": 4, "UINT4": 4}


def onnx_score(path: Path, images: ImageBatches, *, classes: int, metric: Metric = "accuracy") -> float:
    """Return how good an ONNX file is on images, in 0 to 1.

    Args:
        path: Of the file.
        images: On the CPU.
        classes: Their number.
        metric: By which it is judged.
    """
    session = onnx_session(path)
    name, confusion = session.get_inputs()[0].name, torch.zeros(classes * classes, dtype=torch.int64)
    for batch in images.in_order(_BATCH):
        (logits,) = session.run(None, {name: np.ascontiguousarray(batch.images.numpy())})
        answers = torch.from_numpy(np.asarray(logits).argmax(axis=1))
        confusion += torch.bincount(batch.labels * classes + answers, minlength=classes * classes)
    return float(score_of(confusion.view(classes, classes), metric))


def weight_bytes(path: Path) -> int:
    """Return the bytes of all tensors that an ONNX file holds."""
    import onnx

    def size(tensor: onnx.TensorProto) -> int:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        bits: int = _BITS.get(kind) or 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        return int(-(-math.prod(tensor.dims) * bits // 8))

    return sum(size(tensor) for tensor in onnx.load(path).graph.initializer)
