from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import plots
from nas.analysis import latency
from nas.analysis.latency import Timed, compare_orders, measure_front, stored_front_latency
from nas.analysis.pareto import front_with_noise, pareto_front
from nas.architecture.cost import count_cost
from nas.architecture.spec import Architecture
from nas.cli.tables.latency import busy_warning, disagreement_lines, front_latency_table
from nas.config.study import StudyConfig
from nas.errors import MeasurementError, StudyError
from nas.fronts.judged import judge
from nas.models.backends import Latency
from nas.models.latency import Failure, Measured
from nas.records import TrialRecord
from nas.report.page import render_report
from nas.search.run.start import run_study
from nas.search.study import Study


def took(median_ms: float, *, spread: float = 0.0, **changes: Any) -> Latency:
    facts = {"backend": "eager", "device": "CPU", "threads": 1, "batch": 1, "repeats": 10, "peak_memory": 10**6}
    times = {"median_ms": median_ms, "p10_ms": median_ms - spread, "p90_ms": median_ms + spread}
    return Latency(**{**facts, **times, "versions": "torch", **changes})


def test_swapped_pairs_are_named_with_their_noise() -> None:
    networks = [Timed("a", 10, took(1.0)), Timed("b", 20, took(3.0)), Timed("c", 30, took(2.0))]
    orders = compare_orders(networks)
    assert orders.tau == pytest.approx(1 / 3)  # two of three pairs agree
    assert orders.pairs == 3
    assert orders.swapped == (("b", "c", False),)
    noisy = [Timed("a", 10, took(1.0)), Timed("b", 20, took(3.0, spread=0.6)), Timed("c", 30, took(2.0, spread=0.6))]
    assert compare_orders(noisy).swapped == (("b", "c", True),)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=8, unique_by=lambda p: p[0]))
def test_tau_is_one_less_twice_the_share_of_swapped_pairs(points: list[tuple[int, int]]) -> None:
    distinct = [(flops, ms + index / 100) for index, (flops, ms) in enumerate(points)]
    orders = compare_orders([Timed(str(flops), flops, took(ms)) for flops, ms in distinct])
    assert orders.tau == pytest.approx(1 - 2 * len(orders.swapped) / orders.pairs)


def test_of_two_as_fast_the_less_accurate_is_beaten() -> None:
    base = TrialRecord(0, "s", 1.0, 1.0, 8, "a", 10, 1, 1, state="trained", accuracy=0.8)
    same = replace(base, number=1, digest="b", flops=20)
    study = SimpleNamespace(name="s", judgement=lambda: judge([base, same], [], val_images=100))
    ranked = latency._ranked(study, [(base, took(1.0)), (same, took(2.0))]).ranked
    assert [entry.beaten_by for entry in ranked] == [None, 0]


def test_a_network_is_beaten_only_beyond_the_spread() -> None:
    base = TrialRecord(0, "s", 1.0, 1.0, 8, "a", 10, 1, 1, state="trained", accuracy=0.8)
    trials = [
        replace(base, number=n, digest=str(n), flops=10 * n + 10, accuracy=a) for n, a in enumerate((0.8, 0.9, 0.7))
    ]
    study = SimpleNamespace(name="s", judgement=lambda: judge(trials, [], val_images=10**6))
    times = [took(1.0, spread=0.1), took(1.5, spread=0.6), took(1.6, spread=0.2)]
    found = latency._ranked(study, list(zip(trials, times, strict=True)))
    # the most accurate is within the noise of the last, but another is not
    assert [(entry.beaten_by, entry.level_with) for entry in found.ranked] == [(None, None), (None, None), (0, None)]
    close = latency._ranked(study, [(trials[0], took(1.0, spread=0.3)), (trials[2], took(1.2, spread=0.3))])
    assert [(entry.beaten_by, entry.level_with) for entry in close.ranked] == [(None, None), (None, 0)]
    assert [str(cell) for cell in front_latency_table(close, width=200).columns[-1]._cells] == [
        "yes",
        "level with #0 within noise",
    ]


def test_figures_of_a_busy_machine_do_not_replace_others(own_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"median_ms": 1.0, "noisy": True}
    monkeypatch.setattr("nas.models.latency.measure_latency", lambda *_, **__: Measured([took(**now)], []))
    front = pareto_front(own_study)
    busy = measure_front(own_study)
    assert all(entry.latency.noisy for entry in busy.ranked) and busy.earlier == ()
    assert stored_front_latency(own_study) == busy  # better than nothing
    shown = [entry.latency for entry in busy.ranked]
    text = busy_warning(shown)
    assert f"{len(front)} of {len(front)} figures were disturbed by other programs" in text and "cores)" in text
    now.update(median_ms=2.0, noisy=False)
    calm = measure_front(own_study)
    assert busy_warning([entry.latency for entry in calm.ranked]) == ""
    now.update(median_ms=9.0, noisy=True)
    again = measure_front(own_study)
    assert {entry.latency.median_ms for entry in again.ranked} == {2.0}
    assert set(again.earlier) == {trial.number for trial in front}
    assert stored_front_latency(own_study) == calm
    assert [item.median_ms for item in own_study.latencies()[front[0].digest]] == [2.0, 9.0, 1.0]
    assert f"earlier ones are shown for #{again.earlier[0]}" in busy_warning(shown[:0], earlier=again.earlier)
    cells = front_latency_table(busy, width=200).columns[5]._cells
    assert {str(cell) for cell in cells} == {"1.00 ms (busy machine)"}


def test_equal_networks_have_no_order() -> None:
    orders = compare_orders([Timed("a", 10, took(1.0)), Timed("b", 10, took(1.0))])
    assert orders == (None, 1, ())
    assert disagreement_lines(orders, setting="x") == ["x: all networks have equal FLOPs or equal latency"]
    assert disagreement_lines(compare_orders([]), setting="x") == ["x: one network cannot be ranked"]


def test_one_network_has_no_order() -> None:
    assert compare_orders([Timed("a", 10, took(1.0))]) == (None, 0, ())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, float]], None]:
    """Return a function that sets how long networks of given FLOPs take."""

    def set_times(times: dict[int, float]) -> None:
        def measure(
            architecture: Architecture, *, backends: Sequence[Any], batches: Sequence[int], **_: Any
        ) -> Measured:
            taken = times[count_cost(architecture).flops]
            return Measured([took(taken, backend=backends[0], batch=batches[0])], [])

        monkeypatch.setattr("nas.models.latency.measure_latency", measure)

    return set_times


def test_the_front_is_ranked_by_latency_and_kept(own_study: Study, clock: Callable[[dict[int, float]], None]) -> None:
    front = pareto_front(own_study)
    assert len(front) >= 2
    reverse = {trial.flops: float(len(front) - place) for place, trial in enumerate(front)}
    clock(reverse)
    started: list[int] = []
    found = measure_front(own_study, backend="compile", batch=4, on_start=lambda trial: started.append(trial.number))
    assert started == [trial.number for trial in front]
    # the dearest is now the fastest and the most accurate: it beats all others
    assert [entry.trial.number for entry in found.ranked] == started[::-1]
    assert [entry.latency_rank for entry in found.ranked] == list(range(1, len(front) + 1))
    assert [entry.flops_rank for entry in found.ranked] == list(range(len(front), 0, -1))
    assert [entry.beaten_by for entry in found.ranked] == [None] + [front[-1].number] * (len(front) - 1)
    assert found.orders.tau == pytest.approx(-1.0)
    assert stored_front_latency(own_study) == found
    clock({trial.flops: place + 1.0 for place, trial in enumerate(front)})
    again = measure_front(own_study, backend="compile", batch=4)
    assert all(entry.beaten_by is None for entry in again.ranked) and again.orders.swapped == ()
    assert stored_front_latency(own_study) == again
    assert [item.median_ms for item in own_study.latencies()[front[0].digest]][:2] == [1.0, float(len(front))]


def test_the_report_shows_the_latency_once_it_was_measured(
    own_study: Study, clock: Callable[[dict[int, float]], None]
) -> None:
    study = own_study
    assert stored_front_latency(study) is None
    assert "How long inference takes" not in render_report(study)
    front = pareto_front(study)
    clock({trial.flops: float(place) for place, trial in enumerate(reversed(front), start=1)})
    found = measure_front(study)
    text = render_report(study)
    assert "How long inference takes" in text and "accuracy against latency" in text
    assert f"no, #{front[-1].number} beats it" in text
    figure = plots.latency(study, found)
    line = next(trace for trace in figure.data if trace.name == "front by latency")
    best = front_with_noise(study).points[-1].shrunk_accuracy
    assert list(line.x) == [1.0] and list(line.y) == pytest.approx([100 * best], abs=1e-3)
    assert sum(len(trace.x) for trace in figure.data) == len(front) + 1


def test_a_front_measured_in_part_is_not_shown(own_study: Study) -> None:
    study = own_study
    first, *others = pareto_front(study)
    study.add_latency(first, took(1.0))
    assert others and stored_front_latency(study) is None
    for trial in others:
        study.add_latency(trial, took(2.0, batch=8))
    assert stored_front_latency(study) is None
    study.add_latency(first, took(1.0, batch=8, threads=2))
    assert stored_front_latency(study) is None
    study.add_latency(first, took(1.0, batch=8, versions="another torch"))
    assert stored_front_latency(study) is None
    study.add_latency(first, took(1.0, batch=8))
    found = stored_front_latency(study)
    assert found is not None and {entry.latency.batch for entry in found.ranked} == {8}


def test_what_cannot_be_measured_is_an_error(
    tiny_config: StudyConfig, finished_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StudyError, match="study 'tiny' has no trained network yet"):
        measure_front(run_study(tiny_config, trials=0))
    missing = Measured([], [Failure("compile", 1, "no compiler")])
    monkeypatch.setattr("nas.models.latency.measure_latency", lambda *a, **k: missing)
    with pytest.raises(MeasurementError, match="compile could not be measured: no compiler"):
        measure_front(finished_study, backend="compile")
