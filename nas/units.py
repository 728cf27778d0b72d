"""Counts with units, as people write them: 400M, 1.5G, 20k."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator

_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_LARGEST = 10**18
_PATTERN = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([kKMGT]?)\s*")


def sentence(words: str) -> str:
    """Return words as a sentence, with a capital and a full stop."""
    return f"{words[:1].upper()}{words[1:]}."


def parse_count(text: object) -> int:
    """Read a count such as ``400M``, ``1.5G``, ``20k`` or ``123456``.

    Args:
        text: A whole number, or text with an optional unit k, M, G or T (powers of 1,000).

    Returns:
        The count.

    Raises:
        ValueError: The text is no count, is negative, or is not a whole number once multiplied out.
    """
    match = None if isinstance(text, bool) else _PATTERN.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a count; write for example 400M, 1.5G or 20k")
    unit = "k" if match[2] == "K" else match[2]
    value = Decimal(match[1]) if len(match[1]) <= 24 else Decimal("Infinity")
    if not value < _LARGEST:
        raise ValueError(f"{str(text):.40} is too large a count")
    value *= _FACTORS[unit]
    if not value <= _LARGEST:
        raise ValueError(f"{str(text):.40} is too large a count")
    if value != int(value):
        raise ValueError(f"{text!r} is not a whole number")
    return int(value)


def format_count(count: float) -> str:
    """Write a count with three significant digits and its unit: 401659392 becomes ``402M``."""
    rounded = float(f"{count:.3g}")
    for unit, factor in reversed(_FACTORS.items()):
        if rounded >= factor > 1:
            return f"{rounded / factor:g}{unit}"
    return f"{rounded:g}"


def format_seconds(seconds: float) -> str:
    """Write a time as people do: 4.2 s, 3.5 min, 2.1 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def parse_seconds(text: str) -> float:
    """Read a time such as ``90s``, ``10m`` or ``1.5h``.

    Raises:
        ValueError: The text is no time, or is not positive.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(s|m|min|h)", text.strip())
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{text!r} is not a time; write for example 90s, 10m or 1.5h")
    return float(match[1]) * {"s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def format_bytes(count: float) -> str:
    """Write a number of bytes with three significant digits and its unit, in powers of 1,000: ``48.9 MB``."""
    text = format_count(count)
    return f"{text[:-1]} {text[-1]}B" if text[-1] in _FACTORS else f"{text} B"


def parse_bytes(text: object) -> int:
    """Read a number of bytes: a count, which may end in B, such as ``400kB`` or ``1.5 MB``."""
    return parse_count(text.strip().removesuffix("B") if isinstance(text, str) else text)


ByteCount = Annotated[int, BeforeValidator(parse_bytes)]
"""A pydantic type: a whole number of bytes that may be written with a unit, in powers of 1,000."""

Count = Annotated[int, BeforeValidator(parse_count)]
"""A pydantic type: a whole number that may be written with a unit."""


def format_share(share: float) -> str:
    """Write a share of 0 to 1 in whole percent; only 0 and 1 themselves are 0 % and 100 %."""
    return ">99 %" if 0.995 <= share < 1 else "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def format_percent(value: float, error: float | None = None) -> str:
    """Write a share of 0 to 1 in percent, to a tenth or as finely as its error asks for: ``91.2 ± 0.3 %``.

    Args:
        value: The share.
        error: Its standard error, in the same unit.
    """
    if error is None:
        return f"{100 * value:.1f} %"
    digits = 1
    while digits < 4 and 0 < round(100 * error, 4) < 0.5 * 0.1**digits:
        digits += 1
    return f"{100 * value:.{digits}f} ± {100 * error:.{digits}f} %"
