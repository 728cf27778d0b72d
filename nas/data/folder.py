"""Read a folder of images, one sub-folder per class, into one array that is decoded once and cached."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nas.data.cache import Entry, cache_key, read_entry, write_entry
from nas.data.types import ImageSet, Source
from nas.errors import DataError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

Color: TypeAlias = Literal["rgb", "grayscale"]
Part: TypeAlias = Literal["train", "validation", "test"]

_PARTS: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


class _File(NamedTuple):
    """An image file, its part and its class."""

    path: Path
    part: Part
    label: int


class _Header(NamedTuple):
    """What is known of an image before it is decoded."""

    shorter_side: int
    gray: bool


def read_folder(
    folder: Path, *, size: int | None = None, color: Color | None = None, skip_broken: bool = False
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
        raise DataError(f"{folder}: {'is a file, not a folder' if folder.exists() else 'no such folder'} of images")
    files, classes = _find(folder)
    stats = [(str(f.path.relative_to(folder)), (s := f.path.stat()).st_size, s.st_mtime_ns) for f in files]
    key = cache_key("folder", str(folder.resolve()), stats, size, color, skip_broken)
    entry = read_entry(key) or _decode_all(key, files, size=size, color=color, skip_broken=skip_broken)
    broken = set(entry.facts["broken"])
    kept = [file for index, file in enumerate(files) if index not in broken]
    labels = np.array([file.label for file in kept], np.int64)
    parts: dict[Part, ImageSet] = {}
    start = 0
    for part in _PARTS:  # files lie in this order
        count = sum(file.part == part for file in kept)
        if count:
            parts[part] = ImageSet(entry.images[start : start + count], labels[start : start + count])
        start += count
    if "train" not in parts or len(np.unique(parts["train"].labels)) < len(classes):
        raise DataError(f"{folder}: a class has no image left once the broken ones are skipped")
    return Source(
        folder.name, classes, True, parts["train"], parts.get("validation"), parts.get("test"), skipped=len(broken)
    )


def _find(folder: Path) -> tuple[list[_File], tuple[str, ...]]:
    """Return all files, part by part, and the classes."""
    roots = {part: _sub_folder(folder, names) for part, names in _PARTS.items()}
    train = roots["train"]
    if train is None or any(_is_image(path) for path in train.iterdir()) or not _classes_below(train):
        roots = {"train": folder, "validation": None, "test": None}  # a class may be named train
    found = {part: {} if root is None else _classes_below(root) for part, root in roots.items()}
    classes = tuple(found["train"])
    if not classes:
        raise DataError(f"{folder}: holds no images in sub-folders (known: {', '.join(sorted(SUFFIXES))})")
    if len(classes) == 1:
        raise DataError(f"{folder}: holds one class only ({classes[0]!r}); each class needs a sub-folder of its own")
    for part, by_class in found.items():
        for name in by_class.keys() - set(classes):
            raise DataError(f"{roots[part]}: holds a class {name!r} that {roots['train']} lacks")
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


def _decode_all(key: str, files: list[_File], *, size: int | None, color: Color | None, skip_broken: bool) -> Entry:
    """Decode every file into the cache; ``broken`` of the facts are the indices of those left out."""
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(lambda file: _header(file.path), files))
        good = [header for header in headers if isinstance(header, _Header)]
        broken = [index for index, header in enumerate(headers) if isinstance(header, DataError)]
        # an image may be broken beyond its header, so decode before the number is known
        if broken and not skip_broken:
            raise headers[broken[0]]  # type: ignore[misc]
        if not good:
            raise DataError(f"{files[0].path.parent}: not one image can be read")
        size = size or round(statistics.median(header.shorter_side for header in good))
        mode = {"grayscale": "L", "rgb": "RGB", None: "L" if all(header.gray for header in good) else "RGB"}[color]
        readable = [index for index in range(len(files)) if index not in set(broken)]
        if skip_broken:
            checked = pool.map(lambda index: _decode(files[index].path, size, mode), readable)
            late = [index for index, image in zip(readable, checked, strict=True) if isinstance(image, DataError)]
            broken, readable = sorted(broken + late), [index for index in readable if index not in set(late)]
        images = pool.map(lambda index: _decode(files[index].path, size, mode), readable)
        shape = (len(readable), size, size, len(mode))
        return write_entry(key, shape, _or_raise(images), {"broken": broken})


def _or_raise(images: Iterable[npt.NDArray[np.uint8] | DataError]) -> Iterator[npt.NDArray[np.uint8]]:
    for image in images:
        if isinstance(image, DataError):
            raise image
        yield image


def _header(path: Path) -> _Header | DataError:
    """Return what an image's header says, or why it cannot be read."""
    try:
        with Image.open(path) as image:
            if image.mode == "F":
                raise ValueError("floating-point pixels: save it with 8 or 16 bits")
            return _Header(min(image.size), image.mode in {"1", "L", "LA", "I"} or image.mode.startswith("I;16"))
    except _UNREADABLE as error:
        return DataError(f"{path}: not an image that can be read ({error})")


def _decode(path: Path, size: int, mode: str) -> npt.NDArray[np.uint8] | DataError:
    """Return an image of ``size`` by ``size``, or why it cannot be read."""
    try:
        with Image.open(path) as image:
            upright = _eight_bits(ImageOps.exif_transpose(image)).convert(mode)
    except _UNREADABLE as error:
        return DataError(f"{path}: not an image that can be read ({error})")
    fitted = ImageOps.fit(upright, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(fitted, np.uint8).reshape(size, size, len(mode))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of 8 bits for each channel, transparent pixels on white."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        colored = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colored.size, "white"), colored)
    return image
