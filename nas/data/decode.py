"""Encoded images become one array, once: upright, eight bits, one size, one number of channels."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from nas.data.boundary import decoding, warnings_told
from nas.data.cache import Entry, read_entry, write_entry
from nas.data.digests import decoder_versions, digest
from nas.data.preprocess import Header, Pixels, read_header, stored_pixels
from nas.data.types import PARTS, ImageSet, Part, StoredColor
from nas.errors import DataError

_NOT_AN_IMAGE = "not an image that can be read"
_ALMOST_BLACK = 32  # of 255: images of many bits whose brightest pixel is darker use a part of their range


class Encoded(NamedTuple):
    """An image as it is stored, its part and its class.

    ``content`` is a file, the bytes of one, or a function that gives one of these when they are wanted.
    """

    name: str
    content: Path | bytes | Callable[[], Path | bytes]
    part: Part
    label: int

    def stored(self) -> Path | bytes:
        """Return the file or the bytes."""
        return self.content() if callable(self.content) else self.content

    def open(self) -> Path | BytesIO:
        """Return what Pillow opens."""
        stored = self.stored()
        return BytesIO(stored) if isinstance(stored, bytes) else stored

    def digest(self) -> int:
        """Return the digest of the bytes; 0 where they cannot be read, which whoever decodes them says."""
        try:
            stored = self.stored()
            return digest(stored if isinstance(stored, bytes) else stored.read_bytes())
        except OSError:
            return 0


def decode_once(
    key: str, encoded: Sequence[Encoded], *, size: int | None, color: StoredColor | None, skip_broken: bool
) -> Entry:
    """Return decoded images from the cache, decoding them where they are not there.

    Args:
        key: Of the cache's entry; stands for the images and the options.
        encoded: Part by part, in the order of ``PARTS``.
        size: Height and width to keep in pixels; the median shorter side of all images where none is given.
        color: What to keep; without it, one channel where every image is grayscale, else three.
        skip_broken: Leave out images that cannot be read; ``broken`` of the facts are their indices.

    Raises:
        DataError: An image cannot be read (named), or the cache cannot be written.
    """
    return read_entry(key) or _decode_all(key, encoded, size=size, color=color, skip_broken=skip_broken)


def parts_of(entry: Entry, encoded: Sequence[Encoded], classes: tuple[str, ...], *, source: object) -> dict[str, Any]:
    """Return what an entry holds, as keywords of ``Source``.

    Raises:
        DataError: A class has no training image left.
    """
    broken = set(entry.facts["broken"])
    kept = [one for index, one in enumerate(encoded) if index not in broken]
    labels = np.array([one.label for one in kept], np.int64)
    parts: dict[str, Any] = {}
    start = 0
    for part in PARTS:
        stop = start + sum(one.part == part for one in kept)
        if stop > start:
            parts[part] = ImageSet(entry.images[start:stop], labels[start:stop], digests=entry.digests[start:stop])
        start = stop
    lost = {one.label for one in encoded if one.part == "train"} - set(labels[: len(parts.get("train", ()))].tolist())
    if lost:
        name = classes[min(lost)]
        raise DataError(f"{source}: class {name!r} has no images left after the broken ones are skipped")
    facts = entry.facts
    return {**parts, "skipped": len(broken), "notes": tuple(facts["notes"]), "decoders": facts["decoders"]}


def _decode_all(
    key: str, files: Sequence[Encoded], *, size: int | None, color: StoredColor | None, skip_broken: bool
) -> Entry:
    """Decode every image into the cache; ``broken`` of the facts are the indices of those left out."""
    with warnings_told() as told, ThreadPoolExecutor() as pool:
        contents = np.fromiter(pool.map(Encoded.digest, files), np.uint64, len(files))
        headers = list(pool.map(_header, files))
        good = [header for header in headers if isinstance(header, Header)]
        broken = [index for index, header in enumerate(headers) if isinstance(header, DataError)]
        # an image may be broken beyond its header, so decode before the number is known
        if broken and not skip_broken:
            raise _refusal(headers[broken[0]], others=len(broken) - 1)
        if not good:
            raise DataError(f"{files[0].name}: cannot be read, and neither can any other image")
        size = size or round(statistics.median(header.shorter_side for header in good))
        gray = color == "grayscale" or (color is None and all(header.gray for header in good))
        mode: Literal["L", "RGB"] = "L" if gray else "RGB"
        readable = [index for index in range(len(files)) if index not in set(broken)]
        if skip_broken:
            checked = pool.map(lambda index: _decode(files[index], size, mode), readable)
            late = [index for index, image in zip(readable, checked, strict=True) if isinstance(image, DataError)]
            broken, readable = sorted(broken + late), [index for index in readable if index not in set(late)]
        images = pool.map(lambda index: _decode(files[index], size, mode), readable)
        shape = (len(readable), size, size, len(mode))
        facts = {"broken": broken, "decoders": decoder_versions()}
        notes = list[str]()
        bits = [header.bits for index in readable if isinstance(header := headers[index], Header)]
        noted = _noted(_or_raise(images), bits, notes)
        return write_entry(key, shape, noted, contents[readable], lambda: {**facts, "notes": [*notes, *told.lines()]})


def _or_raise(images: Iterable[Pixels | DataError]) -> Iterator[Pixels]:
    for image in images:
        if isinstance(image, DataError):
            raise _refusal(image)
        yield image


def _noted(images: Iterable[Pixels], bits: Sequence[int], notes: list[str]) -> Iterator[Pixels]:
    """Yield images, and at the end add to the notes where the brightness of those of many bits is not known."""
    brightest: dict[int, list[int]] = defaultdict(list)
    for image, depth in zip(images, bits, strict=True):
        if depth > 8:
            brightest[depth].append(int(image.max()))
        yield image
    for depth, levels in sorted(brightest.items()):
        which = f"{len(levels)} image{'s' * (len(levels) > 1)} of {depth} bits"
        if depth > 16:
            notes.append(
                f"{which}: no file says how many of them are used, so 0 to 65535 became black to white; the brightest"
                f" pixel is {max(levels)} of 255"
            )
        elif max(levels) < _ALMOST_BLACK:
            notes.append(f"{which}: almost black, the brightest pixel is {max(levels)} of 255")


def _refusal(error: object, *, others: int = 0) -> DataError:
    """Return the error of a broken image with how many others there are, as far as that is known, and a way out."""
    more = f"; {others} more cannot be read either" if others else ""
    return DataError(f"{error}{more}; data.skip_broken: true leaves such images out")


def _header(encoded: Encoded) -> Header | DataError:
    """Return what an image's header says, or why it cannot be read."""
    try:
        with decoding(encoded.name, _NOT_AN_IMAGE):
            return read_header(encoded.open())
    except DataError as error:
        return error


def _decode(encoded: Encoded, size: int, mode: Literal["L", "RGB"]) -> Pixels | DataError:
    """Return an image of ``size`` by ``size``, or why it cannot be read."""
    try:
        with decoding(encoded.name, _NOT_AN_IMAGE):
            return stored_pixels(encoded.open(), size=size, mode=mode)
    except DataError as error:
        return error
