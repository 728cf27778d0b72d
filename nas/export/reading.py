"""Files of a bundle that a stranger may have written; what is read of networks is in ``nas/models/reading.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.architecture.shapes import LARGEST
from nas.architecture.spec import Architecture
from nas.data.facts import read_facts
from nas.errors import ExportError
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
