"""Files of a bundle that a stranger may have written; what is read of networks is in ``nas/models/reading.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.architecture.shapes import LARGEST
from nas.architecture.spec import Architecture
from nas.data.facts import read_facts
from nas.errors import ExportError
from nas.export import manifest
from nas.files import read_bounded
from nas.models.reading import (
    LARGEST_DESCRIPTION,
    LARGEST_HEADER,
    LARGEST_TEXT,
    MEBIBYTE,
    bytes_of_tensors,
    expected_tensors,
    read_weights,
    require_runnable,
)

__all__ = [
    "Contents",
    "LARGEST_DESCRIPTION",
    "LARGEST_HEADER",
    "LARGEST_TEXT",
    "MEBIBYTE",
    "bytes_of_tensors",
    "expected_tensors",
    "read_preprocessing",
    "read_weights",
    "require_runnable",
]


class Contents:
    """The files of a bundle, each read once and held against the manifest."""

    def __init__(self, folder: Path, known: manifest.Manifest) -> None:
        """Read nothing yet."""
        self.folder = folder
        self._known = known
        self._read: dict[str, bytes] = {}

    def __contains__(self, name: str) -> bool:
        """Tell whether the manifest names a file."""
        return name in self._known.files

    def read(self, name: str, *, most: int) -> bytes:
        """Return what a file holds.

        Raises:
            ExportError: It is not what the manifest says, or has more than ``most`` bytes.
        """
        if name not in self._read:
            content = read_bounded(self.folder / name, most=most)
            if manifest.facts_of(content) != self._known.files[name]:
                raise ExportError(f"{self.folder / name}: is not what was written (its checksum differs)")
            self._read[name] = content
        return self._read[name]

    def text(self, name: str, *, most: int = LARGEST_TEXT) -> str:
        """Return what a file holds as text."""
        return self.read(name, most=most).decode("utf-8", errors="replace")


def read_preprocessing(content: bytes, architecture: Architecture, *, source: Path) -> dict[str, Any]:
    """Read ``preprocessing.json``.

    Raises:
        ExportError: It is not what fits the architecture.
    """
    facts = dict(read_facts(content, source, most_pixels=LARGEST))
    given = len(facts["classes"]), facts["channels"], facts["resolution"]
    if given != (architecture.num_classes, architecture.in_channels, architecture.resolution):
        raise ExportError(f"{source}: is not how images are prepared for the network of architecture.json")
    return facts
