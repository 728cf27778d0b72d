"""A folder as it lies on disk: images by what Pillow reads, and what lies beside them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from nas.errors import DataError

_LEFTOVERS = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information"}
    | {".ds_store", ".git", ".gitignore", ".gitattributes", ".gitkeep", ".ipynb_checkpoints", ".nomedia", ".cache"}
)
"""What other programs leave behind, in lower case; files that begin with ``._`` are such too."""

_NOT_IMAGES = frozenset({"BUFR", "EPS", "FPX", "GRIB", "HDF5", "MPEG", "PDF", "WMF"})
"""Formats that Pillow knows by name but does not decode by itself."""


class Stamp(NamedTuple):
    """What changes when a file is replaced, even by one of the same size and time.

    Attributes:
        size: In bytes.
        modified: When the content was changed, in nanoseconds, as the user may set it.
        changed: When the file was changed in any way, in nanoseconds; nobody sets that.
        inode: Of the file.
    """

    size: int
    modified: int
    changed: int
    inode: int


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp of a file."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class ImageFile(NamedTuple):
    """An image file, and what changes when it is replaced."""

    path: Path
    stamp: Stamp


@dataclass(slots=True)
class Folder:
    """A folder and all below it.

    Attributes:
        path: Of the folder.
        images: Files directly inside that Pillow reads, by their endings.
        folders: Folders directly inside, by name.
        others: Number of other files directly inside, by ending.
        hidden: Number of hidden files and folders directly inside, without what other programs leave behind.
        dead_links: Number of links directly inside that lead nowhere.
    """

    path: Path
    images: list[ImageFile] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    dead_links: int = 0

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    def walk(self) -> Iterator[Folder]:
        """Yield this folder and all below it."""
        yield self
        for folder in self.folders.values():
            yield from folder.walk()

    def has_images(self) -> bool:
        """Tell whether there are images, at any depth."""
        return any(folder.images for folder in self.walk())

    def nested(self) -> list[Folder]:
        """Return the folders directly inside that have images at any depth."""
        return [folder for folder in self.folders.values() if folder.has_images()]

    def all_images(self) -> list[ImageFile]:
        """Return the images at any depth, in the order of their paths."""
        images = [image for folder in self.walk() for image in folder.images]
        return sorted(images, key=lambda image: image.path)

    def all_others(self) -> Counter[str]:
        """Return the number of other files at any depth, by ending."""
        return sum((folder.others for folder in self.walk()), Counter[str]())


@cache
def endings() -> frozenset[str]:
    """Return the endings of the files that Pillow decodes, in lower case."""
    Image.init()
    return frozenset(
        ending
        for ending, kind in Image.registered_extensions().items()
        if kind in Image.OPEN and kind not in _NOT_IMAGES
    )


def scan(path: Path) -> Folder:
    """Return a folder as it lies on disk; links to folders are followed.

    Raises:
        DataError: A folder cannot be read, or a link leads back to a folder above it.
    """
    return _scan(path, above=())


def _scan(path: Path, *, above: tuple[tuple[int, int], ...]) -> Folder:
    found = Folder(path)
    try:
        status = os.stat(path)
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise DataError(f"{path}: is a link that leads back to a folder above it; remove it")
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.lower() in _LEFTOVERS or entry.name.startswith("._"):
                    continue
                if entry.name.startswith("."):
                    found.hidden += 1
                elif entry.is_dir():
                    found.folders[entry.name] = _scan(path / entry.name, above=(*above, here))
                else:
                    _add_file(found, path, entry)
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read: {error.strerror}") from None
    return found


def _add_file(found: Folder, path: Path, entry: os.DirEntry[str]) -> None:
    try:
        status = entry.stat()
    except FileNotFoundError:
        found.dead_links += 1
        return
    ending = os.path.splitext(entry.name)[1].lower()
    if ending in endings() and entry.is_file():
        found.images.append(ImageFile(path / entry.name, stamp_of(status)))
    else:
        found.others[ending] += 1
