"""The figure of accuracy against bytes in fixed point."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from nas import plots
from nas.plots.studies.bits import bits_info


class Row(NamedTuple):
    bits: int
    bytes: int
    val_accuracy: float


ROWS = [Row(8, 19_662, 0.98), Row(4, 9_841, 0.955), Row(32, 78_568, 0.981)]


def test_a_point_for_each_number_of_bits_and_a_line_for_float() -> None:
    info = bits_info(ROWS)
    assert (info.bits, info.bytes) == ([4, 8], [9_841, 19_662])
    assert info.percent == pytest.approx([95.5, 98.0]) and info.float_percent == pytest.approx(98.1)
    figure = plots.bits(ROWS)
    assert list(figure.data[0].text) == ["4", "8"] and list(figure.data[0].y) == pytest.approx([95.5, 98.0])
    assert [shape.y0 for shape in figure.layout.shapes] == pytest.approx([98.1])
    assert figure.layout.meta["alt"] == "4 bits: 95.5 % at 9.84 kB; 8 bits: 98.0 % at 19.7 kB; float32: 98.1 %."


def test_without_float_or_rows_it_says_so() -> None:
    assert not plots.bits(ROWS[:1]).layout.shapes
    assert plots.bits(ROWS[:1]).layout.meta["alt"] == "8 bits: 98.0 % at 19.7 kB."
    assert plots.bits([]).layout.annotations[0].text == "There are no rows."
