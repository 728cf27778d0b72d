"""A folder that is replaced whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nas.errors import ExportError

LEFT_BY_OTHERS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "__pycache__"})
"""What file browsers, and Python, leave in a folder: no reason not to replace it."""


def require_replaceable(target: Path, *, names: Sequence[str], earlier: Sequence[str], force: bool) -> None:
    """Require that a folder is new, empty, or one that was written here before and may be replaced.

    Args:
        target: The folder.
        names: Files of a folder that is written now.
        earlier: Those of them that every earlier version wrote.
        force: Whether an earlier export may be replaced.

    Raises:
        ExportError: It holds other files, or cannot be replaced as a whole.
    """
    if target.exists() and not target.is_dir():
        raise ExportError(f"{target}: is a file, not a folder")
    with _told(target):
        _restore(target)
        present = {path.name for path in target.iterdir()} - LEFT_BY_OTHERS if target.exists() else set()
    if target.exists() and (target.resolve() == Path.cwd() or os.path.ismount(target)):
        what = "a mount point" if os.path.ismount(target) else "the folder you work in"
        raise ExportError(f"{target}: is {what}, which cannot be replaced; name a folder in it")
    if present and not set(earlier) <= present <= set(names):
        first = min(present - set(names) or present)
        raise ExportError(
            f"{target}: contains other files ({first!r}); choose a new or empty folder, or an earlier export"
        )
    if present and not force:
        raise ExportError(f"{target}: holds an earlier export; choose another folder, or replace it with --force")


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Give a new folder to write into, and put it in the place of ``target`` at the end.

    It lies beside ``target`` until then. Whatever fails or ends the process, there is the old folder or the new one,
    whole: an old one that a killed process had moved aside is put back by the next.

    Raises:
        ExportError: A folder cannot be written.
    """
    place = target.resolve()
    new = place.with_name(f".{place.name}.{os.getpid()}.new")
    try:
        with _told(target):
            place.parent.mkdir(parents=True, exist_ok=True)
            new.mkdir()
            yield new
            _swap(new, place)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(f"{target}: cannot be written: {error.strerror}") from None


def _swap(new: Path, place: Path) -> None:
    aside = _aside(place)
    try:
        if place.exists():
            os.rename(place, aside)
        os.rename(new, place)
    except BaseException:  # Ctrl-C too
        _restore(place)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _restore(target: Path) -> None:
    """Put back a folder that was moved aside and whose place is empty; remove one that was replaced."""
    place = target.resolve()
    aside = _aside(place)
    if aside.exists() and not place.exists():
        os.rename(aside, place)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(place: Path) -> Path:
    return place.with_name(f".{place.name}.replaced-by-nas")
