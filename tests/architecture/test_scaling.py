from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture.scaling import round_channels, round_repeats


@given(st.integers(1, 2048), st.floats(0.1, 4.0))
def test_channels_are_a_multiple_near_the_exact_value_and_never_far_below(channels: int, width: float) -> None:
    rounded = round_channels(channels * width)
    assert rounded % 8 == 0
    assert rounded >= 8
    assert rounded >= 0.9 * channels * width
    assert rounded - channels * width <= 8


# Tan & Le's round_filters on B0's channels at B1's to B4's width coefficients, worked out by hand
@pytest.mark.parametrize(
    ("channels", "width", "rounded"),
    [
        (32, 1.1, 32),
        (16, 1.2, 24),
        (24, 1.2, 32),
        (40, 1.4, 56),
        (320, 1.1, 352),
        (11, 1.0, 16),
        (12, 1.0, 16),
        (44, 1.0, 48),
    ],
)
def test_channels_round_as_in_the_paper(channels: int, width: float, rounded: int) -> None:
    assert round_channels(channels * width) == rounded


def test_the_floor_itself_is_allowed() -> None:
    assert round_channels(10, floor=0.8) == 8
    assert round_channels(10, floor=0.81) == 16


@given(st.integers(1, 40), st.floats(0.1, 4.0))
def test_repeats_round_up(repeats: int, depth: float) -> None:
    rounded = round_repeats(repeats * depth)
    assert rounded >= 1
    assert rounded - 1 <= repeats * depth <= rounded + 1e-6
    assert rounded in (math.ceil(repeats * depth), math.ceil(repeats * depth) - 1)


def test_floating_point_noise_is_no_block() -> None:
    depth = 0.1 + 0.2  # as a search by steps of 0.1 makes it
    assert depth * 10 > 3
    assert round_repeats(depth * 10) == 3
    assert round_repeats(1.1 * 3) == 4
