"""Architectures as JSON files; reading one names the path of any mistake in it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nas.architecture.spec import Architecture, to_document
from nas.errors import ConfigError
from nas.schema import explain

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
    try:
        return _parse(text, source)
    except RecursionError:
        raise ConfigError(f"{source}: is nested too deeply") from None


def _parse(text: str, source: str | Path) -> Architecture:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{source}, line {error.lineno}: not valid JSON: {error.msg}") from None
    except ValueError:  # Python reads no number of more than some thousand digits
        raise ConfigError(f"{source}: contains a number that is too long") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{source}: must be a JSON object, but is a {type(document).__name__}")
    version = document.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise ConfigError(f"{source}: format_version is {version!r}; this version of nas reads {FORMAT_VERSION}")
    try:
        return _adapter().validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error)}") from None


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
    try:
        return architecture_from_json(Path(path).read_text(encoding="utf-8"), source=path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a UTF-8 text file"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
