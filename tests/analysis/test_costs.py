"""Accuracy against other costs than FLOPs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome, scaled
from hypothesis import given, settings
from hypothesis import strategies as st
from plots.made import made_study, study_of
from test_recommendation import made

from nas.analysis.costs import COSTS, cost_named, cost_values, front_against
from nas.analysis.pareto import front_with_noise
from nas.architecture.cost import count_cost
from nas.config.budget import METRICS, Budget
from nas.errors import ConfigError, StudyError
from nas.models.backends import Latency
from nas.search.study import Study


def took(milliseconds: float, **changes: object) -> Latency:
    settings = {"backend": "eager", "device": "CPU", "threads": 1, "batch": 1, "versions": "torch", **changes}
    times = {"median_ms": milliseconds, "p10_ms": milliseconds, "p90_ms": milliseconds}
    return Latency(**settings, **times, repeats=9, peak_memory=None)  # type: ignore[arg-type]  # of the right kinds


def test_what_a_budget_bounds_and_the_time_of_a_training_can_be_held_against() -> None:
    assert list(COSTS) == [*Budget.model_fields, "train_seconds"] and tuple(COSTS)[:5] == METRICS
    assert [cost_named(word).name for word in ("latency", "memory", "time")] == [
        *("latency_ms", "peak_memory", "train_seconds")
    ]
    assert COSTS["peak_memory"].write(48_900_000) == "48.9 MB" and COSTS["latency_ms"].write(1.2345) == "1.23 ms"
    with pytest.raises(ConfigError, match="accuracy cannot be held against 'parms'; did you mean 'params'"):
        cost_named("parms")


@pytest.mark.parametrize("name", METRICS)
def test_costs_of_closed_form_are_those_of_the_networks(name: str, finished_study: Study) -> None:
    trained = {trial.number: trial for trial in finished_study.trials() if trial.state == "trained"}
    values = cost_values(finished_study, name)
    assert values and all(
        value == getattr(count_cost(finished_study.architecture(trained[number])), name)
        for number, value in values.items()
    )


def test_the_front_over_flops_is_the_front(finished_study: Study) -> None:
    plain, same = front_with_noise(finished_study), front_against(finished_study, "flops")
    assert (same.points, same.others, same.noise) == (plain.points, plain.others, plain.noise)
    least = plain.points[0].trial.flops
    assert [point.trial.flops for point in front_against(finished_study, "flops", max_flops=least).points] == [least]


def test_networks_whose_time_was_not_kept_are_left_out_and_counted() -> None:
    trained = [trial for trial in made_study().trials() if trial.state == "trained"]
    some = [replace(trial, train_seconds=None) if place % 2 else trial for place, trial in enumerate(trained)]
    front = front_against(study_of(some), "train_seconds")
    assert {point.trial.number for point in (*front.points, *front.others)} == {one.number for one in trained[::2]}
    assert f"{len(trained[::2])} of {len(trained)} networks have a training time; the others are left out." in (
        front.costed.notes
    )
    none = study_of([replace(trial, train_seconds=None) for trial in trained])
    with pytest.raises(StudyError, match="no training time of study 'made' is known"):
        front_against(none, "train_seconds")


@settings(max_examples=scaled(20, 300))  # each fits a model
@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0.1, 0.9)), max_size=9))
def test_a_front_over_flops_that_is_found_anew_is_the_same(points: list[tuple[int, float]]) -> None:
    judgement = made(*sorted(points), val_images=300).judgement()
    assert (
        judgement.over({one.network.trial.number: one.network.trial.flops for one in judgement.networks}) == judgement
    )


@settings(max_examples=scaled(30, 300))
@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0.1, 0.9), st.one_of(st.none(), st.integers(1, 5))), max_size=9))
def test_the_front_over_any_cost_is_what_nothing_beats(points: list[tuple[int, float, int | None]]) -> None:
    judgement = made(*((flops, accuracy) for flops, accuracy, _ in points), val_images=300).judgement()
    costs = {number: cost for number, (_, _, cost) in enumerate(points) if cost is not None}
    found = judgement.over(costs)
    assert {one.network.trial.number for one in found.networks} == costs.keys()
    before = {one.network.trial: one.network.shrunk for one in judgement.networks}
    for one in found.networks:
        trial, own = one.network.trial, costs[one.network.trial.number]
        assert one.network.shrunk == before[trial]
        rivals = [r.network.shrunk for r in found.networks if r != one and costs[r.network.trial.number] <= own]
        assert one.network.shrunk >= max(rivals, default=0) if one.on_front else one.network.shrunk <= max(rivals)
        assert 0 <= one.network.probability <= 1
        if not rivals:
            assert one.on_front and one.network.probability == 1 and one.before is None and not one.near
    assert [costs[one.network.trial.number] for one in found.networks] == sorted(costs.values())


def test_a_latency_that_was_not_measured_is_one_line_that_says_how(finished_study: Study) -> None:
    with pytest.raises(StudyError, match="no latency of study 'tiny' was measured; .* nas latency .*tiny.yaml$"):
        front_against(finished_study, "latency")


def test_of_latencies_those_of_the_setting_that_most_networks_have_count(own_study: Study) -> None:
    first, second, *_ = networks = [one.network.trial for one in own_study.judgement().networks]
    own_study.add_latency(first, took(9.0, batch=8))
    own_study.add_latency(first, took(3.0, noisy=True))
    own_study.add_latency(first, took(2.0))
    own_study.add_latency(second, took(1.0))
    front = front_against(own_study, "latency_ms")
    assert front.costed.values == {first.number: 2.0, second.number: 1.0}
    assert front.costed.notes == (
        "Latency: eager, batch 1, CPU, 1 thread.",
        f"2 of {len(networks)} networks have a latency; the others are left out.",
    )
    assert front.points[0].trial == second and len(front.points) + len(front.others) == 2


def test_latencies_of_the_budget_count_where_the_front_has_none(own_study: Study) -> None:
    networks = [one.network.trial for one in own_study.judgement().networks]
    for index, trial in enumerate(networks):
        own_study.store.add_latency(trial.digest, took(1.0 + index), purpose="budget")
    found = front_against(own_study, "latency_ms")
    assert found.costed.notes == ("Latency: eager, batch 1, CPU, 1 thread.",)
    assert list(found.costed.values.values()) == list(np.arange(len(networks)) + 1.0)
    for threads in (2, 4):  # as many of them, in a process of their own; the newest setting counts
        for trial in networks:
            own_study.add_latency(trial, took(7.0, threads=threads))
    assert front_against(own_study, "latency_ms").costed.notes == ("Latency: eager, batch 1, CPU, 4 threads.",)


def test_the_command_shows_any_cost(nas_command: Callable[..., Outcome], own_finished: Path) -> None:
    from nas.search.opening import open_study

    unmeasured = nas_command("front", own_finished, "--against", "latency")
    assert unmeasured.code == 2 and f"nas latency {own_finished}" in unmeasured.err and unmeasured.err.count("\n") == 1
    with open_study(own_finished) as study:
        for index, one in enumerate(study.judgement().networks[:3]):
            study.add_latency(one.network.trial, took(4.0 - index))
    shown = nas_command("front", own_finished, "--against", "latency").out
    assert "over latency" in shown and "2 ms" in shown and "networks have a latency; the others are left out." in shown
    document = json.loads(nas_command("front", own_finished, "--against", "latency", "--json").out)
    assert document["against"]["cost"] == "latency_ms" and document["front"][0]["latency_ms"] == 2.0
    rows = nas_command("front", own_finished, "--against", "weight_bytes", "--csv").out.splitlines()
    assert rows[0].endswith(",weight_bytes") and len(rows) > 1
    wrong = nas_command("front", own_finished, "--against", "hours")
    assert wrong.code == 2 and "accuracy cannot be held against 'hours'" in wrong.err
