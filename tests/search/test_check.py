from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nas.architecture.spec import Architecture
from nas.config import StudyConfig
from nas.data.sources import Dataset
from nas.errors import BudgetError
from nas.search import check
from nas.search.check import check_study
from nas.training.loop import StepTime
from nas.training.recipe import Recipe


def test_check_counts_what_the_small_grid_holds(tiny_config: StudyConfig) -> None:
    # four widths, four depths and two families: few enough that 2,000 draws meet every point
    from nas.search.objective import realise

    search = tiny_config.search
    report = check_study(tiny_config)
    from nas.data.sources import load_data

    dataset = load_data(tiny_config.data)
    costs = {}
    for space in search.spaces:
        for width in (0.25, 0.5, 0.75, 1.0):
            for depth in (0.25, 0.5, 0.75, 1.0):
                found = realise(search, 0, dataset, space=space.name, width=width, depth=depth, resolution=8)
                costs[found.record.digest, width, depth] = found.cost
    feasible = {key[0]: cost for key, cost in costs.items() if cost.flops <= 1_000_000}
    within = sum(cost.flops <= 1_000_000 for cost in costs.values()) / len(costs)
    assert report.networks == len(feasible)
    assert report.costs["flops"].smallest == min(cost.flops for cost in feasible.values())
    assert report.costs["params"].largest == max(cost.params for cost in feasible.values())
    assert report.feasible_share == pytest.approx(within, abs=0.05)
    assert report.proposals == 2000
    assert min(report.trial_seconds) > 0
    assert report.total_seconds == pytest.approx(8 * report.feasible_share * sum(report.trial_seconds) / 3)


def test_a_band_that_no_network_lies_in_is_refused(tiny_config: StudyConfig) -> None:
    document = tiny_config.model_dump()
    band = StudyConfig.model_validate({**document, "budget": {"flops": {"min": 500_001, "max": 500_002}}})
    with pytest.raises(BudgetError, match="met by none of 2000 sampled networks, which have .*k to .*M FLOPs"):
        check_study(band)


def test_check_measures_what_the_budget_bounds(tiny_config: StudyConfig) -> None:
    document = tiny_config.model_dump()
    search = {**document["search"], "kernel": [3, 5], "squeeze_excitation": [True, False]}
    limits = {"peak_memory": {"max": "40k"}, "latency_ms": {"max": 100.0}}
    report = check_study(StudyConfig.model_validate({**document, "search": search, "budget": limits}))
    assert report.costs["peak_memory"].largest <= 40_000
    assert report.networks > check_study(tiny_config).networks  # four times as many points, some outside the budget
    assert report.latency_ms is not None and min(report.latency_ms) > 0
    assert report.fast_enough == 3
    nothing = {"latency_ms": {"max": 1e-6}}
    assert check_study(StudyConfig.model_validate({**document, "budget": nothing})).fast_enough == 0
    assert check_study(tiny_config).latency_ms is None


def test_check_tries_every_precision_and_layout(tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, bool]] = []
    original = check.time_step

    def spy(architecture: Architecture, dataset: Dataset, recipe: Recipe, **how: Any) -> StepTime:
        tried.append((recipe.precision, recipe.channels_last))
        return original(architecture, dataset, recipe, **how)

    monkeypatch.setattr(check, "time_step", spy)
    report = check_study(tiny_config)
    assert tried[-3:] == [("float32", False), ("bfloat16", True), ("bfloat16", False)]
    assert list(report.speeds) == [
        "float32, channels last",
        "float32, channels first",
        "bfloat16, channels last",
        "bfloat16, channels first",
    ]
    compiled = tiny_config.model_copy(update={"recipe": tiny_config.recipe.model_copy(update={"compile": True})})
    monkeypatch.setattr(check, "time_step", lambda *a, **k: StepTime(0.1, 0.5))
    assert check_study(compiled).speeds == {"float32, channels last": pytest.approx(640)}


@pytest.mark.parametrize(("speed", "said"), [(119.0, False), (150.0, True)])
def test_a_faster_setting_is_advised_where_it_is_worth_it(
    tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch, nas_command: Callable[..., Any], speed: float, said: bool
) -> None:
    report = replace(
        check_study(tiny_config), speeds={"float32, channels last": 100.0, "bfloat16, channels first": speed}, skipped=3
    )
    monkeypatch.setattr(check, "check_study", lambda *a, **k: report)
    out = nas_command("check", "digits").out
    assert ("1.50 times the recipe's speed: recipe.precision: bfloat16, recipe.channels_last: false" in out) == said
    assert "3 broken images are left out" in out
