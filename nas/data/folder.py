"""Read a folder of images, one sub-folder per class, into one array that is decoded once and cached."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nas.data.cache import cache_key
from nas.data.decode import Encoded, decode_once, parts_of
from nas.data.types import PARTS, Part, Source, StoredColor
from nas.errors import DataError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class _File(NamedTuple):
    """An image file, its part and its class."""

    path: Path
    part: Part
    label: int


def read_folder(
    folder: Path, *, size: int | None = None, color: StoredColor | None = None, skip_broken: bool = False
) -> Source:
    """Read every image below ``folder``, its class being the name of the first sub-folder.

    Where there are sub-folders ``train`` and perhaps ``val`` and ``test``, the classes lie in those. Images are turned
    upright by their EXIF tag, transparent pixels become white, 16 bits become 8; then they are resized (bicubic) so
    that the shorter side is ``size``, and cropped to the central square. All of this is done once and cached.

    Args:
        folder: Holds one sub-folder per class, images at any depth inside.
        size: Height and width to keep in pixels; the median shorter side of all images where none is given.
        color: What to keep; without it, one channel where every image is grayscale, else three.
        skip_broken: Leave out images that cannot be read instead of refusing them.

    Raises:
        DataError: No such folder, no images, fewer than two classes, a class that training images lack, or an image
            that cannot be read (named).
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: {'is a file, not a folder of images' if folder.exists() else 'no such folder'}")
    files, classes = _find(folder)
    stats = [(str(f.path.relative_to(folder)), (s := f.path.stat()).st_size, s.st_mtime_ns) for f in files]
    key = cache_key("folder", str(folder.resolve()), stats, size, color, skip_broken)
    encoded = [Encoded(str(file.path), file.path, file.part, file.label) for file in files]
    entry = decode_once(key, encoded, size=size, color=color, skip_broken=skip_broken)
    return Source(folder.name, classes, True, **parts_of(entry, encoded, len(classes), source=folder))


def _find(folder: Path) -> tuple[list[_File], tuple[str, ...]]:
    """Return all files, part by part, and the classes."""
    roots = {part: _sub_folder(folder, names) for part, names in PARTS.items()}
    train = roots["train"]
    if train is None or any(_is_image(path) for path in train.iterdir()) or not _classes_below(train):
        roots = {"train": folder, "validation": None, "test": None}  # a class may be named train
    found = {part: {} if root is None else _classes_below(root) for part, root in roots.items()}
    classes = tuple(found["train"])
    if not classes:
        raise DataError(f"{folder}: has no images in sub-folders (known: {', '.join(sorted(SUFFIXES))})")
    if len(classes) == 1:
        raise DataError(f"{folder}: has only one class ({classes[0]!r}); each class needs its own sub-folder")
    for part, by_class in found.items():
        if roots[part] is not None and not by_class:
            raise DataError(f"{roots[part]}: has no images; delete this folder to take {part} images from the others")
        for name in by_class.keys() - set(classes):
            raise DataError(f"{roots[part]}: has a class {name!r} that {roots['train']} does not have")
    files = [
        _File(path, part, classes.index(name))
        for part, by_class in found.items()
        for name, paths in by_class.items()
        for path in paths
    ]
    return files, classes


def _sub_folder(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _classes_below(folder: Path) -> dict[str, list[Path]]:
    """Return the images of each class that has any, by name."""
    subs = [sub for sub in sorted(folder.iterdir()) if sub.is_dir() and sub.name[0] != "."]
    found = {sub.name: sorted(path for path in sub.rglob("*") if _is_image(path)) for sub in subs}
    return {name: paths for name, paths in found.items() if paths}


def _is_image(path: Path) -> bool:
    """Tell images from what other programs leave beside them, such as ``._1.png``."""
    return path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file()
