"""Architectures as JSON files; reading one names the path of any mistake in it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from nas.architecture.spec import Architecture, to_document
from nas.documents import parse_document, read_text

FORMAT_VERSION = 1
"""It is raised when readers of this version could misread a newer file."""


def architecture_to_json(architecture: Architecture) -> str:
    """Return an architecture as indented JSON with its format version."""
    return json.dumps({"format_version": FORMAT_VERSION, **to_document(architecture)}, indent=1) + "\n"


def architecture_from_json(text: str, *, source: str | Path = "architecture") -> Architecture:
    """Read what ``architecture_to_json`` wrote.

    Args:
        text: One JSON document.
        source: Named in errors.

    Raises:
        ConfigError: Not JSON, of a later format version, a field that is missing, unknown or of the wrong type, or
            a network that cannot exist.
    """
    return parse_document(text, _adapter(), version=FORMAT_VERSION, source=source)


@cache
def _adapter() -> TypeAdapter[Architecture]:
    """Return what reads networks; to make one takes thirty times as long as to read a network."""
    return TypeAdapter(Architecture)


def load_architecture(path: str | Path) -> Architecture:
    """Read an architecture file.

    Args:
        path: Path of a JSON file, such as the ``architecture.json`` of an export.

    Raises:
        ConfigError: The file cannot be read, or does not describe a network.
    """
    return architecture_from_json(read_text(path), source=path)
