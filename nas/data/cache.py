"""Decoded images on disk, so that files are decoded once.

An entry is a folder: ``images.npy``, uint8 and opened memory-mapped, ``digests.npy`` and ``facts.json``. It is written
beside its place and renamed into it, so that it is there whole or not at all; of two processes that write the same
entry the later finds it there and uses it. Entries lie in ``$NAS_CACHE``, else in ``nas`` of the user's cache folder,
and may be deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nas.data.digests import digest
from nas.data.types import Digests, Images
from nas.errors import DataError

FORMAT_VERSION = 2
"""Part of every key: an entry of another version is another entry."""

_STALE_SECONDS = 24 * 3600  # what a killed process left behind


class Entry(NamedTuple):
    """What an entry holds.

    Attributes:
        images: uint8 of shape (count, size, size, channels), memory-mapped and read-only.
        digests: uint64 of shape (count, 2): of each image as it was stored, and of its pixels.
        facts: Plain JSON data.
    """

    images: Images
    digests: Digests
    facts: dict[str, Any]


def cache_folder() -> Path:
    """Return the folder of all entries.

    Raises:
        DataError: None is named, and the user has no home.
    """
    if given := os.environ.get("NAS_CACHE"):
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nas"
    except RuntimeError:
        raise DataError("there is no home folder for the cache of images; set NAS_CACHE to a folder") from None


def cache_key(*parts: object) -> str:
    """Return the name of the entry that plain JSON data describe."""
    text = json.dumps([FORMAT_VERSION, *parts], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read_entry(key: str) -> Entry | None:
    """Return an entry, or None where there is none or a damaged one."""
    folder = cache_folder() / key
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        digests = np.load(folder / "digests.npy", allow_pickle=False)
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, EOFError):
        return None
    whole = images.dtype == np.uint8 and digests.dtype == np.uint64 and digests.shape == (len(images), 2)
    return Entry(images, digests, facts) if whole and isinstance(facts, dict) else None


def write_entry(
    key: str, shape: tuple[int, ...], images: Iterable[Images], contents: Digests, facts: Callable[[], dict[str, Any]]
) -> Entry:
    """Write an entry image by image and return it.

    Args:
        key: Of the entry.
        shape: Of all images together, (count, size, size, channels).
        images: As many as ``shape`` says, uint8.
        contents: Digest of each image as it was stored, uint64 of shape (count,).
        facts: Gives plain JSON data once all images are written.

    Raises:
        DataError: The cache cannot be written, for example because the disk is full; nothing is left behind.
    """
    root = cache_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_stale(root)
        with _partial(root, key) as partial:
            pixels = []
            # written, not memory-mapped: a full disk is then an error and not a signal that kills the process
            with (partial / "images.npy").open("wb") as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for image in images:
                    whole = np.ascontiguousarray(image).data
                    file.write(whole)
                    pixels.append(digest(whole))
            np.save(partial / "digests.npy", np.stack([contents, np.array(pixels, np.uint64)], axis=1))
            (partial / "facts.json").write_text(json.dumps(facts()), encoding="utf-8")
            _move(partial, root / key)
    except OSError as error:
        raise DataError(
            f"{root}: the cache cannot be written: {error.strerror}; set NAS_CACHE to another folder"
        ) from None
    entry = read_entry(key)
    if entry is None:
        raise DataError(f"{root / key}: the cache was written but cannot be read; delete it")
    return entry


@contextmanager
def _partial(root: Path, key: str) -> Iterator[Path]:
    folder = root / f".{key}.{os.getpid()}.{time.monotonic_ns()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(partial: Path, target: Path) -> None:
    """Rename a finished entry into its place, unless another process has just done so."""
    if target.exists() and read_entry(target.name) is None:
        shutil.rmtree(target, ignore_errors=True)  # damaged
    try:
        os.rename(partial, target)
    except OSError:
        if not target.is_dir():
            raise


def _remove_stale(root: Path) -> None:
    for folder in root.glob(".*.*.*"):
        try:
            stale = time.time() - folder.stat().st_mtime > _STALE_SECONDS
        except OSError:  # another process was faster
            continue
        if stale:
            shutil.rmtree(folder, ignore_errors=True)
