"""A network as a TensorFlow Lite file.

litert-torch, which converts, brings some sixty packages that cannot be resolved beside those of this project. So it has
an environment of its own, which the user names; what is given to it are ``model.py`` and the weights alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.data.extras import require_extra
from nas.errors import ExportError
from nas.export.tflite.running import EXTRA, require_litert

VARIABLE = "NAS_LITERT_PYTHON"
"""Of the environment: path of a Python that has litert-torch."""

_SCRIPTS = Path(__file__).parent
_HAS_CONVERTER = "import importlib.util as u, sys; sys.exit(u.find_spec('litert_torch') is None)"
_SAID = 300  # characters of what a failed conversion says


def require_tools(what: str, *, int8: bool) -> None:
    """Require what writes and runs TensorFlow Lite files.

    Args:
        what: Asks for it, for people.
        int8: Whether the quantiser is needed.

    Raises:
        DataError: The extra is not installed.
        ExportError: The variable does not name a Python that has litert-torch.
    """
    require_litert(what)
    if int8:
        require_extra("ai_edge_quantizer", extra=EXTRA, what=what)
    python = os.environ.get(VARIABLE, "")
    if not python:
        raise ExportError(
            f"{what} needs litert-torch in an environment of its own: set {VARIABLE} to its Python (docs/export.md says"
            " how to make one)"
        )
    if _called([python, "-I", "-c", _HAS_CONVERTER]).returncode:
        raise ExportError(
            f"{VARIABLE}: {python} is no Python that has litert-torch (docs/export.md says how to make one)"
        )


def write_tflite(bundle: Path, facts: Mapping[str, Any], target: Path) -> None:
    """Write the network of a bundle as a TensorFlow Lite file.

    Args:
        bundle: Folder that holds ``model.py`` and ``weights.safetensors``.
        facts: Content of ``preprocessing.json``.
        target: File to write.

    Raises:
        ExportError: The conversion failed.
    """
    given = (bundle / "model.py", bundle / "weights.safetensors", target, facts["channels"], facts["resolution"])
    _run(os.environ[VARIABLE], "convert_script.py", given, target)


def write_int8_tflite(source: Path, images: npt.NDArray[np.float32], target: Path) -> None:
    """Write the int8 network of a TensorFlow Lite file.

    Args:
        source: The float file.
        images: Training images that it is calibrated on, of shape (count, channels, side, side).
        target: File to write.

    Raises:
        ExportError: That failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "images.npy", images)
        _run(sys.executable, "quantize_script.py", (source, Path(folder) / "images.npy", target), target)


def _run(python: str, script: str, arguments: tuple[object, ...], target: Path) -> None:
    paths = [str(one.resolve()) if isinstance(one, Path) else str(one) for one in arguments]
    done = _called([python, "-I", "-W", "ignore", str(_SCRIPTS / script), *paths])
    if done.returncode or not target.is_file():
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = lines[-1] if lines else f"exit code {done.returncode}"
        raise ExportError(f"{target.name}: cannot be written: {said[:_SAID]}")


def _called(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    except OSError as error:
        raise ExportError(f"{VARIABLE}: {command[0]}: cannot be run: {error.strerror}") from None
