"""What all figures share: colours, ticks, titles, pages; and the names that will go."""

from __future__ import annotations

import json
import re
import sys
from itertools import combinations
from pathlib import Path

import plotly.graph_objects as go
import pytest

sys.path.append(str(Path(__file__).parent))

from made import measured_study

import nas
from nas import plots
from nas.plots import old
from nas.plots.axes import MOST, count_axis, log_axis, log_ticks, seconds_axis, write_number
from nas.plots.looks import DARK, FAINT, FAMILIES, INK, PAPER, QUIET, STATE_LOOKS, SYMBOLS, faint, family_look
from nas.plots.pages import empty, laid_out, wrapped, write_figures
from nas.plots.words import family_labels, spread_evenly
from nas.units import format_bytes, format_count


def luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_marks_and_words_stand_out_from_the_paper(dark: bool) -> None:
    paper, ink, quiet, rings = (DARK[color] if dark else color for color in (PAPER, INK, QUIET, FAINT))
    for color in (*FAMILIES, rings):
        assert contrast(color, paper) >= 3, color
    assert contrast(ink, paper) >= 7 and contrast(quiet, paper) >= 4.5


def test_families_differ_in_shape_too_and_states_have_shapes_of_their_own() -> None:
    looks = [family_look(index) for index in range(len(FAMILIES) * len(SYMBOLS))]
    assert len(set(looks)) == len(looks)
    for one, other in combinations(looks[: len(FAMILIES)], 2):
        assert one.color != other.color and one.symbol != other.symbol
    symbols = [look.symbol for look in STATE_LOOKS.values()]
    assert len(set(symbols)) == len(symbols) and not set(symbols) & set(SYMBOLS)
    assert faint("#0072b2") == "rgba(0,114,178,0.14)"


def test_no_color_of_a_figure_is_left_out_of_the_dark_page() -> None:
    study = measured_study()
    for name in ("front", "curves", "progress", "shares", "parallel", "importance", "errors", "times", "latency"):
        used = set(re.findall(r'"(#[0-9a-f]{6})"', getattr(plots, name)(study).to_json()))
        assert used <= {*DARK, *FAMILIES} and {PAPER, INK} <= used, name


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (60e3, 20e6, "100k 300k 1M 3M 10M"),
        (1e6, 9e6, "1M 2M 3M 5M 7M"),
        (2e3, 3e6, "3k 10k 30k 100k 300k 1M 3M"),
        (1e3, 5e12, "1k 100k 10M 1G 100G"),
        (1.0e6, 1.4e6, "1M 1.2M 1.4M"),
        (5e6, 5e6, "5M"),
    ],
)
def test_ticks_of_costs_are_round_and_few(low: float, high: float, texts: str) -> None:
    ticks = log_ticks(low, high)
    assert " ".join(format_count(tick) for tick in ticks) == texts
    assert len(ticks) <= MOST


def test_every_axis_has_ticks_in_the_words_of_its_unit() -> None:
    axis = log_axis([40e3, 2e6], format_bytes, "weights")
    assert list(axis["ticktext"]) == ["50 kB", "100 kB", "200 kB", "500 kB", "1 MB", "2 MB"] and axis["type"] == "log"
    assert axis["range"][0] < 4.61 and axis["range"][1] > 6.3
    assert (
        seconds_axis([3, 4000], "time")["ticktext"]
        == ["3 s", "10 s", "30 s", "1 min", "3 min", "10 min", "30 min", "1 h"][::2]
    )
    assert seconds_axis([0.2], "time")["ticktext"], "a single time has a tick"
    assert log_axis([0.4, 0.9], write_number, "ms")["ticktext"][0] == "0.4"
    assert count_axis(540e6, format_count, "compute")["ticktext"] == ["0", "100M", "200M", "300M", "400M", "500M"]
    assert log_axis([], format_count, "nothing")["ticktext"] and count_axis(0, format_count, "nothing")["ticktext"]
    for high in (10.0**power * step for power in range(12) for step in (1.1, 3.7, 9.9)):
        assert 1 <= len(log_ticks(1.0, high)) <= MOST


def test_titles_are_lines_that_fit_and_markup_in_them_is_text() -> None:
    figure = laid_out(
        go.Figure(), "<b>a long name</b> of a study: accuracy against FLOPs", alt="It rises.", note="n " * 80
    )
    assert figure.layout.title.text.startswith("&lt;b&gt;a long name&lt;/b&gt;")
    assert all(len(line) <= 60 for line in figure.layout.title.subtitle.text.split("<br>"))
    assert figure.layout.meta == {"alt": "It rises."} and figure.layout.width is None
    plain = laid_out(go.Figure(), "short")
    assert figure.layout.margin.t > plain.layout.margin.t
    assert figure.layout.height - figure.layout.margin.t == plain.layout.height - plain.layout.margin.t
    assert wrapped("a\nb  c", 80) == "a b c"
    assert "why &lt;not&gt;" in empty(go.Figure(), "why <not>").layout.annotations[0].text


def test_pages_of_figures_need_no_network_and_follow_the_dark_page() -> None:
    figure = laid_out(go.Figure(go.Scatter(y=[1, 2])), "t", alt='It "rises" <fast>.')
    write_figures([figure, figure], Path("page.html"), title="<t>")
    text = Path("page.html").read_text()
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)\s*=", outside) and "<title>&lt;t&gt;</title>" in outside
    assert outside.count('aria-label="It &quot;rises&quot; &lt;fast&gt;."') == 2
    assert json.dumps(DARK) in text and "prefers-color-scheme: dark" in text


def test_families_are_named_as_people_do_unless_two_would_be_one() -> None:
    assert family_labels(["resnet_small", "mine"]) == {"resnet_small": "ResNet", "mine": "mine"}
    assert family_labels(["resnet_small", "resnet"]) == {"resnet_small": "resnet_small", "resnet": "resnet"}


def test_an_even_choice_keeps_the_first_and_the_last() -> None:
    assert spread_evenly(range(100), 4) == [0, 33, 66, 99]
    assert spread_evenly([3, 4], 4) == [3, 4] and spread_evenly([], 4) == []


def test_earlier_names_draw_the_same_and_say_that_they_will_go(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("front", "curves", "law", "shape"):
        monkeypatch.setattr(plots, name, lambda study, *, name=name: (name, study), raising=False)
        with pytest.warns(DeprecationWarning, match=f"nas.plot_{name} is now nas.plots.{name}") as told:
            assert getattr(nas, f"plot_{name}")("study") == (name, "study")
        assert told[0].filename == __file__ and getattr(old, f"plot_{name}").__doc__


def test_every_public_name_is_a_function_that_says_what_it_draws() -> None:
    assert plots.__all__ == sorted(plots.__all__) and dir(plots) == plots.__all__
    for name in plots.__all__:
        drawn = getattr(plots, name)
        assert callable(drawn) and drawn.__doc__.startswith("Draw "), name
    assert not hasattr(plots, "nonsense") and nas.plots is plots
