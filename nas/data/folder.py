"""Read a folder of images, one sub-folder per class, into one array."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nas.errors import DataError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def read_folder(folder: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], tuple[str, ...]]:
    """Read every image below ``folder``, its class being the name of the first sub-folder.

    Images are turned upright by their EXIF tag, resized (bicubic) so that the shorter side is the median shorter side
    of all, and cropped to the central square. Where every image is grayscale there is one channel, else three.

    Args:
        folder: Holds one sub-folder per class, images at any depth inside.

    Returns:
        Images, uint8 of shape (count, size, size, channels); labels, int64 of shape (count,); class names, sorted.

    Raises:
        DataError: No such folder, no images, fewer than two classes, or an image that cannot be read (named).
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: {'is a file, not a folder' if folder.exists() else 'no such folder'} of images")
    found = {sub.name: _images_below(sub) for sub in sorted(folder.iterdir()) if sub.is_dir() and sub.name[0] != "."}
    classes = tuple(name for name, paths in found.items() if paths)
    if not classes:
        raise DataError(f"{folder}: holds no images in sub-folders (known: {', '.join(sorted(SUFFIXES))})")
    if len(classes) == 1:
        raise DataError(f"{folder}: holds one class only ({classes[0]!r}); each class needs a sub-folder of its own")
    paths = [path for name in classes for path in found[name]]
    labels = np.repeat(np.arange(len(classes)), [len(found[name]) for name in classes])
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(_header, paths))
        size = round(statistics.median(short for short, _ in headers))
        mode = "L" if all(gray for _, gray in headers) else "RGB"
        images = np.empty((len(paths), size, size, len(mode)), np.uint8)
        for i, image in enumerate(pool.map(lambda path: _decode(path, size, mode), paths)):
            images[i] = image
    return images, labels.astype(np.int64), classes


def _images_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if _is_image(path))


def _is_image(path: Path) -> bool:
    """Tell images from what other programs leave beside them, such as ``._1.png``."""
    return path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file()


def _header(path: Path) -> tuple[int, bool]:
    """Return the shorter side in pixels, and whether the image is grayscale."""
    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":
                raise ValueError("16 and 32 bits per pixel are not supported, save it with 8")
            return min(image.size), image.mode in {"1", "L"}
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not an image that can be read ({error})") from None


def _decode(path: Path, size: int, mode: str) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert(mode)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not an image that can be read ({error})") from None
    fitted = ImageOps.fit(upright, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(fitted, np.uint8).reshape(size, size, len(mode))
