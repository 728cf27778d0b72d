"""Which operators of an ONNX file cost its time."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from nas.errors import ExportError

_CALLS = 20
_SHOWN = 3  # operators in one line
_TOGETHER = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), "QuantizeLinear/DequantizeLinear"),
    **dict.fromkeys(("ReorderInput", "ReorderOutput", "Transpose"), "layout"),
}
"""Operators that are told as one."""


class OperatorShare(NamedTuple):
    """What the operators of one type cost.

    Attributes:
        operator: The type, as onnxruntime names it after its fusions: ``QLinearConv`` is a convolution in int8,
            ``Conv`` one in float32.
        share: Of the time that all operators take, in 0 to 1.
    """

    operator: str
    share: float


def profile_onnx(path: Path, batch: int = 1) -> list[OperatorShare]:
    """Return which types of operators cost the time of a network in onnxruntime, with one thread; the most first.

    An operator's time is the median of its calls, so that other programs take little part.

    Args:
        path: The ONNX file; it must be known to be harmless.
        batch: Images at once; another where the file has a fixed number.

    Raises:
        ExportError: onnxruntime cannot run it.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            content = Path(_profiled(path, batch, str(Path(folder) / "profile"))).read_bytes()
        except Exception as error:  # onnxruntime has a class for each status, and no base of them
            raise ExportError(f"{path}: cannot be profiled ({' '.join(str(error).split())[:200]})") from None
    calls = defaultdict[tuple[str, str], list[int]](list)
    for event in json.loads(content):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            calls[event["name"], event["args"]["op_name"]].append(event["dur"])
    times = defaultdict[str, float](float)
    for (_, operator), taken in calls.items():
        times[_TOGETHER.get(operator, operator)] += median(taken)
    whole = sum(times.values()) or 1.0
    return sorted((OperatorShare(name, taken / whole) for name, taken in times.items()), key=lambda one: -one.share)


def not_faster(speed: float, profile: Sequence[OperatorShare]) -> str:
    """Say in one line that int8 is not faster, and what costs it.

    Args:
        speed: How many times faster it is than in float32, below 1 where it is slower.
        profile: Of the int8 file.
    """
    shown = ", ".join(f"{one.operator} {100 * one.share:.0f} %" for one in profile[:_SHOWN])
    return f"int8 is not faster: {speed:.2g} x; {shown}"


def _profiled(path: Path, batch: int, prefix: str) -> Any:
    """Run a network with onnxruntime's profiling, and return the path of what it wrote."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_profiling, options.profile_file_prefix = True, prefix
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    count, *sides = given.shape
    shape = (count if isinstance(count, int) else batch, *sides)
    pixels = np.random.default_rng(0).integers(0, 255, shape)
    images = pixels.astype(np.uint8 if given.type == "tensor(uint8)" else np.float32)
    for _ in range(_CALLS):
        session.run(None, {given.name: images})
    return session.end_profiling()
