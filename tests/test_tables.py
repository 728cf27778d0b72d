"""Tables fit the terminal: columns are left out, numbers are never cut."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nas.analysis.latency import FrontLatency, Orders, RankedTrial
from nas.architecture.cost import count_cost
from nas.architecture.presets import PRESETS, preset
from nas.models.backends import Latency
from nas.search.store import TrialRecord
from nas.tables import bar, compare_table, front_latency_table, stage_table


def printed(table: object, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("width", [80, 100, 130])
def test_a_network_fits_the_terminal(name: str, width: int) -> None:
    architecture, cost = preset(name), count_cost(preset(name))
    lines = printed(stage_table(architecture, cost, width=width), width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == 1 + 1 + 1 + 1 + len([s for s in cost.sections if s.repeats]) + 1 + 1 + 1  # no line is folded
    assert any("total" in line for line in lines)


def test_networks_side_by_side_keep_their_names_whole() -> None:
    networks = [preset(name) for name in ("resnet50", "googlenet", "efficientnet_b3", "resnext101_32x8d")]
    for width in (80, 100, 130):
        text = printed(compare_table(networks, map(count_cost, networks), width=width), width)
        assert all(f" {network.name} " in text for network in networks)
        assert "16.2 MB" in text


@given(st.floats(1e-3, 1e6), st.sampled_from((80, 90, 100, 120, 160)))
def test_latencies_of_any_size_are_whole(median: float, width: int) -> None:
    item = Latency("eager", "CPU", 1, 1, median, median * 0.9, median * 1.1, 10, 10**8, "torch")
    trial = TrialRecord(1234, "s", 1.0, 1.0, 8, "d", 123_000_000, 1, 1, accuracy=0.991)
    front = FrontLatency("f", (RankedTrial(trial, item, 1, 1, None, 0.991),), Orders(None, 0, ()))
    text = printed(front_latency_table(front, width=width), width)
    assert f" {median:.2f} ms " in text
    assert f" {median * 0.9:.2f} to {median * 1.1:.2f} " in text or (width == 80 and "p10" not in text)


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(1, 20))
def test_a_bar_is_as_long_as_its_share(value: int, largest: int, width: int) -> None:
    drawn = bar(min(value, largest), largest, width=width)
    assert len(drawn) == width
    eighths = sum(8 if c == "\u2588" else 0x2590 - ord(c) for c in drawn if c != " ")
    assert eighths == round(8 * width * min(value, largest) / largest)
