"""Networks of one's own as a CSV file: what they cost and how accurate they are, whoever trained them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.errors import DataError
from nas.fronts.geometry import Array

COSTS: Mapping[str, Mapping[str, float]] = {
    "flops": {"flops": 1, "macs": 1, "mflops": 1e6, "mmacs": 1e6, "gflops": 1e9, "gmacs": 1e9},
    "params": {"params": 1, "params_m": 1e6},
    "activations": {"activations": 1, "activations_m": 1e6},
    "seconds": {"seconds": 1, "train_seconds": 1, "train_hours": 3600},
}
"""Columns that tell a cost, and what one of each is; a column ``cost`` tells any."""
_ERRORS = ("error", "top1_error", "error_rate", "err1")
_ACCURACIES = ("accuracy", "top1_accuracy", "val_accuracy", "top1", "acc1", "acc")
_FAMILIES = ("family", "space")


class GivenPoints(NamedTuple):
    """Networks of one family, each array of shape (networks,).

    Attributes:
        family: Name; empty where the file has no such column.
        cost: Above zero.
        error: Shares of the images that are wrong.
        weights: How much each counts.
        images: Numbers of training images; None where the file does not tell.
    """

    family: str
    cost: Array
    error: Array
    weights: Array
    images: Array | None


def read_given(path: Path, *, cost: str = "flops") -> list[GivenPoints]:
    """Read networks from a CSV file with a head, by family.

    Args:
        path: Of the file. Errors and accuracies are shares, or percent where any is above one.
        cost: One of ``COSTS``.

    Raises:
        DataError: The file cannot be read, lacks a column, or holds what is no number.
    """
    head, rows = _rows(path)
    factors = {"cost": 1.0, **COSTS[cost]}
    costs = _column(path, head, tuple(factors), what="costs")
    told = _column(path, head, (*_ERRORS, *_ACCURACIES), what="errors or accuracies")
    values = _numbers(path, rows, head.index(told))
    if (values > 100).any():
        line = rows[int((values > 100).argmax())][0]
        raise DataError(f"{path}: line {line}: {values.max():g} is more than 100 percent")
    shares = values / 100 if (values > 1).any() else values
    errors = 1 - shares if told in _ACCURACIES else shares
    weights = _numbers(path, rows, head.index("weight")) if "weight" in head else np.ones(len(rows))
    images = _numbers(path, rows, head.index("images")) if "images" in head else None
    family = next((head.index(name) for name in _FAMILIES if name in head), None)
    names = np.array(["" if family is None else row[family].strip() for _, row in rows])
    cost_values = factors[costs] * _numbers(path, rows, head.index(costs))
    return [
        GivenPoints(name, cost_values[own], errors[own], weights[own], None if images is None else images[own])
        for name in dict.fromkeys(names.tolist())
        for own in [names == name]
    ]


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the head in small letters, and the rows that are not empty with their lines."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is not a CSV file ({error})") from None
    if len(lines) < 2:
        raise DataError(f"{path}: has no rows below its head")
    head = [cell.strip().lower() for cell in lines[0][1]]
    for line, row in lines[1:]:
        if len(row) != len(head):
            raise DataError(f"{path}: line {line} has {len(row)} cells and the head {len(head)}")
    return head, lines[1:]


def _column(path: Path, head: Sequence[str], names: Iterable[str], *, what: str) -> str:
    """Return the first of some columns that a file has."""
    found = next((name for name in names if name in head), None)
    if found is None:
        raise DataError(f"{path}: has no column of {what} ({', '.join(names)}); it has {', '.join(head)}")
    return found


def _numbers(path: Path, rows: Sequence[tuple[int, list[str]]], index: int) -> Array:
    """Return a column as finite numbers from zero."""
    values = np.empty(len(rows))
    for place, (line, row) in enumerate(rows):
        try:
            values[place] = float(row[index])
        except ValueError:
            values[place] = np.nan
        if not 0 <= values[place] < np.inf:
            raise DataError(f"{path}: line {line}: {row[index]!r} is not a number from zero")
    return values
