from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import TINY
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture.cost import count_cost
from nas.architecture.space import load_space
from nas.architecture.spec import Architecture
from nas.config.search import Halving
from nas.config.study import StudyConfig
from nas.data.sources import Dataset, load_data
from nas.errors import BudgetError, ConfigError
from nas.search import check, counting
from nas.search.check import check_study
from nas.search.opening import open_study
from nas.search.proposals import Candidate, realise
from nas.search.run.events import Noted
from nas.search.run.start import run_study
from nas.training.recipe import Recipe
from nas.training.timing import StepTime


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a step take a second for each million of FLOPs, and return the FLOPs of what is timed."""
    flops: list[int] = []

    def step(architecture: Architecture, *given: Any, **how: Any) -> StepTime:
        flops.append(count_cost(architecture).flops)
        return StepTime(flops[-1] / 1e6, 0.5)

    monkeypatch.setattr(check, "time_step", step)
    return flops


def changed(config: StudyConfig, **sections: dict[str, Any]) -> StudyConfig:
    document = config.model_dump()
    return StudyConfig.model_validate({**document, **{key: {**document[key], **new} for key, new in sections.items()}})


def every_point(config: StudyConfig) -> list[Candidate]:
    """Return the network of every coefficient point, spelled out."""
    search, dataset = config.search, load_data(config.data)
    return [
        realise(search, 0, dataset, space=space.name, width=w, depth=d, resolution=r, choices=choices)
        for space in search.spaces
        for w in np.arange(search.width.min, search.width.max + 1e-9, search.width.step or 1).tolist()
        for d in np.arange(search.depth.min, search.depth.max + 1e-9, search.depth.step or 1).tolist()
        for r in range(search.resolution.min, search.resolution.max + 1, search.resolution.step)
        for choices in search.choices(space.name)
    ]


@settings(max_examples=15)
@given(
    spaces=st.lists(st.sampled_from(("resnet_small", "resnext_small", "efficientnet_small")), min_size=1, unique=True),
    width=st.integers(1, 5),
    depth=st.integers(1, 4),
    pixels=st.integers(1, 3),
    opened=st.sets(st.sampled_from(("kernel", "squeeze_excitation", "activation"))),
    quantile=st.floats(0, 1),
)
def test_check_counts_a_grid_exactly(
    tiny_config: StudyConfig,
    timed: list[int],
    spaces: list[str],
    width: int,
    depth: int,
    pixels: int,
    opened: set[str],
    quantile: float,
) -> None:
    values = {"kernel": [3, 5], "squeeze_excitation": [True, False], "activation": ["relu", "prelu"]}
    search = {
        "spaces": spaces,
        "width": {"min": 0.25, "max": 0.25 + 0.125 * (width - 1), "step": 0.125},
        "depth": {"min": 0.25, "max": 0.25 * depth, "step": 0.25},
        "resolution": {"min": 8, "max": 6 + 2 * pixels, "step": 2},
        **{key: values[key] for key in opened if any(key in load_space(name).dimensions for name in spaces)},
    }
    points = every_point(changed(tiny_config, search=search))
    limit = sorted(point.cost.flops for point in points)[int(quantile * (len(points) - 1))]
    report = check_study(changed(tiny_config, search=search, budget={"flops": {"max": limit}}))
    feasible = [point for point in points if point.cost.flops <= limit]
    networks = {point.record.digest: point.cost for point in feasible}
    assert report.exact
    assert (report.points, report.feasible_points) == (len(points), len(feasible))
    assert report.feasible_share == len(feasible) / len(points)
    assert report.networks == len(networks)
    for metric, spread in report.costs.items():
        known = sorted(getattr(cost, metric) for cost in networks.values())
        assert (spread.smallest, spread.median, spread.largest) == (known[0], int(median(known)), known[-1])


def test_more_points_than_can_be_counted_are_sampled(
    tiny_config: StudyConfig, timed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = changed(tiny_config, search={"width": {"min": 0.25, "max": 1.0, "step": 0.001}})
    monkeypatch.setattr(counting, "_WHOLE", 2 * 751 * 4)
    whole = check_study(config)
    assert whole.exact and whole.points == 2 * 751 * 4
    monkeypatch.setattr(counting, "_WHOLE", 2 * 751 * 4 - 1)
    sampled = check_study(config)
    assert not sampled.exact and sampled.points == 2000
    assert sampled.feasible_share == pytest.approx(whole.feasible_share, abs=0.03)
    assert 0.8 * whole.networks < sampled.networks <= whole.networks
    continuous = check_study(changed(tiny_config, search={"width": {"min": 0.25, "max": 1.0}}))
    assert not continuous.exact and continuous.points == 2000
    assert continuous.feasible_share == pytest.approx(whole.feasible_share, abs=0.03)


def test_the_time_of_a_study_is_that_of_its_trainings(tiny_config: StudyConfig, timed: list[int]) -> None:
    report = check_study(tiny_config)
    images = len(load_data(tiny_config.data).train) // 64 * 64, len(load_data(tiny_config.data).validation)
    trial = 2 * (images[0] + images[1] / 3) / 64 / 1e6  # seconds for each of a network's FLOPs
    flops = sorted({point.record.digest: point.cost.flops for point in every_point(tiny_config)}.values())
    flops = [value for value in flops if value <= 1_000_000]
    spread = [flops[round(i * (len(flops) - 1) / 8)] for i in range(9)]
    assert timed[1:10] == spread
    assert report.trial_seconds == pytest.approx([trial * spread[i] for i in (0, 4, 8)])
    assert report.trainings == 8 * report.feasible_share
    assert report.total_seconds == pytest.approx(report.trainings * trial * np.mean(flops), rel=1e-4)  # all, not nine
    assert report.seconds_error is not None and report.seconds_error.largest < 1e-3
    assert report.trainings_within(report.total_seconds / 2) == pytest.approx(report.trainings / 2)
    assert report.trainings_within(2 * report.total_seconds) == report.trainings
    several = replace(report, workers=2, workers_seconds=report.total_seconds / 1.6)
    assert several.trainings_within(report.total_seconds / 2) == pytest.approx(0.8 * report.trainings)


@pytest.mark.parametrize("sampler", ["tpe", "random", "pareto"])
def test_no_more_trainings_than_networks(
    tiny_config: StudyConfig, timed: list[int], sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = (
        check_study(changed(tiny_config, search={"sampler": sampler, "trials": trials})) for trials in (5, 1000)
    )
    assert few.trainings == 5 * (1 if sampler == "pareto" else few.feasible_share)
    assert few.feasible_share < 1 and many.trainings == many.networks
    monkeypatch.setattr(counting, "_WHOLE", 0)
    sampled = check_study(changed(tiny_config, search={"sampler": sampler, "trials": 1000}))
    assert sampled.trainings == 1000 * (1 if sampler == "pareto" else sampled.feasible_share)


def test_a_single_network_is_checked(tiny_config: StudyConfig, timed: list[int]) -> None:
    report = check_study(changed(tiny_config, search={"spaces": "resnet_small", "width": 0.5, "depth": 0.5}))
    assert (report.points, report.networks, report.feasible_share, len(set(timed))) == (1, 1, 1, 1)
    assert report.exact and report.trainings == 1
    assert (report.image_seconds, report.seconds_error, report.kept) == (None, None, False)
    assert report.total_seconds == report.trial_seconds[0]


def test_a_band_that_no_network_lies_in_is_refused(tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    band = changed(tiny_config, budget={"flops": {"min": 500_001, "max": 500_002}})
    networks = len({point.record.digest for point in every_point(band)})
    with pytest.raises(BudgetError, match=f"none of the {networks} networks meets it; they have .*k to .*M FLOPs"):
        check_study(band)
    monkeypatch.setattr(counting, "_WHOLE", 0)
    with pytest.raises(BudgetError, match=f"none of the sampled {networks} networks meets it"):
        check_study(band)


def test_check_measures_what_the_budget_bounds(tiny_config: StudyConfig, timed: list[int]) -> None:
    document = tiny_config.model_dump()
    search = {**document["search"], "kernel": [3, 5], "squeeze_excitation": [True, False]}
    limits = {"peak_memory": {"max": "40k"}, "latency_ms": {"max": 100_000.0}}
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
    single = changed(tiny_config, search={"spaces": "resnet_small", "width": 0.5, "depth": 0.5})
    report = check_study(single)
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
    tiny_config: StudyConfig,
    timed: list[int],
    monkeypatch: pytest.MonkeyPatch,
    nas_command: Callable[..., Any],
    speed: float,
    said: bool,
) -> None:
    report = replace(
        check_study(tiny_config), speeds={"float32, channels last": 100.0, "bfloat16, channels first": speed}, skipped=3
    )
    monkeypatch.setattr(check, "check_study", lambda *a, **k: report)
    out = nas_command("check", "digits").out
    assert ("1.50 times as fast with recipe.precision: bfloat16, recipe.channels_last: false" in out) == said
    assert "3 broken images are left out" in out


def test_a_sample_is_not_called_the_whole(
    tiny_config: StudyConfig, timed: list[int], monkeypatch: pytest.MonkeyPatch, nas_command: Callable[..., Any]
) -> None:
    monkeypatch.setattr(counting, "_WHOLE", 0)
    Path("mine.yaml").write_text(yaml.safe_dump({**TINY, "budget": {"latency_ms": {"max": 1000}}}))
    out = nas_command("check", "mine.yaml").out
    assert "100.0 % of 32 random proposals meet it; there are too many points to count them all" in out
    assert "they give at least 16 distinct networks\n" in out
    assert "about 8 trainings" in out and "with one worker, if all are fast enough\n" in out


def test_a_class_of_most_images_calls_for_another_metric(tiny_config: StudyConfig) -> None:
    dataset = load_data(tiny_config.data)
    assert check._advice(tiny_config.recipe, dataset) == []
    rare = np.concatenate([np.flatnonzero(dataset.train.labels == 3), np.flatnonzero(dataset.train.labels != 3)[:20]])
    uneven = replace(dataset, train=dataset.train.take(rare))
    (line,) = check._advice(tiny_config.recipe, uneven)
    assert line.startswith("class 3 has ") and "recipe.metric: balanced_accuracy" in line
    assert check._advice(Recipe(metric="macro_f1"), uneven) == []


def test_a_key_without_effect_is_told_by_check_and_search_and_the_study_goes_on(tmp_path: Path) -> None:
    path, line = tmp_path / "idle.yaml", "recipe.patience has no effect: it needs schedule to be plateau"
    said = list[str]()

    def search(recipe: dict[str, object]) -> None:
        said.clear()
        path.write_text(yaml.safe_dump({**TINY, "name": "idle", "recipe": {**TINY["recipe"], **recipe}}))
        run_study(path, trials=1, on_event=lambda event: said.append(event.text) if isinstance(event, Noted) else None)

    search({})
    assert not any("no effect" in text for text in (*said, *check_study(path).notes))
    search({"patience": 2})  # the default, now said: the same study
    assert sum(text.startswith(line) for text in said) == 1
    assert sum(text.startswith(line) for text in check_study(path).notes) == 1
    assert len(open_study(path).trials()) == 2


def test_steps_of_one_image_are_refused_before_anything_is_trained() -> None:
    config = StudyConfig.model_validate({**TINY, "recipe": {"epochs": 1, "batch_size": 1}})
    for ask in (check_study, run_study):
        with pytest.raises(ConfigError, match=r"recipe.batch_size: steps of 1 image are too small: .* at least 2"):
            ask(config)
    assert not Path("studies").exists()


def test_halving_is_advised_against_where_it_did_not_pay(tiny_config: StudyConfig) -> None:
    def told(**changes: Any) -> list[str]:
        return check._halving_advice(tiny_config.search.model_copy(update=changes))

    (line,) = told(halving=Halving(first=1, factor=3), sampler="pareto")
    assert "leaving it out" in line
    assert told(sampler="pareto") == told(halving=Halving(first=1, factor=3), sampler="random") == []
