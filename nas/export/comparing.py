"""The formats of a bundle that was just written, run beside the network on real images, and timed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nas.export.formats import (
    PIXELS_TOLERANCE,
    TOLERANCE,
    Parity,
    Runner,
    compared,
    module_logits,
    module_runner,
    onnx_runner,
    times_of,
)
from nas.export.names import INT8_ONNX, INT8_TFLITE, PIXELS_ONNX, TFLITE, WEIGHTS_ONNX
from nas.export.pixels import INPUT
from nas.export.tflite.running import tflite_runner
from nas.export.trained import Trained
from nas.processes.threads import cpu_threads


class Format(NamedTuple):
    """A format that can be run.

    Attributes:
        file: Its name.
        run: Gives logits.
        given: What it is given: images of shape (count, ...).
        tolerance: See ``formats.compared``.
        besides: Other files that it needs.
    """

    file: str
    run: Runner
    given: npt.NDArray[Any]
    tolerance: float | None = TOLERANCE
    besides: tuple[str, ...] = ()


def compare(folder: Path, trained: Trained) -> tuple[Parity, ...]:
    """Run every format of a folder on the images; a batch of one too, since a batch size may be written into a file.

    Raises:
        ExportError: One computes something else than the network.
    """
    with cpu_threads(1):
        formats = list(_formats(folder, trained))
        found = [_compared(one, folder, trained) for one in formats]
        times = times_of({one.file: _one_image(one) for one in formats})
    return tuple(one._replace(latency_ms=times[one.file].latency_ms, timed=times[one.file].calls) for one in found)


def _formats(folder: Path, trained: Trained) -> Iterator[Format]:
    images = trained.images.numpy()
    written: dict[str, Any] = {}
    code = (folder / "model.py").read_text(encoding="utf-8")
    exec(compile(code, "model.py", "exec"), written)  # it was written here, a moment ago
    model = written["load_model"](folder / "weights.safetensors")
    yield Format("model.py", module_runner(model), images, besides=("weights.safetensors",))
    yield Format("model.onnx", onnx_runner(folder / "model.onnx", "images"), images)
    for name in (INT8_ONNX, *WEIGHTS_ONNX):
        if (folder / name).exists():
            yield Format(name, onnx_runner(folder / name, "images"), images, None)
    for name, tolerance in ((TFLITE, TOLERANCE), (INT8_TFLITE, None)):
        if (folder / name).exists():
            yield Format(name, tflite_runner(folder / name), images, tolerance)
    if (folder / PIXELS_ONNX).exists():
        yield Format(PIXELS_ONNX, onnx_runner(folder / PIXELS_ONNX, INPUT), trained.pixels, PIXELS_TOLERANCE)


def _compared(one: Format, folder: Path, trained: Trained) -> Parity:
    expected = module_logits(trained.model, trained.images)
    compared(one.file, expected[:1], one.run(one.given[:1]), tolerance=one.tolerance)
    given = one.run(one.given)
    found = compared(one.file, expected, given, tolerance=one.tolerance)
    accuracy = None if trained.labels is None else float((given.argmax(1) == trained.labels).mean())
    size = sum((folder / name).stat().st_size for name in (one.file, *one.besides))
    return found._replace(accuracy=accuracy, bytes=size)


def _one_image(one: Format) -> Any:
    image = np.ascontiguousarray(one.given[:1])
    return lambda: one.run(image)
