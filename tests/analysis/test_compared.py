"""Studies side by side: hypervolumes with intervals, what each spent, the best at equal cost, and who is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Outcome
from hypothesis import given
from hypothesis import strategies as st
from plots.made import made_study, study_of
from pretended import STUDY, pretend

from nas.analysis.compared import Comparison, best_at, compare_studies
from nas.analysis.pareto import FrontPoint, NoisyFront
from nas.cli.compare import _document
from nas.cli.tables.compared import studies_table
from nas.errors import StudyError
from nas.fronts.geometry import hypervolume, hypervolumes
from nas.fronts.noise import Noise
from nas.records import TrialRecord
from nas.search.opening import open_study
from nas.search.run.start import run_study

Command = Callable[..., Outcome]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12),
    st.integers(1, 10),
    st.integers(1, 10),
)
def test_many_hypervolumes_are_those_of_each(points: list[tuple[int, int]], cost: int, error: int) -> None:
    costs, errors = np.array(points, float).T
    reference = {"reference_cost": float(cost), "reference_error": float(error)}
    sets = np.stack([errors, errors[::-1], errors + 1])
    expected = [hypervolume(costs, each, **reference) for each in sets]
    assert hypervolumes(costs, sets, **reference).tolist() == pytest.approx(expected)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder of studies: poor and rich, which differ in the networks that were tried alone, and others."""
    found = tmp_path_factory.mktemp("studies")
    changes: dict[str, dict[str, Any]] = {
        "poor": {"search": {"width": {"min": 0.5, "max": 0.5}, "depth": {"min": 0.5, "max": 0.5}, "trials": 5}},
        "rich": {"search": {"trials": 20, "seed": 1}},
        "long": {"recipe": {"epochs": 4}},
        "balanced": {"recipe": {"metric": "balanced_accuracy"}},
        "shapes": {"data": {"shapes": 100}},
        "nothing": {"budget": {"flops": {"max": "3M"}}},
    }
    with pytest.MonkeyPatch.context() as patch:
        pretend(patch)
        patch.chdir(found)
        for name, change in changes.items():
            base = {**STUDY, "data": {"digits": True}}
            document = {**base, "name": name, **{key: {**base.get(key, {}), **new} for key, new in change.items()}}
            if "shapes" in change.get("data", {}):
                document["data"] = change["data"]
            (found / f"{name}.yaml").write_text(yaml.safe_dump(document))
            run_study(found / f"{name}.yaml", trials=1 if name == "nothing" else document["search"]["trials"])
        yield found


@pytest.fixture
def compared(folder: Path) -> Comparison:
    return compare_studies([folder / "poor.yaml", folder / "rich.yaml"])


def test_the_larger_front_is_told_and_how_sure_that_is(compared: Comparison) -> None:
    poor, rich = compared.studies
    assert (poor.name, rich.name) == ("poor", "rich") and poor.ratio is None and rich.ratio is not None
    assert 1 < rich.ratio.low < rich.ratio.median < rich.ratio.high and rich.ratio.larger > 0.99
    assert rich.ratio.median == pytest.approx(rich.hypervolume / poor.hypervolume, rel=0.3)
    assert compared.sentence.startswith("The hypervolume of rich is ")
    assert "times that of poor (95 %: " in compared.sentence and "it is larger in" in compared.sentence
    assert not compared.remarks


def test_a_study_against_itself_is_one_within_its_interval(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "poor.yaml").write_text((folder / "poor.yaml").read_text())
    (tmp_path / "poor").mkdir()
    (tmp_path / "poor" / "study.db").write_bytes((folder / "poor" / "study.db").read_bytes())
    found = compare_studies([folder / "poor.yaml", tmp_path / "poor.yaml"])
    ratio = found.studies[1].ratio
    assert ratio is not None and ratio.low < 1 < ratio.high and abs(ratio.larger - 0.5) < 0.05
    assert found.studies[0].hypervolume == found.studies[1].hypervolume
    assert [one.name for one in found.studies] == ["poor (1)", "poor (2)"]
    assert "which of the two is larger is not sure" in found.sentence
    assert all(at.ahead is None for at in found.at_costs)


def test_a_front_beyond_the_reference_is_worth_nothing_and_no_figure_is_made_of_it() -> None:
    base = next(trial for trial in made_study().trials() if trial.state == "trained")
    places = {"dear": [(20_000_000, 0.5)], "good": [(1_000_000, 0.9), (10_000_000, 0.95)]}
    dear, good = (
        study_of(
            [replace(base, number=n, digest=f"{name}{n}", flops=f, accuracy=a) for n, (f, a) in enumerate(networks)],
            name=name,
        )
        for name, networks in places.items()
    )
    found = compare_studies([dear, good])
    assert found.studies[0].hypervolume == 0 and found.studies[1].ratio is not None
    assert math.isinf(found.studies[1].ratio.median) and found.studies[1].ratio.larger == 1
    assert found.sentence == (
        "The hypervolume of good is more than 1,000 times that of dear (95 %: more than 1,000 to more than 1,000); it"
        " is larger in 100 % of the draws."
    )
    assert studies_table(found, width=100).row_count == 2
    assert "Infinity" not in json.dumps(_document(found, None))


def test_what_each_spent_is_what_its_trainings_took(folder: Path) -> None:
    first, _ = compare_studies([folder / "poor.yaml", folder / "rich.yaml"]).studies
    with open_study(folder / "poor.yaml") as study:
        trained = [trial for trial in study.trials() if trial.state == "trained"]
    assert first.spent.trainings == len(trained) == first.states["trained"]
    assert first.spent.compute == 2 * sum(trial.flops for trial in trained)
    assert first.spent.hours == pytest.approx(1e-8 * sum(trial.flops for trial in trained) / 3600)


def test_at_equal_cost_each_study_has_its_best_within_it(compared: Comparison) -> None:
    bounds = [at.max_flops for at in compared.at_costs]
    assert bounds == sorted(set(bounds)) and len(bounds) == 4
    for at in compared.at_costs:
        for point, one in zip(at.best, compared.studies, strict=True):
            within = [other for other in one.front.points if other.trial.flops <= at.max_flops]
            assert point is max(within, key=lambda other: other.shrunk_accuracy, default=None)
    last = compared.at_costs[-1]
    values = [point.shrunk_accuracy for point in last.best if point is not None]
    assert max(values) == values[1] and last.ahead == 1, "the rich study has the best of all, beyond noise"


def front(accuracy: float, error: float, flops: int = 10) -> NoisyFront:
    trial = TrialRecord(0, "s", 1.0, 1.0, 8, "d", flops, 1, 1, state="trained")
    point = FrontPoint(trial, accuracy, accuracy, None, 1, error, 1.0, None)
    return NoisyFront((point,), (), Noise(0.01, 0, 100))


@pytest.mark.parametrize(
    ("second", "ahead"),
    [
        (front(0.95, 0.01), 1),
        (front(0.91, 0.01), None),
        (front(0.95, 0.05), None),
        (front(0.95, 0.01, flops=30), 0),
    ],
    ids=["beyond noise", "within noise", "too noisy", "too dear"],
)
def test_who_is_ahead_is_so_beyond_noise(second: NoisyFront, ahead: int | None) -> None:
    found = best_at(20, [front(0.9, 0.01), second])
    assert found.ahead == ahead and (found.best[1] is None) == (ahead == 0)


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["poor"], "to compare takes two studies or more, but 1 was given"),
        (["poor", "poor"], "study 'poor' was given twice; give another"),
        (["poor", "balanced"], "one goes by accuracy, the other by balanced accuracy"),
        (["poor", "rich", "shapes"], "studies 'poor' and 'shapes' cannot be compared: they were run on other images"),
        (["poor", "nothing"], "study 'nothing' has no network that was trained to the end yet"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(folder: Path, names: list[str], complaint: str) -> None:
    with pytest.raises(StudyError) as caught:
        compare_studies([folder / f"{name}.yaml" for name in names])
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_other_recipes_are_remarked(folder: Path) -> None:
    (remark,) = compare_studies([folder / "poor.yaml", folder / "long.yaml"]).remarks
    assert remark == "Recipes differ in epochs (2, 4): accuracies tell of that too."


def test_the_command_prints_tables_or_json(folder: Path, nas_command: Command) -> None:
    files = [folder / "poor.yaml", folder / "rich.yaml"]
    shown = nas_command("compare", *files)
    assert shown.code == 0 and "The hypervolume of rich is" in shown.out and "The best at equal cost" in shown.out
    assert "one reference and one range of FLOPs for all" in shown.out
    document = json.loads(nas_command("compare", *files, "--json", "-o", "fronts.html").out)
    assert document["figure"] == "fronts.html" and "poor" in Path("fronts.html").read_text()
    assert [one["study"] for one in document["studies"]] == ["poor", "rich"] and document["sentence"] in shown.out
    assert document["studies"][1]["ratio"]["low"] > 1 and document["studies"][0]["ratio"] is None
    assert math.isfinite(document["reference"]["log_flops"]) and len(document["at_costs"]) == 4
    wrong = nas_command("compare", folder / "poor.yaml", folder / "shapes.yaml")
    assert (wrong.code, wrong.out) == (2, "") and wrong.err.count("\n") == 1
