"""Axes whose ticks read ``100k 300k 1M 3M``, at one size; plotly's own logarithmic ticks mix sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from nas.units import format_count

MOST = 7
"""Ticks of an axis: on a telephone (390 px) labels then do not touch."""
_STEPS = ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
"""Within each power of ten, the finest first."""
_TIMES = (*(1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3), *(1, 3, 10, 30, 60, 180, 600, 1800), *(3600 * n for n in (1, 3, 10, 30)))
"""Seconds that people write as whole seconds, minutes or hours."""


def log_axis(
    values: Iterable[float], write: Callable[[float], str], title: str, *, room: float = 0.06, most: int = MOST
) -> dict[str, Any]:
    """Return a logarithmic axis for values, with ticks in their own words.

    Args:
        values: That are shown; those that are not above zero are left out.
        write: Writes a value for people.
        title: Of the axis.
        room: Left and right of the values, as a share of their range.
        most: Ticks.
    """
    low, high = _ends(values)
    ticks = log_ticks(low, high, most)
    return _axis(ticks, write, title, type="log", range=_widened(math.log10(low), math.log10(high), room))


def seconds_axis(values: Iterable[float], title: str) -> dict[str, Any]:
    """Return the same for seconds: ``10 s 30 s 1 min 3 min``."""
    low, high = _ends(values)
    ticks = [time for time in _TIMES if low / 1.2 <= time <= high * 1.2]
    ticks = ticks[:: math.ceil(len(ticks) / MOST)] if len(ticks) > 1 else log_ticks(low, high)
    return _axis(ticks, write_seconds, title, type="log", range=_widened(math.log10(low), math.log10(high), 0.06))


def count_axis(largest: float, write: Callable[[float], str], title: str) -> dict[str, Any]:
    """Return a linear axis from zero to a value, with ticks in their own words."""
    step = nice_step(largest / (MOST - 1)) if largest > 0 else 1.0
    ticks = [step * number for number in range(math.floor(max(largest, step) / step * 1.001) + 1)]
    return _axis(ticks, write, title, range=[-0.02 * largest, 1.04 * largest])


def log_ticks(low: float, high: float, most: int = MOST) -> list[float]:
    """Return round values between two, the finest of 1-2-3-5-7, 1-2-5, 1-3 and powers of ten that are not too many."""
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    for steps in _STEPS:
        ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        inside = [tick for tick in ticks if low / 1.02 <= tick <= high * 1.02]
        if len(inside) <= most:
            break
    inside = inside[:: math.ceil(len(inside) / most)] if inside else []
    if len(inside) >= min(most, 3) or high / low > 3:
        return inside
    step = nice_step((high - low) / 3) if high > low else low  # a range too narrow for round powers
    return [step * number for number in range(math.ceil(low / step * 0.999), math.floor(high / step * 1.001) + 1)]


def nice_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, … times a power of ten that is not below a value."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= 0.999 * least)


def write_seconds(seconds: float) -> str:
    """Write a round time shortly: ``30 s``, ``3 min``, ``1 h``."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return (
        f"{seconds:.3g} s"
        if seconds < 60
        else f"{seconds / 60:.3g} min"
        if seconds < 3600
        else f"{seconds / 3600:.3g} h"
    )


def write_number(value: float) -> str:
    """Write a count; between 0 and 1 and for small numbers as it is."""
    return format_count(value) if value >= 1000 else f"{value:.3g}"


def _axis(ticks: list[float], write: Callable[[float], str], title: str, **options: Any) -> dict[str, Any]:
    texts = [write(tick) for tick in ticks]
    return {"title": {"text": title}, "tickmode": "array", "tickvals": ticks, "ticktext": texts, **options}


def _ends(values: Iterable[float]) -> tuple[float, float]:
    shown = [value for value in values if value > 0 and math.isfinite(value)]
    return (min(shown), max(shown)) if shown else (1.0, 10.0)


def _widened(low: float, high: float, room: float) -> list[float]:
    apart = max(room * (high - low), 0.02)
    return [low - apart, high + apart]
