"""The network of a bundle in onnxruntime or LiteRT, after checks of its file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from nas.errors import BundleError
from nas.export.names import PIXELS_ONNX
from nas.export.onnx_checks import read_graph
from nas.export.tflite.checks import require_harmless
from nas.export.tflite.running import Shapes, TFLiteProcess, require_litert
from nas.predict.bundle import Bundle

Inputs: TypeAlias = npt.NDArray[Any]
"""What a network is given: float32 of shape (count, channels, resolution, resolution), or the pixels of images."""

Outputs: TypeAlias = list[npt.NDArray[np.float32]]

_BATCH = 32
_BATCH_PIXELS = _BATCH * 224**2  # larger images come in smaller batches
_MOST_MEMORY = 8 * 2**30  # bytes of weights and feature maps


class RunnableNetwork(Protocol):
    """A network that gives logits."""

    batch: int

    def run(self, images: Inputs) -> Outputs:
        """Return logits of shape (count, classes), and further feature maps where they were asked for."""


def open_network(bundle: Bundle, *, threads: int = 1) -> RunnableNetwork:
    """Load the network of a bundle.

    Args:
        bundle: That holds it.
        threads: Of the CPU within one operator.

    Raises:
        BundleError: It is no network of ours, or does not fit the rest of the bundle.
        DataError: What runs it is not installed.
    """
    lite = bundle.file.endswith(".tflite")
    return LiteNetwork(bundle, threads=threads) if lite else NetworkSession(bundle, threads=threads)


class LiteNetwork:
    """A TensorFlow Lite file, in a process of its own.

    Attributes:
        batch: Images that it takes at once.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        """Load a network; see ``open_network``."""
        require_litert(bundle.source)
        self.batch, self._where = _BATCH, bundle.source
        side, channels = bundle.facts["resolution"], bundle.facts["channels"]
        shapes = Shapes((1, channels, side, side), (1, len(bundle.classes)))
        require_harmless(bundle.model, shapes, most=_MOST_MEMORY // 4, source=self._where)
        self._process = TFLiteProcess(bundle.model, shapes, source=self._where, threads=threads)

    def run(self, images: Inputs) -> Outputs:
        """Return logits of shape (count, classes).

        Raises:
            BundleError: The network fails, or gives numbers that are not finite.
        """
        logits = self._process.run(images)
        _require_finite(logits, len(images), self._where)
        return [logits]


class NetworkSession:
    """An ONNX file in onnxruntime.

    Attributes:
        batch: Images that it takes at once: 1 where the file says so.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1, also: Sequence[str] = ()) -> None:
        """Load a network.

        Args:
            bundle: That holds it.
            threads: Of the CPU within one operator.
            also: Names of feature maps to return beside the logits.

        Raises:
            BundleError: It is no network of ours, or does not fit the rest of the bundle.
        """
        self._where = bundle.source
        model = read_graph(bundle.model, source=self._where)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in also)
        self._session = _session(model.SerializeToString() if also else bundle.model, threads, self._where)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        count, (kind, expected, side) = len(bundle.classes), _required_input(bundle)
        if len(inputs) != 1 or inputs[0].type != f"tensor({kind})" or list(inputs[0].shape[1:]) != expected:
            required = f"{kind} (batch, {_listed(expected)})"
            raise BundleError(f"{self._where}: takes {_said(inputs)}, but must take {required}")
        if len(outputs) != 1 + len(also) or outputs[0].type != "tensor(float)" or list(outputs[0].shape[1:]) != [count]:
            given = _said(outputs[: len(outputs) - len(also)])
            raise BundleError(f"{self._where}: gives {given}, but must give float (batch, {count}), one for each class")
        fixed = inputs[0].shape[0]
        if isinstance(fixed, int) and fixed != 1:
            raise BundleError(f"{self._where}: takes {fixed} images at once; it must take one, or any number")
        self.batch = 1 if fixed == 1 else max(1, min(_BATCH, _BATCH_PIXELS // side**2))
        self._names = inputs[0].name, [output.name for output in outputs]

    def run(self, images: Inputs) -> Outputs:
        """Return logits of shape (count, classes), and the further feature maps.

        Args:
            images: At most ``batch``.

        Raises:
            BundleError: The network fails, or gives other numbers than its file says.
        """
        source, wanted = self._names
        try:
            results: Outputs = self._session.run(wanted, {source: images})
        except Exception as error:  # onnxruntime has a class for each status, and no base of them
            raise BundleError(f"{self._where}: cannot be run ({_short(error)})") from None
        _require_finite(results[0], len(images), self._where)
        return results


def _require_finite(logits: npt.NDArray[np.float32], rows: int, where: str) -> None:
    if len(logits) != rows or not np.isfinite(logits).all():
        raise BundleError(f"{where}: gives logits that are not {rows} rows of finite numbers")


class _Required(NamedTuple):
    """Type of a network's input, its shape without the batch, and the side of an image in pixels."""

    kind: str
    shape: list[int | str]
    side: int


def _required_input(bundle: Bundle) -> _Required:
    channels, side = bundle.facts["channels"], bundle.facts["resolution"]
    if bundle.file == PIXELS_ONNX:
        return _Required("uint8", ["height", "width", channels], max(side, bundle.facts["size"]))
    return _Required("float", [channels, side, side], side)


@cache
def _bound_memory() -> None:
    """Let sessions of this process that ask for it share one store of memory, which is bounded.

    An operator can ask for any number of zeros, which the system would promise and then kill the process for.
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg({"max_mem": _MOST_MEMORY}))


def _session(model: bytes, threads: int, where: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what it says on standard error is in its exceptions
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait take no time
    options.add_session_config_entry("session.use_env_allocators", "1")
    _bound_memory()
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BundleError(f"{where}: onnxruntime cannot load it ({_short(error)})") from None


def _said(values: Sequence[Any]) -> str:
    return " and ".join(f"{value.type[7:-1]} ({_listed(value.shape)})"[:80] for value in values[:3]) or "nothing"


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
