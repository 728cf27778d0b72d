"""Every format of a bundle is run, and its logits are compared with the module's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nas.errors import ExportError

Logits = npt.NDArray[np.float32]

TOLERANCE = 1e-3
"""Largest allowed difference of a logit between the module and another format, relative to the largest logit."""

PIXELS_TOLERANCE = 0.1
"""The same where pixels are resized: of 255 levels, two programs may differ by one."""


class Parity(NamedTuple):
    """How a format compares with the PyTorch module.

    Attributes:
        file: Of the format.
        difference: Largest absolute difference of a logit.
        agreement: Share of the images with the same top class, in 0 to 1.
        images: Number of images.
    """

    file: str
    difference: float
    agreement: float
    images: int


def module_logits(model: nn.Module, images: torch.Tensor) -> Logits:
    """Return a module's logits for a batch, in eval mode."""
    with torch.inference_mode():
        logits: Logits = model.eval()(images).numpy()
    return logits


def onnx_logits(content: bytes | Path, name: str, batch: npt.NDArray[Any]) -> Logits:
    """Return onnxruntime's logits for a batch.

    Args:
        content: The file, or what it holds.
        name: Of the input.
        batch: What is given to it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {name: batch})
    return np.asarray(logits, np.float32)


def compared(file: str, expected: Logits, given: Logits, *, tolerance: float = TOLERANCE) -> Parity:
    """Compare a format's logits with the module's.

    Raises:
        ExportError: They differ by more than a share ``tolerance`` of the largest logit.
    """
    if given.shape != expected.shape:
        raise ExportError(f"{file}: gives logits of shape {given.shape} where the module gives {expected.shape}")
    difference = float(np.abs(given - expected).max())
    if not difference <= tolerance * max(1.0, float(np.abs(expected).max())):
        raise ExportError(f"{file}: logits differ from the module's by up to {difference:.3g}")
    return Parity(file, difference, float((given.argmax(1) == expected.argmax(1)).mean()), len(expected))
