"""What a result does not say by itself is said beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from conftest import TINY, Outcome

from nas.analysis.findings import findings
from nas.config.study import StudyConfig
from nas.fronts.judged import judge
from nas.records import ClassNumbers, Epoch, TrialRecord
from nas.report.page import render_report
from nas.search.run.start import run_study
from nas.search.study import Study

RISING, FLAT = (0.5, 0.6, 0.7), (0.6, 0.7, 0.7)


class Told:
    """A study of two networks that are clearly apart."""

    name = "told"

    def __init__(
        self,
        *,
        widths: tuple[float, float] = (0.5, 0.75),
        accuracies: tuple[float, ...] = (0.5, 0.8),
        curve: tuple[float, ...] = FLAT,
        labels: ClassNumbers | None = None,
        **changes: Any,
    ) -> None:
        self.config = StudyConfig.model_validate({**TINY, **changes})
        trials = [
            TrialRecord(i, "resnet_small", width, 0.5, 8, f"{i}", 1000 * (i + 1), 1, 1, "trained", accuracy=accuracy)
            for i, (width, accuracy) in enumerate(zip(np.linspace(*widths, len(accuracies)), accuracies, strict=True))
        ]
        self.judgement = lambda: judge(trials, [], val_images=1000)
        self.val_labels = lambda: labels
        points = [Epoch(i, 1.0, 0.5, 1.0, accuracy, 1.0) for i, accuracy in enumerate(curve, start=1)]
        self.curves = lambda numbers: dict.fromkeys(numbers, points)


def told(**changes: Any) -> list[str]:
    return findings(cast(Study, Told(**changes)))


def test_where_all_is_well_nothing_is_said() -> None:
    assert told() == []


def test_before_any_training_it_says_so() -> None:
    assert told(accuracies=()) == ["Nothing is trained yet."]


def test_a_front_that_ends_at_a_border_names_it() -> None:
    assert told(widths=(0.5, 1.0)) == [
        "The front ends at the upper border of width (1): widen search.width to see what lies beyond."
    ]
    assert told(widths=(0.25, 0.75)) == [
        "The front begins at the lower border of width (0.25): widen search.width to see what lies beyond."
    ]
    search = {**TINY["search"], "depth": {"min": 0.5, "max": 1.0, "step": 0.25}}
    assert told(widths=(0.25, 0.75), search=search) == [
        "The front begins at the lower border of width (0.25) and depth (0.5): widen search.width and search.depth to"
        " see what lies beyond."
    ]


def test_a_border_that_no_step_reaches_is_the_last_step() -> None:
    search = {**TINY["search"], "width": {"min": 0.25, "max": 1.0, "step": 0.2}}
    assert any("upper border of width (0.85)" in line for line in told(widths=(0.45, 0.85), search=search))


def test_a_border_beyond_which_the_budget_ends_is_none() -> None:
    assert told(widths=(0.5, 1.0), budget={"flops": {"max": 2100}}) == []
    assert told(widths=(0.25, 0.75), budget={"flops": {"min": 950, "max": "1M"}}) == []


def test_curves_that_still_rise_ask_for_longer_training() -> None:
    assert told(curve=RISING) == [
        "The curves of the front still rise, by 10.0 points in the last epoch: train longer (recipe.epochs)."
    ]
    assert told(curve=(*(i / 25 for i in range(20)),)) == [
        "The curves of the front still rise, by 8.0 points in the last 2 epochs: train longer (recipe.epochs)."
    ]


def test_networks_that_always_answer_the_largest_class_are_found() -> None:
    labels = np.repeat([0, 1, 2], (100, 500, 400))
    assert told(labels=labels) == [
        "1 of 2 networks are no better than always answering class 1, the largest, within noise: its accuracy is"
        " 50.0 %."
    ]
    assert any(line.startswith("No network is better") for line in told(labels=labels, accuracies=(0.5, 0.505)))
    balanced = told(labels=labels, recipe={"metric": "balanced_accuracy"}, accuracies=(0.35, 0.8))
    assert "balanced accuracy is 33.3 %" in balanced[0]


def test_a_front_within_noise_says_so() -> None:
    alike = told(accuracies=(0.70, 0.701, 0.702, 0.703, 0.704))
    assert any(line.startswith("All of the front is within noise") for line in alike)


def test_front_search_and_report_show_them(
    nas_command: Callable[..., Outcome], tiny_config: StudyConfig, own_finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.analysis.findings._all_alike", lambda front: ["All is alike."])
    assert "All is alike." in nas_command("front", own_finished).out
    assert "All is alike." in json.loads(nas_command("front", own_finished, "--json").out)["findings"]
    assert "All is alike." in nas_command("search", own_finished, "--trials", "0").out
    from nas.search.opening import open_study

    assert "<li>All is alike.</li>" in render_report(open_study(own_finished))


def test_a_study_without_trainings_has_no_best(nas_command: Callable[..., Outcome], tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps(TINY))
    run_study(path, trials=0)
    assert "nothing trained yet" in nas_command("status", path).out
    assert json.loads(nas_command("status", path, "--json").out)["best_accuracy"] is None
