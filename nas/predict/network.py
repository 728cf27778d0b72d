"""The network of a bundle in onnxruntime, after checks of its file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from nas.errors import BundleError
from nas.export.onnx_checks import read_graph
from nas.predict.bundle import MODEL, Bundle

Inputs = npt.NDArray[np.float32]

_BATCH = 32
_BATCH_PIXELS = _BATCH * 224**2  # larger images come in smaller batches
_MOST_MEMORY = 8 * 2**30  # bytes of weights and feature maps


class NetworkSession:
    """A network that gives logits.

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
        self._where = f"{bundle.name}/{MODEL}"
        model = read_graph(bundle.model, source=self._where)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in also)
        self._session = _session(model.SerializeToString() if also else bundle.model, threads, self._where)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        facts, count = bundle.facts, len(bundle.classes)
        expected = [facts["channels"], facts["resolution"], facts["resolution"]]
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or list(inputs[0].shape[1:]) != expected:
            raise BundleError(f"{self._where}: takes {_said(inputs)}, but must take float (batch, {_listed(expected)})")
        if len(outputs) != 1 + len(also) or outputs[0].type != "tensor(float)" or list(outputs[0].shape[1:]) != [count]:
            given = _said(outputs[: len(outputs) - len(also)])
            raise BundleError(f"{self._where}: gives {given}, but must give float (batch, {count}), one for each class")
        fixed = inputs[0].shape[0]
        if isinstance(fixed, int) and fixed != 1:
            raise BundleError(f"{self._where}: takes {fixed} images at once; it must take one, or any number")
        self.batch = 1 if fixed == 1 else max(1, min(_BATCH, _BATCH_PIXELS // facts["resolution"] ** 2))
        self._names = inputs[0].name, [output.name for output in outputs]

    def run(self, images: Inputs) -> list[npt.NDArray[np.float32]]:
        """Return logits of shape (batch, classes), and the further feature maps.

        Args:
            images: float32 of shape (at most ``batch``, channels, resolution, resolution).

        Raises:
            BundleError: The network fails, or gives other numbers than its file says.
        """
        source, wanted = self._names
        try:
            results: list[npt.NDArray[np.float32]] = self._session.run(wanted, {source: images})
        except Exception as error:  # onnxruntime has a class for each status, and no base of them
            raise BundleError(f"{self._where}: cannot be run ({_short(error)})") from None
        if len(results[0]) != len(images) or not np.isfinite(results[0]).all():
            raise BundleError(f"{self._where}: gives logits that are not {len(images)} rows of finite numbers")
        return results


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
