"""A small chart of text: the front so far, accuracy against the logarithm of FLOPs.

A character of Braille has two by four dots, so that a chart of 60 by 10 characters shows 120 by 40 places.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rich.text import Text

from nas.fronts.geometry import Array, front_members
from nas.units import format_count

FRONT, OTHER = "bold green", "bright_black"
"""Styles of the front and of the networks off it."""
_BRAILLE = 0x2800
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bits of the dots of a character of Braille, (rows, columns)."""
_LABEL = 8
"""Characters of the accuracies beside the chart, the axis included."""


class Cloud(NamedTuple):
    """The networks that were trained to the end.

    Attributes:
        flops: Of one image, (networks,).
        accuracies: Means over seeds as they were measured, in 0 to 1, (networks,).
        front: Indices of those that no other beats, cheapest first.
    """

    flops: Array
    accuracies: Array
    front: tuple[int, ...]

    @classmethod
    def of(cls, flops: Sequence[int], accuracies: Sequence[float]) -> Cloud:
        """Return networks and who of them is on the front of these accuracies."""
        costs, values = np.array(flops, float), np.array(accuracies, float)
        return cls(costs, values, tuple(front_members(costs, -values)))


class _Grid(NamedTuple):
    """Where points lie on a chart: dots from the left and from the top."""

    left: npt.NDArray[np.int64]
    top: npt.NDArray[np.int64]


class _Ends(NamedTuple):
    """What the axes of a chart reach from and to; FLOPs as logarithms to the base 10."""

    cheap: float
    dear: float
    low: float
    high: float


def chart(cloud: Cloud, *, width: int, height: int, ascii_only: bool = False) -> list[Text]:
    """Return the lines of a chart.

    Args:
        cloud: At least one network.
        width: Characters, at least 20.
        height: Lines, at least 4; two of them are the axis and its labels.
        ascii_only: Draw with characters that every terminal has.
    """
    columns, rows = width - _LABEL, height - 2
    ends = _ends(cloud)
    grid = _places(cloud, ends, columns=columns, rows=rows)
    front = np.array(cloud.front)
    inside = grid.top < 4 * rows
    others = _cells(_Grid(grid.left[inside], grid.top[inside]), columns=columns, rows=rows)
    steps = _cells(_steps(grid, front, columns=columns), columns=columns, rows=rows)
    members = {(int(top) // 4, int(left) // 2) for left, top in zip(grid.left[front], grid.top[front], strict=True)}
    labels = _accuracy_labels(ends, rows)
    lines = []
    for row in range(rows):
        axis = "|" if ascii_only else "┤" if row in labels else "│"
        text = Text.assemble((f"{labels.get(row, ''):>{_LABEL - 1}}{axis}", "dim"))
        for column in range(columns):
            member = (row, column) in members
            text.append(*_cell(others[row, column], steps[row, column], member=member, ascii_only=ascii_only))
        lines.append(text)
    corner = "+" if ascii_only else "└"
    lines.append(Text(" " * (_LABEL - 1) + corner + ("-" if ascii_only else "─") * columns, "dim"))
    lines.append(Text(" " * _LABEL + _flops_labels(cloud, ends, columns), "dim"))
    for text in lines:
        text.no_wrap, text.overflow = True, "crop"
    return lines


def below(cloud: Cloud) -> int:
    """Return how many networks lie below what the chart shows."""
    return int((cloud.accuracies < _ends(cloud).low).sum())


def _ends(cloud: Cloud) -> _Ends:
    """Return what the axes show: all FLOPs, and accuracies from below the front and most others up."""
    logs, members = np.log10(cloud.flops), cloud.accuracies[list(cloud.front)]
    low, high = min(float(members.min()), float(np.quantile(cloud.accuracies, 0.25))), float(members.max())
    room = 0.05 * (high - low) or 0.01
    cheap, dear = float(logs.min()), float(logs.max())
    aside = 0.02 * (dear - cheap) or 0.1
    return _Ends(cheap - aside, dear + aside, max(0.0, low - room), high + room)


def _places(cloud: Cloud, ends: _Ends, *, columns: int, rows: int) -> _Grid:
    right = (np.log10(cloud.flops) - ends.cheap) / (ends.dear - ends.cheap)
    down = (ends.high - cloud.accuracies) / (ends.high - ends.low)
    left, top = np.floor(right * 2 * columns), np.floor(down * 4 * rows)
    return _Grid(left.clip(0, 2 * columns - 1).astype(np.int64), top.clip(0, 4 * rows).astype(np.int64))


def _steps(grid: _Grid, front: npt.NDArray[np.int64], *, columns: int) -> _Grid:
    """Return the dots of the front's line: level to the next member, then up to it."""
    left, top = grid.left[front], grid.top[front]
    dots = []
    for index, (x, y) in enumerate(zip(left, top, strict=True)):
        last = index + 1 == len(left)
        end = 2 * columns - 1 if last else left[index + 1]
        dots += [(across, y) for across in range(x, end + 1)]
        dots += [] if last else [(end, up) for up in range(top[index + 1], y)]
    return _Grid(*np.array(dots).T)


def _cells(grid: _Grid, *, columns: int, rows: int) -> npt.NDArray[np.int64]:
    """Return the dots of each character, (rows, columns)."""
    cells = np.zeros((rows, columns), np.int64)
    np.bitwise_or.at(cells, (grid.top // 4, grid.left // 2), _DOTS[grid.top % 4, grid.left % 2])
    return cells


def _cell(others: int, steps: int, *, member: bool, ascii_only: bool) -> tuple[str, str]:
    """Return a character and its style."""
    if member:
        return "o" if ascii_only else "●", FRONT
    if steps:
        return "-" if ascii_only else chr(_BRAILLE + (int(others) | int(steps))), "green"
    if others:
        return "." if ascii_only else chr(_BRAILLE + int(others)), OTHER
    return " ", ""


def _accuracy_labels(ends: _Ends, rows: int) -> dict[int, str]:
    """Return what stands beside some of the rows: the accuracy at the middle of each."""
    digits = 1 if ends.high - ends.low > 0.02 else 2
    every = max(1, (rows - 1) // 3) if rows > 1 else 1
    height = (ends.high - ends.low) / rows
    return {row: f"{100 * (ends.high - (row + 0.5) * height):.{digits}f}%" for row in range(0, rows, every)}


def _flops_labels(cloud: Cloud, ends: _Ends, columns: int) -> str:
    """Return the line below the axis: as many round numbers as there is room for, else the cheapest and dearest."""
    for factors in ((1, 2, 5), (1, 3), (1,)):
        placed = _placed(list(_round_numbers(ends, factors)), ends, columns)
        if placed and len(placed) > 1:
            return _written(placed, columns)
    both = sorted({float(cloud.flops.min()), float(cloud.flops.max())})
    return _written(_placed(both, ends, columns) or {}, columns)


def _round_numbers(ends: _Ends, factors: Sequence[int]) -> Iterator[float]:
    for power in range(math.floor(ends.cheap), math.ceil(ends.dear) + 1):
        yield from (f * 10.0**power for f in factors if ends.cheap <= math.log10(f * 10.0**power) <= ends.dear)


def _placed(values: Sequence[float], ends: _Ends, columns: int) -> dict[int, str] | None:
    """Return labels by the column at which each begins; None where they do not fit."""
    found, free = dict[int, str](), 0
    for value in values:
        text = format_count(value)
        middle = (math.log10(value) - ends.cheap) / (ends.dear - ends.cheap) * columns
        start = min(max(0, round(middle - len(text) / 2)), columns - len(text))
        if start < free:
            return None
        found[start], free = text, start + len(text) + 2
    return found


def _written(labels: dict[int, str], columns: int) -> str:
    line = [" "] * columns
    for start, text in labels.items():
        line[start : start + len(text)] = text
    return "".join(line)
