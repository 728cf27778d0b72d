"""From an image file to a network's input, with NumPy and Pillow alone.

A study prepares its images with this file, and every export holds a copy of it: what is served is what was trained.
There are two steps. ``stored_pixels`` reads a file into the eight bits that a study keeps, ``network_input`` does with
them what training does on its device. ``prepare`` does both.

Depth: a sample of more than eight bits is scaled by the bits that the file says it has, so that the largest number they
can hold is white. No file says how many of 32 bits are used, and a full range of them is unheard of: of 32-bit integers
0 to 65535 count, like 16 bits. Floating-point numbers have no white at all and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from os import PathLike
from typing import IO, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

File: TypeAlias = str | PathLike[str] | IO[bytes]
Pixels: TypeAlias = npt.NDArray[np.uint8]

FORMAT = 1
"""Version of what ``preprocessing.json`` says; one without a number is of the first."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation."""

_BITS_PER_SAMPLE = 258  # TIFF's tag


class Header(NamedTuple):
    """What a file says of its image before it is decoded.

    Attributes:
        shorter_side: In pixels.
        gray: Whether it has no colours.
        bits: Of a sample.
    """

    shorter_side: int
    gray: bool
    bits: int


def prepare(file: File | bytes, facts: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Return the input of a network for one image.

    Args:
        file: An image file, or the bytes of one.
        facts: The content of ``preprocessing.json``.

    Returns:
        float32 of shape (1, channels, resolution, resolution).

    Raises:
        ValueError: The image cannot be read, and Pillow's other errors.
    """
    opened = BytesIO(file) if isinstance(file, bytes) else file
    pixels = stored_pixels(opened, size=facts["size"], mode="L" if facts["channels"] == 1 else "RGB")
    return network_input(pixels, facts)


def read_header(file: File) -> Header:
    """Return what a file says of its image.

    Raises:
        ValueError: The image cannot be read, and Pillow's other errors.
    """
    with _opened(file) as image:
        gray = image.mode in {"1", "L", "LA", "La", "I"} or image.mode.startswith("I;16")
        return Header(min(image.size), gray, _bits(image))


def stored_pixels(file: File, *, size: int, mode: Literal["L", "RGB"]) -> Pixels:
    """Read an image: upright, eight bits, transparent on white, and of that the central square, resized (bicubic).

    Args:
        file: An image file; of an animation, the first picture counts.
        size: Height and width in pixels.
        mode: Gray or colours.

    Returns:
        uint8 of shape (size, size, channels).

    Raises:
        ValueError: The image cannot be read, and Pillow's other errors.
    """
    with _opened(file) as image:
        bits = _bits(image)
        image.load()
        plain = _upright(_eight_bits(image, bits), image).convert(mode)
        fitted = ImageOps.fit(plain, (size, size), Image.Resampling.BICUBIC)
        return np.asarray(fitted, np.uint8).reshape(size, size, len(mode))


def network_input(pixels: Pixels, facts: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Return the input of a network for the pixels of one image.

    Args:
        pixels: uint8 of shape (size, size, channels).
        facts: The content of ``preprocessing.json``: ``resolution`` in pixels, ``color``, and ``mean`` and ``std`` of
            each channel in units of the pixel value 0 to 1.

    Returns:
        float32 of shape (1, channels, resolution, resolution).
    """
    levels = resize(pixels, facts["resolution"]).astype(np.float32)
    image = _SPACES[facts["color"]](levels / np.float32(255))
    standard = (image - np.float32(facts["mean"])) / np.float32(facts["std"])
    return np.ascontiguousarray(standard.transpose(2, 0, 1)[None], np.float32)


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize an image of shape (height, width, channels), bilinear with antialiasing, as torch does on a device."""
    if pixels.shape[:2] == (size, size):
        return pixels
    down, across = (_weights(length, size) for length in pixels.shape[:2])
    resized = np.einsum("yh,hwc->ywc", down, pixels.astype(np.float64), optimize=True)
    resized = np.einsum("xw,ywc->yxc", across, resized, optimize=True)
    return np.asarray(np.rint(resized).clip(0, 255), np.uint8)


def _weights(length: int, size: int) -> npt.NDArray[np.float64]:
    """Return what each of ``length`` pixels of a line adds to each of ``size`` pixels, of shape (size, length)."""
    scale = length / size
    centers = scale * (np.arange(size) + 0.5)
    distances = np.abs(np.arange(length) + 0.5 - centers[:, None]) / max(scale, 1)
    weights = (1 - distances).clip(min=0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)


@contextmanager
def _opened(file: File) -> Iterator[Image.Image]:
    with Image.open(file) as image:
        if image.mode == "F":
            raise ValueError("floating-point pixels: save it with 8 or 16 bits")
        yield image


def _bits(image: Image.Image) -> int:
    """Return how many bits a sample has, as the file says; to be asked before the image is loaded."""
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        return int(max(tags.get(_BITS_PER_SAMPLE, (1,))))
    if isinstance(image, PngImageFile) and image.tile:
        found = re.search(r";(\d+)", str(image.tile[0][3]))  # such as RGB;16B
        return int(found[1]) if found else 8
    return 16 if image.mode.startswith("I") else 8


def _upright(image: Image.Image, original: Image.Image) -> Image.Image:
    """Return an image turned as EXIF says; EXIF that cannot be read does not lose the picture."""
    try:
        turn = _TURNS.get(original.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow raises what its parts raise
        turn = None
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image, bits: int) -> Image.Image:
    """Return an image of eight bits for each channel, transparent pixels on white."""
    clear = image.info.get("transparency")
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.int64)
        used = min(max(bits, 8), 16)
        pixels = (levels.clip(0, 2**used - 1) >> (used - 8)).astype(np.uint8)
        return Image.fromarray(pixels if clear is None else np.where(levels == clear, np.uint8(255), pixels))
    if image.mode == "LAB":
        return image.convert("RGB")
    if not image.has_transparency_data:
        return image
    if isinstance(image, PngImageFile) and image.mode in {"L", "RGB"} and bits != 8 and clear is not None:
        # Pillow gives the samples in eight bits, but their transparent value as in the file
        eight = np.asarray(clear) >> 8 if bits == 16 else np.asarray(clear) * 255 // (2**bits - 1)
        image.info["transparency"] = eight.item() if eight.ndim == 0 else tuple(eight.tolist())
    colored = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colored.size, "white"), colored)


def _as_stored(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return image


def _hsv(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Convert RGB in 0 to 1 to hue (0 to 1 for the whole circle), saturation and value."""
    red, green, blue = np.moveaxis(image, -1, 0)
    value = image.max(axis=-1)
    spread = value - image.min(axis=-1)
    divisor = np.where(spread == 0, np.float32(1), spread)
    green_or_blue = np.where(green >= blue, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    sixths = np.where((red >= green) & (red >= blue), (green - blue) / divisor, green_or_blue)
    hue = sixths / 6 % 1
    hue[hue == 1] = 0  # of a tiny negative one
    return np.stack([hue, spread / (value + np.float32(1e-8)), value], axis=-1).astype(np.float32)


def _ycbcr(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Convert RGB in 0 to 1 to ITU-R BT.601, full range, in 0 to 1."""
    red, _, blue = np.moveaxis(image, -1, 0)
    luma = image @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.stack([luma, (blue - luma) * 0.564 + 0.5, (red - luma) * 0.713 + 0.5], axis=-1).astype(np.float32)


_SPACES = {"rgb": _as_stored, "grayscale": _as_stored, "hsv": _hsv, "ycbcr": _ycbcr}
