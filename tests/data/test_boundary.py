"""Whatever a file of the user's holds, a reader gives images or one line that names it."""

from __future__ import annotations

import logging
import random
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import scaled
from PIL import ExifTags, Image, ImageOps

from nas.data import decode, preprocess
from nas.data.binary import read_cifar, read_idx, read_npz
from nas.data.boundary import decoding, warnings_told
from nas.data.decode import Encoded
from nas.data.folder import read_folder
from nas.data.hub import _content
from nas.errors import DataError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
ORIENTATION = ExifTags.Base.Orientation


def picture(mode: str = "RGB", size: tuple[int, int] = (12, 8)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encode(image: Image.Image, kind: str, *, orientation: int | None = None) -> bytes:
    exif, file = Image.Exif(), BytesIO()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    image.save(file, kind, **({"exif": exif} if orientation is not None else {}))
    return file.getvalue()


def mutated(content: bytes, generator: random.Random) -> bytes:
    """Return a file with some bytes changed, cut off, doubled or taken out."""
    changed = bytearray(content)
    for _ in range(generator.randint(1, 6)):
        place = generator.randrange(max(1, len(changed)))
        what = generator.random()
        if what < 0.7:
            changed[place : place + 1] = bytes([generator.randrange(256)])
        elif what < 0.8:
            del changed[place:]
        else:
            length = generator.randint(1, 8)
            changed[place : place + length] = b"" if what < 0.9 else changed[place : place + length] * 2
    return bytes(changed)


@pytest.mark.endurance
@pytest.mark.filterwarnings("ignore")  # of Pillow, about files that are odd
@pytest.mark.parametrize("kind", FORMATS)
def test_a_broken_image_is_one_line_and_nothing_else(kind: str) -> None:
    generator = random.Random(kind)
    turned = 6 if kind in ("JPEG", "PNG", "TIFF", "WEBP") else None
    whole = encode(picture(), kind, orientation=turned)
    for number in range(scaled(1_000, 150_000)):
        one = Encoded(f"some/{number}", mutated(whole, generator), "train", 0)
        for found in (decode._header(one), decode._decode(one, 6, "RGB")):
            if isinstance(found, DataError):
                assert str(found).startswith(f"some/{number}: not an image that can be read (")
                assert "\n" not in str(found) and " object at 0x" not in str(found)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_orientation_is_turned_as_pillow_turns_it(kind: str, orientation: int) -> None:
    with Image.open(BytesIO(encode(picture(), kind, orientation=orientation))) as image:
        image.load()
        upright = preprocess._upright(image, image)
        assert np.array_equal(np.asarray(upright), np.asarray(ImageOps.exif_transpose(image)))


def test_exif_that_cannot_be_read_does_not_lose_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(image: Image.Image) -> Image.Exif:
        raise struct.error("unpack requires a buffer of 8 bytes")

    monkeypatch.setattr(Image.Image, "getexif", broken)
    found = decode._decode(Encoded("a.png", encode(picture(size=(8, 8)), "PNG"), "train", 0), 8, "RGB")
    assert np.array_equal(found, np.asarray(picture(size=(8, 8))))


@pytest.mark.parametrize(
    "error", [struct.error("short"), TypeError("a"), AttributeError(), SyntaxError("b"), zlib.error("c")]
)
def test_whatever_a_decoder_raises_names_the_file(error: Exception) -> None:
    with pytest.raises(DataError, match=r"^a\.png: cannot be read \(\w+\)$"), decoding("a.png", "cannot be read"):
        raise error
    with pytest.raises(MemoryError), decoding("a.png", "cannot be read"):
        raise MemoryError


@pytest.mark.parametrize("image", [None, {"bytes": None, "path": None}, {"bytes": b"", "path": None}])
def test_a_row_without_an_image_cannot_be_read(image: dict[str, object] | None) -> None:
    stored = _content([{"picture": image}], 0, "picture")
    found = decode._header(Encoded("hf 'pets', train image 3", stored, "train", 0))
    assert str(found) == "hf 'pets', train image 3: not an image that can be read (cannot identify image file)"


def test_broken_images_are_counted_with_a_way_out(tmp_path: Path) -> None:
    for name, good in (("cat", 2), ("dog", 3)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(3):
            content = encode(picture(), "PNG") if number < good else b"no image"
            (tmp_path / "pets" / name / f"{number}.png").write_bytes(content)
    (tmp_path / "pets" / "dog" / "9.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path / "pets")
    told = str(caught.value)
    assert "cat/2.png: not an image that can be read (" in told
    assert told.endswith("; 1 more cannot be read either; data.skip_broken: true leaves such images out")


@pytest.mark.endurance
@pytest.mark.filterwarnings("ignore")
def test_a_broken_archive_is_one_line_and_nothing_else(tmp_path: Path) -> None:
    generator = random.Random(0)
    np.savez_compressed(tmp_path / "whole.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.arange(4) % 2)
    npz = (tmp_path / "whole.npz").read_bytes()
    idx = struct.pack(">4B3I", 0, 0, 8, 3, 4, 8, 8) + bytes(4 * 64)
    packed = zlib.compressobj(wbits=31)
    images = packed.compress(idx) + packed.flush()
    labels = struct.pack(">4BI", 0, 0, 8, 1, 4) + bytes([0, 1, 0, 1])
    for number in range(scaled(60, 5_000)):
        (tmp_path / "a.npz").write_bytes(mutated(npz, generator))
        for stem in ("train", "t10k"):
            (tmp_path / f"{stem}-images-idx3-ubyte.gz").write_bytes(mutated(images, generator))
            (tmp_path / f"{stem}-labels-idx1-ubyte").write_bytes(mutated(labels, generator) if number % 2 else labels)
        (tmp_path / "batches.meta.txt").write_bytes(mutated(b"cat\ndog\n", generator))
        for name in ("data_batch_1.bin", "test_batch.bin"):
            (tmp_path / name).write_bytes(bytes([number % 3]) + bytes(3072 - number % 2))
        for read, path in ((read_npz, tmp_path / "a.npz"), (read_idx, tmp_path), (read_cifar, tmp_path)):
            try:
                read(path)
            except DataError as error:
                assert "\n" not in str(error) and str(error).startswith(str(tmp_path))


def test_what_decoders_warn_of_is_told_once_with_the_number_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)  # of 96
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "pets" / name / f"{number}.png").write_bytes(encode(picture(), "PNG"))
    for _ in range(2):  # decoded, and from the cache
        (line,) = read_folder(tmp_path / "pets").notes
        assert line.startswith("the decoder warns of 4 files, such as ") and "decompression bomb" in line
    assert capfd.readouterr().err == ""


def test_warnings_and_logs_of_libraries_do_not_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings_told() as told:
        for number in range(3):
            with decoding(f"{number}.tif", "cannot be read"):
                warnings.warn(f"/usr/lib/PIL/x.py: odd tag {number}", UserWarning, stacklevel=1)
                logging.getLogger("PIL.TiffImagePlugin").error("more samples than %d", number)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert told.lines() == [
        "the decoder warns of 3 files, such as 0.tif: more samples than N",
        "the decoder warns of 3 files, such as 0.tif: … odd tag N",
    ]
    assert capfd.readouterr().err == ""
