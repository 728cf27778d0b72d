from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.units import format_count, format_percent, format_share, parse_count


@pytest.mark.parametrize(
    ("text", "count"),
    [("400M", 400_000_000), ("1.5G", 1_500_000_000), ("20k", 20_000), (" 7 ", 7), (12, 12), ("4e8", 400_000_000)],
)
def test_counts_are_read_with_units(text: object, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "M", "1X", "-1", "1.5", True, None, "0.0001k", [1]])
def test_what_is_no_count_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        parse_count(text)


@given(st.integers(0, 10**15))
def test_a_written_count_reads_back_within_three_digits(count: int) -> None:
    assert abs(parse_count(format_count(count)) - count) <= 0.005 * count


def test_counts_are_written_without_exponents() -> None:
    assert [format_count(n) for n in (0, 999, 999_999, 401_659_392, 1_500_000)] == ["0", "999", "1M", "402M", "1.5M"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.001, "<1 %"), (0.0521, "5 %"), (0.994, "99 %"), (0.9951, ">99 %"), (1, "100 %")],
)
def test_only_what_is_certain_is_written_as_certain(share: float, text: str) -> None:
    assert format_share(share) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.91234, 0.0031, "91.2 ± 0.3 %"),
        (0.91234, 0.0004, "91.23 ± 0.04 %"),
        (0.91234, 0.0005, "91.2 ± 0.1 %"),
        (0.5, 0.09, "50.0 ± 9.0 %"),
        (1, 0, "100.0 ± 0.0 %"),
        (0.912, 1e-9, "91.2 ± 0.0 %"),
        (0.912, None, "91.2 %"),
    ],
)
def test_shares_are_written_as_finely_as_their_error_asks_for(value: float, error: float | None, text: str) -> None:
    assert format_percent(value, error) == text
