"""What is read of a bundle: data of a stranger, of which nothing is run but the operators of its network.

Its files are read once, within bounds, and what was checked is what is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nas.data.facts import read_facts
from nas.errors import BundleError, ConfigError
from nas.export.names import INT8_ONNX, INT8_TFLITE, PIXELS_ONNX, TFLITE
from nas.files import read_bounded

MODEL = "model.onnx"
FACTS = "preprocessing.json"
FORMATS = {
    "onnx": MODEL,
    "onnx-int8": INT8_ONNX,
    "onnx-uint8": PIXELS_ONNX,
    "tflite": TFLITE,
    "tflite-int8": INT8_TFLITE,
}
"""Files of a bundle that can be run, by the names that users give them."""

_MOST_NETWORK, _MOST_FACTS = 2**31 - 1, 2**24  # bytes; the first is the most that an ONNX file can have


class Bundle(NamedTuple):
    """A network and what its input needs.

    Attributes:
        name: Where it was read, for people.
        model: What a file that can be run holds.
        facts: What ``nas.data.preprocess`` asks for, checked.
        file: Name of that file.
    """

    name: str
    model: bytes
    facts: Mapping[str, Any]
    file: str = MODEL

    @property
    def source(self) -> str:
        """The file that is run, for people."""
        return f"{self.name}/{self.file}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of the logits."""
        return tuple(self.facts["classes"])


def read_bundle(folder: str | os.PathLike[str], *, format: str = "onnx") -> Bundle:
    """Read a bundle, as ``nas export`` writes it.

    Args:
        folder: Of the bundle.
        format: Which of ``FORMATS`` is to be run.

    Raises:
        BundleError: It is none, is damaged, lacks the format, or a later version wrote it.
        ConfigError: There is no such format.
    """
    path = Path(folder)
    if format not in FORMATS:
        raise ConfigError(f"format {format!r} is not known; allowed: {', '.join(FORMATS)}")
    if not path.is_dir():
        raise BundleError(
            f"{path}: {'is a file, not a bundle' if path.exists() else 'no such folder; name a bundle, or STUDY#N'}"
        )
    if (path / "result.json").is_file() and not (path / MODEL).exists():
        raise BundleError(f"{path}: is what nas train wrote; export it first: nas export {path} -o FOLDER")
    where = path / FACTS
    facts = read_facts(read_bounded(where, most=_MOST_FACTS), where)
    file = FORMATS[format]
    held = [name for name, one in FORMATS.items() if os.path.lexists(path / one)]
    if format not in held and held:
        raise BundleError(f"{path / file}: is missing; this bundle holds the formats {', '.join(held)}")
    return Bundle(str(path), read_bounded(path / file, most=_MOST_NETWORK), facts, file)
