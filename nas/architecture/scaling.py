"""Rounding rules of width and depth scaling (EfficientNet's reference code; Tan & Le 2019, arXiv:1905.11946, §3)."""

from __future__ import annotations

import math


def round_channels(channels: float, *, divisor: int = 8, floor: float = 0.9) -> int:
    """Round to the nearest multiple of ``divisor``, never below ``floor`` of the exact value.

    Args:
        channels: Exact number of channels, usually a base count times the width coefficient.
        divisor: What the result is a multiple of.
        floor: Smallest allowed share of the exact value; below it the next multiple is taken.

    Returns:
        At least ``divisor``.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= floor * channels else rounded + divisor


def round_repeats(repeats: float) -> int:
    """Round a number of blocks up; a thousand-millionth over a whole number is floating-point noise, not a block."""
    return max(1, math.ceil(repeats - 1e-9))
