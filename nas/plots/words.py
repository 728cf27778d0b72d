"""Words and numbers that several figures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from nas.analysis.pareto import FrontPoint
from nas.architecture.families import family_name
from nas.units import format_percent

_T = TypeVar("_T")


def family_labels(spaces: Sequence[str]) -> dict[str, str]:
    """Return what families are called in a legend: as people name them, unless two would have one name."""
    named = {space: family_name(space) for space in spaces}
    return named if len(set(named.values())) == len(named) else {space: space for space in spaces}


def expected_words(point: FrontPoint) -> str:
    """Return the accuracy to expect of a network, with its error."""
    return format_percent(point.shrunk_accuracy, point.standard_error)


def percents(values: Sequence[float]) -> str:
    """Return the range of some percentages, ``61.2 to 70.3 %``, or the one that they all are."""
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def counted(number: int, what: str) -> str:
    """Return a number of things, ``1 network`` or ``2 networks``."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def spread_evenly(entries: Sequence[_T], most: int) -> list[_T]:
    """Return so many entries at most, spread evenly, the first and the last among them."""
    if len(entries) <= most:
        return list(entries)
    return [entries[round(place * (len(entries) - 1) / (most - 1))] for place in range(most)]
