"""Tables fit the terminal: columns are left out, numbers are never cut."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nas.analysis.latency import FrontLatency, Orders, RankedTrial
from nas.analysis.pareto import FrontPoint, NoisyFront
from nas.architecture.cost import count_cost
from nas.architecture.presets import PRESETS, preset
from nas.cli.tables.fronts import CHEAPEST, KNEE, TAKE, front_notes, front_table, interval_bar
from nas.cli.tables.latency import front_latency_table
from nas.cli.tables.networks import bar, compare_table, stage_table
from nas.fronts.noise import Noise
from nas.models.backends import Latency
from nas.records import TrialRecord


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


def front_of(*points: tuple[float, int, float]) -> NoisyFront:
    """Return a front of accuracies, seeds and probabilities; each point is near the one before."""
    found = []
    for number, (accuracy, seeds, probability) in enumerate(points, start=100):
        trial = TrialRecord(number, "efficientnet_small", 0.375, 1.25, 24, f"{number}", 123_000_000, 12_300_000, 1)
        near = number - 1 if number > 100 else None
        found.append(
            FrontPoint(trial, accuracy - 0.001, accuracy, 0.0123 if seeds > 1 else None, seeds, 0.01, probability, near)
        )
    return NoisyFront(tuple(found), (), Noise(0.0123, 4, 400))


def test_a_front_with_noise_fits_eighty_columns() -> None:
    front = front_of((0.81, 3, 1.0), (0.8765, 5, 0.9971), (1.0, 1, 0.0521))
    text = printed(front_table(front, title="Pareto front", width=80), 80)
    assert max(map(len, text.splitlines())) <= 80
    for cell in ("87.55 %", "87.65 ± 1.23 %", ">99 %", " 5 %", "#101", "123M", "efficientnet_small", "near"):
        assert cell in text
    assert "width" not in text and "depth" not in text and "px" not in text  # all three or none
    wide = printed(front_table(front, title="Pareto front", width=150), 150)
    assert all(header in wide for header in ("seeds", "width", "depth", "px", "params", "trained in"))
    once = printed(front_table(front_of((0.5, 1, 1.0), (0.6, 1, 0.4)), title="", width=100), 100)
    assert "seeds" not in once and "±" not in once and "width" in once


def test_notes_under_a_front_say_what_was_assumed_and_who_is_left_out() -> None:
    front = front_of((0.5, 3, 1.0), (0.6, 3, 0.4))
    expected, noise, near = front_notes(front)
    assert expected.startswith("expected: on new images, over all seeds")
    assert noise == "Noise of one training: ± 1.23 % (pooled from 4 further trainings)."
    assert near.startswith("near: within noise (two standard deviations) of that trial")
    others = front_of(*((0.4, 1, chance / 100) for chance in (4, 5, 30, 6, 7, 8, 9))).points
    last = front_notes(replace(front, points=front.points[:1], others=others))[-1]
    assert last == "May be on the front too: #102 (30 %), #106 (9 %), #105 (8 %), #104 (7 %), #103 (6 %) and 1 more."
    assert front_notes(replace(front, points=())) == []


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(1, 20))
def test_a_bar_is_as_long_as_its_share(value: int, largest: int, width: int) -> None:
    drawn = bar(min(value, largest), largest, width=width)
    assert len(drawn) == width
    eighths = sum(8 if c == "\u2588" else 0x2590 - ord(c) for c in drawn if c != " ")
    assert eighths == round(8 * width * min(value, largest) / largest)


@given(st.floats(0, 100), st.floats(0, 30), st.sampled_from((8, 16)))
def test_an_interval_is_whole_and_lies_where_it_should(value: float, error: float, width: int) -> None:
    drawn = interval_bar(value, error, axis=(0, 100), width=width)
    at, half = round(value / 100 * (width - 1)), round(error / 100 * (width - 1))
    assert len(drawn) == width and drawn.index("●") == at and drawn.count("●") == 1
    left, right = drawn[:at].lstrip(), drawn[at + 1 :].rstrip()
    assert (len(left), len(right)) == (min(half, at), min(half, width - 1 - at))
    assert set(left[:1]) <= {"├"} and set(right[-1:]) <= {"┤"} and set(left[1:] + right[:-1]) <= {"─"}


def test_marks_stand_beside_the_trials_and_are_explained() -> None:
    front = front_of((0.81, 1, 1.0), (0.9, 1, 0.9), (0.95, 1, 0.5))
    marks = {102: (TAKE, KNEE), 100: (CHEAPEST,), 7: (KNEE,)}
    text = printed(front_table(front, title="", width=90, marks=marks), 90)
    assert " 102  *^ " in text and " 100  ~  " in text and " 101     " in text
    (head, *rows) = [line for line in text.splitlines() if "79-96 %" in line or "●" in line]
    places = [row.index("●") - head.index("79-96 %") for row in rows]
    assert places == [round(7 * (value - 79) / 17) for value in (80.9, 89.9, 94.9)]
    assert front_notes(front, marks, cost="latency")[0] == (
        "* recommended; ~ the cheapest within noise of it; ^ the knee, the network farthest above the straight line"
        " from the cheapest to the most accurate (over log latency)."
    )
    assert front_notes(front, {102: (TAKE,)})[0] == "* recommended."
    narrow = printed(front_table(front, title="", width=60, marks=marks), 60)
    assert "●" not in narrow and " 102  *^ " in narrow
