"""Files that are written whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from nas.errors import ExportError


def is_table(path: str | Path) -> bool:
    """Tell whether a path is that of a table of trainings, as ``nas table build`` writes it."""
    return Path(path).suffix in (".csv", ".gz")


def refuse_folder(target: Path) -> None:
    """Raise ExportError where a path that is to be a file is a folder; what takes long asks before it begins."""
    if not target.name or os.path.isdir(target):
        raise ExportError(f"{target}: is a folder, not a file")


def write_whole(target: Path, make: Callable[[], bytes]) -> None:
    """Write a file; an earlier one is still there where that fails.

    Args:
        target: Path of the file; its folder is made where it is missing.
        make: Returns what it holds.

    Raises:
        ExportError: The file cannot be written.
    """
    refuse_folder(target)
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(make())
        os.replace(partial, target)
    except OSError as error:
        raise ExportError(f"{target}: cannot be written: {error.strerror}") from None
