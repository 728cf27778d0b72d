"""Files that are written whole, or not at all; and files of strangers, read once and within bounds."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from nas.errors import BundleError, ExportError


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


def read_bounded(path: Path, *, most: int) -> bytes:
    """Return what a file of a bundle holds, if it is one and no link.

    Raises:
        BundleError: It is missing, a link, no file, larger than ``most`` bytes, or cannot be read.
    """
    flags = (os.O_RDONLY, *(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")))
    try:
        if path.is_symlink():
            raise BundleError(f"{path}: is a link, which could lead out of the bundle; copy what it leads to (cp -rL)")
        with os.fdopen(os.open(path, sum(flags)), "rb") as file:  # a pipe is not waited for
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path}: is not a file")
            if status.st_size > most:
                raise BundleError(f"{path}: has {status.st_size:,} bytes; at most {most:,} are expected of it")
            return file.read(most)
    except FileNotFoundError:
        raise BundleError(f"{path}: is missing; a bundle is what nas export writes") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
