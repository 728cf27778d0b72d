"""The one preprocessing: what a study stores and a network is given, equal with and without torch."""

from __future__ import annotations

import ast
import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import torch
from PIL import Image

from nas.architecture.space import load_space
from nas.data import preprocess
from nas.data.batches import _resize, standardisation, to_device
from nas.data.decode import Encoded, decode_once
from nas.data.sources import DataConfig, Dataset, load_data
from nas.data.types import ImageSet
from nas.models.build import build_model

CPU = torch.device("cpu")


def pattern(height: int, width: int) -> np.ndarray:
    """Return colours with alpha that are the same on every machine, uint8 (height, width, 4)."""
    y, x = np.mgrid[:height, :width]
    gray = (x * 5 + y * 3) % 256
    return np.stack([gray, gray[::-1], x * y % 256, x * 7 % 256], axis=-1).astype(np.uint8)


def ordinary() -> dict[str, Image.Image]:
    colors = pattern(37, 53)
    y, x = np.mgrid[:37, :53]
    rgb = Image.fromarray(np.ascontiguousarray(colors[..., :3]))
    return {
        "L": Image.fromarray(np.ascontiguousarray(colors[..., 0])),
        "RGB": rgb,
        "RGBA": Image.fromarray(colors),
        "LA": Image.fromarray(colors).convert("LA"),
        "1": Image.fromarray(colors[..., 0] > 128),
        "P": rgb.quantize(16, dither=Image.Dither.NONE),
        "I;16": Image.fromarray((x * 1200 + y * 31).astype(np.uint16)),
    }


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def stored(content: bytes, mode: Any = "L", size: int = 24) -> np.ndarray:
    return preprocess.stored_pixels(io.BytesIO(content), size=size, mode=mode)


@pytest.mark.parametrize(
    ("name", "gray", "colors"),
    [
        ("L", "f8ba417c", "873f5da0"),
        ("RGB", "1d7a5482", "537e6833"),
        ("RGBA", "0abb2996", "6c0d9951"),
        ("LA", "2f68eb15", "e0499163"),
        ("1", "8611b0f8", "04d36706"),
        ("P", "c64de99f", "72caabf8"),
        ("I;16", "b65e94d0", "e1622ee9"),
    ],
)
def test_pixels_of_ordinary_images_never_change(name: str, gray: str, colors: str) -> None:
    content = encode(ordinary()[name])
    digests = [hashlib.blake2b(stored(content, mode).tobytes(), digest_size=4).hexdigest() for mode in ("L", "RGB")]
    assert digests == [gray, colors]


def test_it_stands_alone() -> None:
    tree = ast.parse(Path(preprocess.__file__).read_text())
    names = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    roots = {str(name).split(".")[0] for name in names}
    assert roots == {"__future__", "collections", "contextlib", "io", "numpy", "os", "PIL", "re", "typing"}


def twelve_bits(levels: np.ndarray) -> bytes:
    """Return a TIFF file of 12 bits a sample, which Pillow reads but does not write."""
    height, width = levels.shape
    bits = np.unpackbits(levels.astype(">u2").view(np.uint8).reshape(height, width, 2), axis=2).reshape(height, -1, 16)
    packed = np.packbits(bits[:, :, 4:].reshape(height, -1), axis=1).tobytes()
    tags = ((256, width), (257, height), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, height))
    fields = [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags]
    fields.append(struct.pack("<HHII", 279, 4, 1, len(packed)))
    offset = 8 + len(packed)
    return struct.pack("<2sHI", b"II", 42, offset) + packed + struct.pack("<H", 9) + b"".join(fields) + b"\0" * 4


def png(pixels: bytes, *, size: int, bits: int, kind: int, clear: bytes) -> bytes:
    """Return a square PNG file with a transparent value; ``pixels`` without the filter byte of each line."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    step = len(pixels) // size
    lines = b"".join(b"\0" + pixels[start : start + step] for start in range(0, len(pixels), step))
    header = struct.pack(">IIBBBBB", size, size, bits, kind, 0, 0, 0)
    body = (
        chunk(b"IHDR", header)
        + (chunk(b"tRNS", clear) if clear else b"")
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_twelve_bits_are_scaled_by_what_the_file_says() -> None:
    levels = np.arange(64).reshape(8, 8) * 65
    content = twelve_bits(levels)
    assert preprocess.read_header(io.BytesIO(content)) == (8, True, 12)
    assert np.array_equal(stored(content, size=8)[..., 0], levels >> 4)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(struct.pack(">4H", 0, 256, 40000, 65535), size=2, bits=16, kind=0, clear=struct.pack(">H", 256)), 1),
        (png(bytes([0b00010000, 0b10110000]), size=2, bits=2, kind=0, clear=b"\0\1"), 1),
        (png(bytes([0x05, 0xAF]), size=2, bits=4, kind=0, clear=b"\0\x05"), 1),
        (
            png(
                struct.pack(">12H", 0, 0, 0, 256, 512, 0, 9, 9, 9, 65535, 65535, 65535),
                size=2,
                bits=16,
                kind=2,
                clear=struct.pack(">3H", 256, 512, 0),
            ),
            1,
        ),
    ],
    ids=["16 bits gray", "2 bits gray", "4 bits gray", "16 bits RGB"],
)
def test_the_transparent_value_is_white_at_every_depth(content: bytes, expected: int) -> None:
    pixels = stored(content, "RGB", size=2).reshape(4, 3)
    assert np.all(pixels[expected] == 255) and np.all(pixels[0] == 0)


def test_deep_alpha_is_on_white() -> None:
    clear = struct.pack(">8H", 0, 0, 0, 65535, 65535, 65535, 32768, 65535)
    content = png(clear, size=2, bits=16, kind=4, clear=b"")
    assert stored(content, size=2).ravel().tolist() == [255, 0, 255, 128]


def decoded(*contents: bytes) -> Any:
    encoded = [Encoded(f"{i}", content, "train", i) for i, content in enumerate(contents)]
    return decode_once("0" * 32, encoded, size=8, color=None, skip_broken=False)


def test_deep_images_that_come_out_black_are_told() -> None:
    dark, bright = np.full((8, 8), 200, np.uint16), np.full((8, 8), 40000, np.uint16)
    assert decoded(encode(Image.fromarray(dark))).facts["notes"] == [
        "1 image of 16 bits: almost black, the brightest pixel is 0 of 255"
    ]
    encoded = [Encoded("x", encode(Image.fromarray(levels)), "train", 0) for levels in (dark, bright)]
    assert decode_once("1" * 32, encoded, size=8, color=None, skip_broken=False).facts["notes"] == []


def test_32_bits_are_told_since_no_file_says_which_are_used() -> None:
    levels = Image.fromarray(np.full((8, 8), 255, np.int32))
    (note,) = decoded(encode(levels, "TIFF"), encode(levels, "TIFF")).facts["notes"]
    assert note == (
        "2 images of 32 bits: no file says how many of them are used, so 0 to 65535 became black to white; the"
        " brightest pixel is 0 of 255"
    )


def test_notes_of_a_folder_reach_the_user() -> None:
    for name in ("a", "b"):
        Path("deep", name).mkdir(parents=True)
        for index in range(5):
            Image.fromarray(np.full((8, 8), index, np.int32)).save(f"deep/{name}/{index}.tif")
    note, *_ = load_data(DataConfig(folder=Path("deep"))).notes
    assert note.startswith("10 images of 32 bits: no file says")


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I")
SIZES = ((1, 1), (1, 90), (200, 3), (31, 47), (64, 64))


def in_mode(mode: str, size: tuple[int, int]) -> Image.Image:
    colors = pattern(size[1], size[0])
    if mode in ("I", "I;16"):
        return Image.fromarray((colors[..., 0].astype(np.int64) * 257).astype(np.int32 if mode == "I" else np.uint16))
    image = Image.fromarray(colors)
    return image.convert(mode) if mode in ("RGBA", "LA") else image.convert("RGB").convert(mode)


def odd_images() -> Iterator[tuple[str, bytes]]:
    """Yield over a hundred images of every kind, by name."""
    for mode in MODES:
        for size in SIZES:
            kind = "TIFF" if mode in ("CMYK", "YCbCr", "LAB", "I") else "PNG"
            if mode != "YCbCr" or int(PIL.__version__.split(".")[0]) >= 13:  # earlier ones cannot read what they wrote
                yield f"{mode} {size}", encode(in_mode(mode, size), kind)
    colors = Image.fromarray(pattern(40, 60))
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        yield f"turn {turn} JPEG", encode(colors.convert("RGB"), "JPEG", exif=exif)
        yield f"turn {turn} PNG", encode(colors, "PNG", exif=exif)
        yield f"turn {turn} 16 bits", encode(in_mode("I;16", (40, 60)), "PNG", exif=exif)
        yield f"turn {turn} TIFF", encode(colors.convert("RGB"), "TIFF", exif=exif)
    frames = [Image.fromarray(pattern(40, 60 + step)[:, step:]) for step in range(3)]
    for kind in ("GIF", "WEBP", "PNG"):
        yield f"animated {kind}", encode(frames[0], kind, save_all=True, append_images=frames[1:])
    palette = colors.convert("RGB").quantize(8)
    yield "palette with a transparent entry", encode(palette, "PNG", transparency=3)
    yield "palette with alphas", encode(palette, "PNG", transparency=bytes(range(0, 240, 30)))
    yield "GIF with a transparent entry", encode(palette, "GIF", transparency=2)
    yield "gray with a transparent level", encode(colors.convert("L"), "PNG", transparency=60)
    yield "RGB with a transparent colour", encode(colors.convert("RGB"), "PNG", transparency=(0, 111, 0))
    for subsampling in range(3):
        yield f"JPEG {subsampling}", encode(colors.convert("RGB"), "JPEG", subsampling=subsampling, quality=60)
    yield "CMYK JPEG", encode(in_mode("CMYK", (60, 40)), "JPEG")
    yield "12 bits", twelve_bits(np.arange(64).reshape(8, 8) * 65)
    yield "2 bits", png(bytes([0b00010000, 0b10110000]), size=2, bits=2, kind=0, clear=b"\0\1")
    for kind in ("BMP", "PPM", "WEBP"):
        yield kind, encode(colors.convert("RGB"), kind)


def facts_of(dataset: Dataset, resolution: int) -> dict[str, Any]:
    standard = standardisation(dataset)
    return {
        "channels": dataset.channels,
        "color": dataset.color,
        "size": dataset.native_size,
        "resolution": resolution,
        "mean": standard.mean,
        "std": standard.std,
    }


@pytest.mark.parametrize(
    ("color", "size", "resolution"),
    [(None, 48, 32), (None, 20, 33), ("grayscale", 40, 17), ("hsv", 48, 32), ("ycbcr", 31, 48)],
)
def test_what_is_served_is_what_was_trained(color: Any, size: int, resolution: int) -> None:
    odd = dict(odd_images())
    assert len(odd) > 95
    for index, content in enumerate(odd.values()):
        path = Path("odd", "ab"[index % 2], f"{index:03}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    config = DataConfig(folder=Path("odd"), size=size, color=color, validation=0.1)
    dataset = load_data(config)
    names = sorted(Path("odd").rglob("*.png"))
    entry = next(Path(".cache").glob("*/images.npy"))
    kept = np.load(entry)  # in the order of the files
    facts = facts_of(dataset, resolution)
    trained = next(
        to_device(
            ImageSet(kept, np.zeros(len(kept), np.int64)),
            resolution=resolution,
            standard=standardisation(dataset),
            device=CPU,
        ).in_order(len(kept))
    ).images
    mode: Any = "L" if facts["channels"] == 1 else "RGB"
    pixels = [preprocess.stored_pixels(path, size=size, mode=mode) for path in names]
    assert all(np.array_equal(one, other) for one, other in zip(pixels, kept, strict=True))
    served = np.concatenate([preprocess.prepare(path.read_bytes(), facts) for path in names])
    assert served.shape == tuple(trained.shape) and served.dtype == np.float32
    resized = np.stack([preprocess.resize(one, resolution) for one in pixels]).astype(int)
    plain = on_the_device(kept, resolution)
    assert np.abs(resized - plain).max() <= 1
    levels = 255 * np.array(facts["std"])[:, None, None] * np.abs(served - trained.numpy())
    assert levels[np.all(resized == plain, axis=(1, 2, 3))].max() < 0.01
    network = load_space("resnet_small").architecture(
        width=0.5, depth=0.5, resolution=resolution, num_classes=9, in_channels=facts["channels"]
    )
    torch.manual_seed(0)
    model = build_model(network).eval()
    with torch.inference_mode():
        assert torch.equal(model(torch.from_numpy(served)).argmax(1), model(trained).argmax(1))


def on_the_device(kept: np.ndarray, resolution: int) -> np.ndarray:
    """Return what is on the device before it is standardised."""
    return _resize(torch.from_numpy(kept), resolution).numpy().astype(int)


@pytest.mark.parametrize(("before", "after"), [(8, 8), (1, 5), (5, 1), (300, 37), (24, 23), (23, 24), (64, 128)])
def test_resizing_is_torchs_within_a_level(before: int, after: int) -> None:
    pixels = np.random.default_rng(before).integers(0, 256, (4, before, before, 3), np.uint8)
    expected = on_the_device(pixels, after)
    given = np.stack([preprocess.resize(one, after) for one in pixels]).astype(int)
    assert np.abs(given - expected).max() <= 1 and (given != expected).mean() < 0.01


@pytest.mark.parametrize("mode", ["La", "PA", "RGBa", "LAB", "HSV", "CMYK"])
def test_every_mode_becomes_gray_and_colours(mode: str) -> None:
    eight = preprocess._eight_bits(Image.new(mode, (2, 2)), 8)
    assert {eight.convert(wanted).size for wanted in ("L", "RGB")} == {(2, 2)}


def test_floating_point_is_refused_in_one_line() -> None:
    content = encode(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF")
    for read in (preprocess.read_header, lambda file: preprocess.stored_pixels(file, size=4, mode="L")):
        with pytest.raises(ValueError, match="floating-point pixels: save it with 8 or 16 bits"):
            read(io.BytesIO(content))
