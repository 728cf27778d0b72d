"""Digests tell images that have changed from those of before, and images that are there twice."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from importlib.metadata import version

import numpy as np

from nas.data.types import NAMES, Digests, Images, ImageSet, Part
from nas.records import ImageDigests


def digest(content: bytes | memoryview) -> int:
    """Return 64 bits of some bytes."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def digests_of(contents: Iterable[bytes | memoryview]) -> Digests:
    """Return the digest of each, uint64 of shape (count,)."""
    return np.fromiter((digest(content) for content in contents), np.uint64)


def with_digests(images: ImageSet) -> ImageSet:
    """Return images that nothing had to decode with the digests of their pixels."""
    if images.digests is not None:
        return images
    whole: Images = np.ascontiguousarray(images.images)
    pixels = digests_of(image.data for image in whole)
    return ImageSet(images.stored, images.labels, images.indices, np.stack([pixels, pixels], axis=1))


def decoder_versions() -> dict[str, str]:
    """Return the versions of what decodes images, by name."""
    return {name.removesuffix("-explorer"): version(name) for name in ("nas-explorer", "numpy", "pillow")}


def identity_of(parts: Mapping[Part, ImageSet], *, fingerprint: str, decoders: Mapping[str, str]) -> ImageDigests:
    """Return what tells these images from others, wherever they lie: their order and labels count, their names do not.

    The first half of ``content`` is of the images alone, in any order; the second half is of their parts, labels and
    order too.
    """
    given = {part: images.digests for part, images in parts.items() if images.digests is not None}
    images = sum(int(digests[:, 0].sum(dtype=np.uint64)) for digests in given.values()) % 2**64
    return ImageDigests(
        fingerprint=fingerprint,
        content=f"{images >> 32:08x}{_in_order(parts, given, 0)[:8]}",
        pixels=_in_order(parts, given, 1),
        decoders=dict(decoders),
    )


def _in_order(parts: Mapping[Part, ImageSet], digests: Mapping[Part, Digests], column: int) -> str:
    whole = hashlib.blake2b(digest_size=8)
    for part, of_part in digests.items():
        whole.update(part.encode() + parts[part].labels.astype("<i8").tobytes())
        whole.update(np.ascontiguousarray(of_part[:, column]).astype("<u8").tobytes())
    return whole.hexdigest()


def equal_images(parts: Mapping[Part, ImageSet], classes: tuple[str, ...]) -> list[str]:
    """Return one line if equal images are in two parts, and one if they are in two classes."""
    known = {part: images.digests[:, 0] for part, images in parts.items() if images.digests is not None}
    shared = {
        f"{NAMES[first]} and {NAMES[second]}": int(np.isin(known[second], known[first]).sum())
        for first, second in itertools.combinations(known, 2)
    }
    found = [f"{count:,} in {both}" for both, count in shared.items() if count]
    notes = [f"equal images are in two parts: {', '.join(found)}"] if found else []
    if not known:
        return notes
    pairs = np.unique(
        np.stack(
            [np.concatenate(list(known.values())), np.concatenate([parts[p].labels for p in known]).astype(np.uint64)]
        ),
        axis=1,
    )
    again = np.flatnonzero(pairs[0, 1:] == pairs[0, :-1])
    if len(again):
        both = " and ".join(repr(classes[int(pairs[1, again[0] + offset])]) for offset in (0, 1))
        number = len(np.unique(pairs[0, again]))
        subject = "1 image is" if number == 1 else f"{number:,} images are"
        notes.append(f"{subject} there under two classes, {'the first' if number > 1 else 'namely'} under {both}")
    return notes
