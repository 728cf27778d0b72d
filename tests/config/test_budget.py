from __future__ import annotations

import pytest
from conftest import architectures
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture.cost import Cost, Counts, count_cost
from nas.architecture.presets import preset
from nas.architecture.spec import Architecture
from nas.config.budget import METRICS, Budget


def test_budgets_tell_how_far_a_cost_is_out() -> None:
    cost = Cost(Counts(conv=150, linear=50, conv_outputs=10, linear_outputs=10, params=30))
    assert cost.flops == cost.multiply_adds == 200
    budget = Budget.model_validate({"flops": {"max": 100, "min": 10}, "params": {"min": 60}})
    assert budget.violations(cost) == {"flops_max": 1.0, "flops_min": -19.0, "params_min": 0.5}
    assert not budget.allows(cost)
    exact = Budget.model_validate({"flops": {"max": 200, "min": 200}, "activations": {"max": 20}})
    assert exact.allows(cost)
    assert str(exact) == "200 <= flops <= 200, activations <= 20"
    assert Budget().allows(cost)


@given(architectures(), st.sampled_from(METRICS))
def test_every_metric_bounds_its_own_figure(architecture: Architecture, metric: str) -> None:
    cost = count_cost(architecture)
    value = getattr(cost, metric)
    assert Budget.model_validate({metric: {"min": value, "max": value}}).allows(cost)
    assert list(Budget.model_validate({metric: {"max": value - 1}}).violations(cost)) == [f"{metric}_max"]
    assert not Budget.model_validate({metric: {"max": value - 1}}).allows(cost)
    assert not Budget.model_validate({metric: {"min": value + 1}}).allows(cost)


def test_bytes_may_be_written_as_people_do_and_what_is_missed_is_told() -> None:
    budget = Budget.model_validate(
        {"weight_bytes": {"max": "400kB"}, "peak_memory": {"max": "1.5 MB"}, "params": {"min": 1}}
    )
    assert (budget.limits()["weight_bytes"].max, budget.limits()["peak_memory"].max) == (400_000, 1_500_000)
    assert str(budget) == "1 <= params, weight_bytes <= 400 kB, peak_memory <= 1.5 MB"
    cost = Cost(Counts(params=200_000), peak_memory=10)
    assert budget.missed(cost) == "weight_bytes 800 kB"
    assert budget.missed(Cost(Counts(params=1000), peak_memory=10)) == ""
    with pytest.raises(ValueError, match="'1MB' is not a count"):
        Budget.model_validate({"flops": {"max": "1MB"}})


def test_latency_is_no_part_of_the_closed_form() -> None:
    budget = Budget.model_validate({"latency_ms": {"min": 2, "max": 4, "batch": 8, "backend": "onnxruntime"}})
    assert budget.allows(count_cost(preset("resnet18"))) and budget.limits() == {}
    assert budget.latency_violations(5.0) == {"latency_ms_max": 0.25, "latency_ms_min": -1.5}
    assert budget.latency_violations(1.0) == {"latency_ms_max": -0.75, "latency_ms_min": 0.5}
    assert str(budget) == "2 <= latency_ms <= 4 (batch 8, onnxruntime)"
    assert Budget().latency_violations(1e9) == {}
    small = Budget.model_validate({"latency_ms": {"min": 0.5}})
    assert small.latency_violations(0.25) == {"latency_ms_min": 0.5}


@pytest.mark.parametrize(
    "limit",
    [{}, {"max": 0}, {"max": float("inf")}, {"min": 5, "max": 4}, {"backend": "tensorrt"}, {"batch": 0}, {"p90": 3}],
)
def test_wrong_latency_limits_are_refused(limit: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Budget.model_validate({"latency_ms": limit})


def test_a_bound_itself_is_within() -> None:
    budget = Budget.model_validate({"flops": {"max": 200}, "params": {"min": 30}})
    assert budget.missed(Cost(Counts(conv=200, params=30))) == ""
    assert budget.missed(Cost(Counts(conv=201, params=29))) == "flops 201, params 29"
    assert Budget.model_validate({"latency_ms": {"min": 3, "max": 3}}).latency_violations(3.0) == {
        "latency_ms_max": 0.0,
        "latency_ms_min": 0.0,
    }
    nothing = Budget.model_validate({"flops": {"max": 0}})  # a share of nothing is the cost itself
    assert [nothing.violations(Cost(Counts(conv=count))) for count in (0, 1, 3)] == [
        {"flops_max": n} for n in (0, 1, 3)
    ]


def test_bounds_that_are_open_are_not_written() -> None:
    assert str(Budget.model_validate({"latency_ms": {"max": 4}})) == "latency_ms <= 4 (batch 1, eager)"
    assert str(Budget.model_validate({"latency_ms": {"min": 2}})) == "2 <= latency_ms (batch 1, eager)"
    assert str(Budget()) == "none"
