"""Read a folder of images, one sub-folder per class, into one array that is decoded once and cached."""

from __future__ import annotations

from pathlib import Path

from nas.data.cache import cache_key
from nas.data.decode import Encoded, decode_once, parts_of
from nas.data.layout import lay_out
from nas.data.tree import scan
from nas.data.types import Source, StoredColor
from nas.errors import DataError


def read_folder(
    folder: Path, *, size: int | None = None, color: StoredColor | None = None, skip_broken: bool = False
) -> Source:
    """Read every image below ``folder``, its class being the name of the first sub-folder.

    Where there are sub-folders ``train`` and perhaps ``val`` and ``test``, or others of their common names, the classes
    lie in those. Single folders around all are passed. Images are turned
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
    found = lay_out(scan(folder))
    encoded, stamps = list[Encoded](), list[tuple[object, ...]]()
    for part, by_class in found.images.items():
        for name, images in by_class.items():
            label = found.classes.index(name)
            encoded += [Encoded(str(image.path), image.path, part, label) for image in images]
            stamps += [(part, label, str(image.path.relative_to(folder)), *image.stamp) for image in images]
    key = cache_key("folder", str(folder.resolve()), stamps, size, color, skip_broken)
    entry = decode_once(key, encoded, size=size, color=color, skip_broken=skip_broken)
    read = parts_of(entry, encoded, found.classes, source=folder)
    return Source(folder.name, found.classes, True, **{**read, "notes": (*found.notes, *read["notes"])})
