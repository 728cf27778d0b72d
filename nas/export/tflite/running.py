"""TensorFlow Lite files in LiteRT's interpreter; torch is not loaded."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nas.data.extras import require_extra
from nas.errors import BundleError, ExportError

EXTRA = "litert"
INSTALL = f"pip install 'nas-explorer[{EXTRA}]'"

_SCRIPT = Path(__file__).parent / "run_script.py"
_MOST_MEMORY = 8 * 2**30  # bytes, of which libraries map two


class Shapes(NamedTuple):
    """What a network takes and gives: both of one image, with a first dimension of 1."""

    image: tuple[int, ...]
    logits: tuple[int, ...]


def has_litert() -> bool:
    """Tell whether the interpreter is installed."""
    return find_spec("ai_edge_litert") is not None


def require_litert(what: str) -> None:
    """Require the interpreter.

    Raises:
        DataError: It is not installed; the message has the command.
    """
    require_extra("ai_edge_litert", extra=EXTRA, what=what)


def tflite_runner(path: Path) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """Return what runs a file that was written here on a batch of images, one after the other, in one thread.

    Raises:
        ExportError: The interpreter cannot prepare it.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        with _without_standard_error():  # it greets there
            network = Interpreter(model_path=str(path), num_threads=1)
            network.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"{path.name}: LiteRT cannot run it ({' '.join(str(error).split())[:200]})") from None
    (given,), (made,) = network.get_input_details(), network.get_output_details()

    def logits(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        network.set_tensor(given["index"], image[None])
        network.invoke()
        return np.asarray(network.get_tensor(made["index"])[0], np.float32)

    return lambda batch: np.stack([logits(image) for image in batch])


@contextmanager
def _without_standard_error() -> Iterator[None]:
    """Let nothing be written to standard error, by native code neither."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class TFLiteProcess:
    """A stranger's file that was checked, in a process of its own: whatever it does to native code ends that."""

    def __init__(self, content: bytes, shapes: Shapes, *, source: str, threads: int = 1) -> None:
        """Start the process.

        Args:
            content: What the file holds.
            shapes: That ``checks.require_harmless`` found.
            source: Named in errors.
            threads: Of the CPU within one operator.
        """
        self._shapes, self._source = shapes, source
        sizes = len(content), 4 * math.prod(shapes.image), _MOST_MEMORY, threads
        command = [sys.executable, "-I", "-W", "ignore", str(_SCRIPT), *map(str, sizes)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        weakref.finalize(self, _end, self._process)
        self._write(content)

    def run(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the logits of images, of shape (count, classes).

        Raises:
            BundleError: The process ended.
        """
        return np.concatenate([self._logits(image) for image in images])

    def _logits(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self._write(np.ascontiguousarray(image, np.float32).tobytes())
        assert self._process.stdout is not None
        size = 4 * math.prod(self._shapes.logits)
        content = self._process.stdout.read(size)
        if len(content) < size:
            raise self._ended()
        return np.frombuffer(content, np.float32).reshape(self._shapes.logits)

    def _write(self, content: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(content)
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None

    def _ended(self) -> BundleError:
        code = self._process.wait()
        return BundleError(f"{self._source}: LiteRT cannot run it (its process ended with exit code {code})")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not yet written
                pipe.close()
