"""JSON documents: read from files of ours into values, every mistake in one line, and compared path by path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from nas.errors import ConfigError
from nas.schema import explain

ValueT = TypeVar("ValueT")

MOST_CHARACTERS = 1 << 24
"""Of a document that is read; the architecture of the largest preset takes some thirty thousand."""


def flatten(value: Any, key: str = "") -> dict[str, Any]:
    """Return a document as one value for each path, such as ``search.spaces[0].name``."""
    if isinstance(value, Mapping):
        return {k: v for name, item in value.items() for k, v in flatten(item, f"{key}.{name}".lstrip(".")).items()}
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in flatten(item, f"{key}[{i}]").items()}
    return {key: value}


def read_text(path: str | Path) -> str:
    """Return the text of a file, which may be a stranger's.

    Raises:
        ConfigError: It cannot be read, or has more than ``MOST_CHARACTERS``.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a UTF-8 text file"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(f"{path}: has more than {MOST_CHARACTERS:,} characters, which no file of ours has")
    return text


def parse_document(text: str, adapter: TypeAdapter[ValueT], *, version: int, source: str | Path) -> ValueT:
    """Read a JSON object that holds its format version and the fields of a value.

    Raises:
        ConfigError: Not JSON, of another format version, or a field that is missing, unknown or wrong.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ConfigError(f"{source}: must be a JSON object, but is a {type(document).__name__}")
        given = document.pop("format_version", None)
        if given != version:
            raise ConfigError(f"{source}: format_version is {given!r}; this version of nas reads {version}")
        return adapter.validate_json(json.dumps(document), strict=True)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{source}, line {error.lineno}: not valid JSON: {error.msg}") from None
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error)}") from None
    except RecursionError:
        raise ConfigError(f"{source}: is nested too deeply") from None
    except ConfigError:
        raise
    except ValueError:  # Python reads no number of more than some thousand digits
        raise ConfigError(f"{source}: contains a number that is too long") from None
