"""What ``preprocessing.json`` of a bundle must say before an image is prepared by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nas.data.preprocess import FORMAT
from nas.errors import BundleError

MOST_PIXELS = 4096
"""Of a side of an image that is prepared."""
MOST_CLASSES = 100_000
_LARGEST = 1e12  # of a mean, in units of pixels
_CHANNELS = {"rgb": 3, "hsv": 3, "ycbcr": 3, "grayscale": 1}
_NAMES = ("channels", "classes", "color", "mean", "resolution", "size", "std")


def read_facts(
    content: bytes, where: object, *, most_pixels: int = MOST_PIXELS, known: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """Return what ``preprocessing.json`` holds, as ``checked_facts`` does.

    Args:
        content: Of the file.
        where: Named in errors.
        most_pixels: As for ``checked_facts``.
        known: What is true unless the file says otherwise.

    Raises:
        BundleError: It is not JSON, or not what an image can be prepared by.
    """
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: is not JSON ({str(error)[:200]})") from None
    if isinstance(facts, dict):
        facts = {**(known or {}), **facts}
    return checked_facts(facts, where, most_pixels=most_pixels)


def checked_facts(facts: object, where: object, *, most_pixels: int = MOST_PIXELS) -> Mapping[str, Any]:
    """Return the content of ``preprocessing.json`` if an image can be prepared by it.

    Args:
        facts: The content.
        where: Named in errors.
        most_pixels: Of the stored side and of the resolution.

    Raises:
        BundleError: Something is missing, out of bounds or of a later version.
    """
    if not isinstance(facts, dict):
        raise BundleError(f"{where}: must be an object with {', '.join(_NAMES)}")
    if (written := facts.get("format", 1)) != FORMAT:  # the first had no number
        raise BundleError(f"{where}: has format {str(written)[:20]}, this version reads {FORMAT}; export it again")
    if missing := [name for name in _NAMES if name not in facts]:
        raise BundleError(f"{where}: lacks {', '.join(missing)}; export it again")
    wrong = next((name for name, holds in _checks(facts, most_pixels).items() if not holds), None)
    if wrong is not None:
        raise BundleError(f"{where}: {wrong} cannot be {repr(facts[wrong])[:60]}; export it again")
    return facts


def _checks(facts: Mapping[str, Any], most_pixels: int) -> dict[str, bool]:
    """Tell of each value whether it can be."""
    channels, classes, color = facts["channels"], facts["classes"], facts["color"]
    names = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    return {
        "color": isinstance(color, str) and color in _CHANNELS,
        "channels": isinstance(color, str) and _is_whole(channels) and channels == _CHANNELS.get(color),
        "classes": names and 2 <= len(classes) <= MOST_CLASSES and len(set(classes)) == len(classes),
        **{name: _is_whole(facts[name]) and 1 <= facts[name] <= most_pixels for name in ("size", "resolution")},
        "mean": _are_numbers(facts["mean"], channels),
        "std": _are_numbers(facts["std"], channels) and min(facts["std"]) > 1 / _LARGEST,
    }


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_numbers(values: object, count: object) -> bool:
    """Tell whether a value is a list of so many numbers of a size that can be computed with."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        and all(-_LARGEST < value < _LARGEST for value in values)  # no NaN either
    )
