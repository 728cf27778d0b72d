"""Class numbers as few bytes: which class each image has, or was given."""

from __future__ import annotations

import zlib

import numpy as np

from nas.records import ClassNumbers


def pack(labels: ClassNumbers) -> bytes:
    """Return labels, whole numbers from 0 to 65,535 of shape (images,), as bytes."""
    return zlib.compress(labels.astype("<u2").tobytes(), 9)


def unpack(packed: bytes) -> ClassNumbers:
    """Return what ``pack`` was given."""
    return np.frombuffer(zlib.decompress(packed), "<u2").astype(np.int64)
