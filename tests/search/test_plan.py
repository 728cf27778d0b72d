"""Studies that train the networks of a plan, and scaling studies beside a study in the same database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY

from nas.config.search import Asked, PlannedNetwork
from nas.config.study import StudyConfig
from nas.errors import ConfigError, StudyError
from nas.executors import inline
from nas.records import TrialRecord
from nas.schema import validate
from nas.search.alike import alike
from nas.search.evidence import evidence_for
from nas.search.opening import find_study, open_study
from nas.search.run.start import run_study
from nas.search.study import Study

PLAN: list[dict[str, Any]] = [
    {"space": "efficientnet_small", "width": 0.5, "depth": 0.25, "resolution": 8},
    {"width": 0.75, "depth": 0.6, "resolution": 8},
    {"width": 0.25, "depth": 0.25, "resolution": 8},
]
SEARCH = {key: {"min": 0.25, "max": 1.0} for key in ("width", "depth")} | {"resolution": 8}


def planned(plan: list[dict[str, Any]], **search: Any) -> StudyConfig:
    spaces = TINY["search"]["spaces"]
    return StudyConfig.model_validate(
        {**TINY, "budget": {}, "search": {"spaces": spaces, **SEARCH, "plan": plan, **search}}
    )


def points(trials: list[TrialRecord]) -> list[tuple[str, float, float]]:
    return [(trial.space, trial.width, trial.depth) for trial in trials]


WHOLE = [("efficientnet_small", 0.5, 0.25), ("resnet_small", 0.75, 0.6), ("resnet_small", 0.25, 0.25)]


def test_the_networks_of_a_plan_are_trained_in_its_order_and_no_others() -> None:
    study = run_study(planned(PLAN), device="cpu", trials=10)
    assert points(study.trials()) == WHOLE
    assert {trial.state for trial in study.trials()} == {"trained"}
    assert study.config.search.trials == 3


def test_a_plan_goes_on_where_it_stopped_and_may_grow_at_its_end_alone() -> None:
    run_study(planned(PLAN[:2]), device="cpu", trials=1)
    run_study(planned(PLAN[:2]), device="cpu")
    study = run_study(planned(PLAN), device="cpu")
    assert points(study.trials()) == WHOLE
    assert len(open_study(planned(PLAN)).config.search.plan) == 3  # as stored
    with pytest.raises(StudyError, match="networks can only be added at its end"):
        run_study(planned(PLAN[::-1]), device="cpu")
    with pytest.raises(StudyError, match="networks can only be added at its end"):
        run_study(planned(PLAN[:1]), device="cpu")


@pytest.mark.parametrize(
    ("plan", "search", "complaint"),
    [
        ([{**PLAN[1], "width": 9.0}], {}, r"plan: network 1: width 9 is out of range: the study allows 0\.25 to 1"),
        ([PLAN[0], {**PLAN[1], "space": "vgg"}], {}, "plan: network 2: unknown space 'vgg'; known: resnet_small"),
        ([{**PLAN[0], "kernel": 5}], {}, "plan: network 1: kernel 5 is not open in efficientnet_small"),
        (PLAN, {"sampler": "tpe"}, "sampler: tpe does not go with a search.plan"),
        ([], {"sampler": "planned"}, "sampler: planned does not go with no search.plan"),
        ([{"width": 1}], {}, r"plan\[0\].*depth"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_one_line(
    plan: list[dict[str, Any]], search: dict[str, Any], complaint: str
) -> None:
    document = {**TINY, "budget": {}, "search": {"spaces": TINY["search"]["spaces"], **SEARCH, "plan": plan, **search}}
    with pytest.raises(ConfigError, match=complaint) as caught:
        validate(StudyConfig, document, source="plan.yaml")
    assert "\n" not in str(caught.value)


def beside(study: Study, seeds: int = 1, more: int = 0) -> Study:
    """Return a scaling study of one network that the study has trained, and some that it has not."""
    known = next(trial for trial in study.trials() if trial.state == "trained")
    listed = [PlannedNetwork(space=known.space, width=known.width, depth=known.depth, resolution=known.resolution)]
    listed += [
        PlannedNetwork(space="resnet_small", width=0.625, depth=0.9 - 0.5 * i, resolution=8) for i in range(more)
    ]
    replicates = {"seeds": seeds, "of": "spread", "networks": 100} if seeds > 1 else None
    config = planned([network.model_dump(exclude_none=True) for network in listed], replicates=replicates)
    return study.beside("shape", config.model_copy(update={"recipe": study.config.recipe}))


@pytest.fixture
def searched(finished: Path, tmp_path: Path) -> Study:
    """Return a study that has been run, to write to."""
    import shutil

    shutil.copytree(finished.parent, tmp_path / "copy")
    return open_study(tmp_path / "copy" / finished.name)


def test_a_training_that_the_database_holds_is_not_made_again(searched: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[int]()
    work = inline.work
    monkeypatch.setattr(inline, "work", lambda task, *rest, **more: made.append(task.seed) or work(task, *rest, **more))
    ran = run_study(beside(searched, seeds=2, more=1), device="cpu")
    first, second = ran.trials()
    known = next(trial for trial in searched.trials() if trial.digest == first.digest)
    assert (first.accuracy, first.train_seconds, first.seed) == (known.accuracy, known.train_seconds, known.seed)
    assert ran.curves()[0] == searched.curves()[known.number]
    assert (ran.answers()[0, 0] == searched.answers()[known.number, 0]).all()
    assert sorted(made) == sorted([second.seed or 0, *(repeat.seed for repeat in ran.repeats())])
    assert len(made) == 3


def test_evidence_is_pooled_over_studies_that_are_alike(searched: Study) -> None:
    before = evidence_for(searched)
    ran = run_study(beside(searched, seeds=2, more=1), device="cpu")
    pooled = evidence_for(searched)
    assert len(pooled.networks) == len(before.networks) + 1
    assert sum(pooled.trainings) == sum(before.trainings) + 3
    assert {each.name for each in alike(searched)} == {"tiny-shape"}
    assert {n.digest: n.accuracies for n in pooled.networks} == {
        n.digest: n.accuracies for n in evidence_for(ran).networks
    }
    longer = searched.config.recipe.model_copy(update={"epochs": 3})
    other = beside(searched)
    run_study(searched.beside("longer", other.config.model_copy(update={"recipe": longer})), device="cpu")
    assert {each.name for each in alike(searched)} == {"tiny-shape"}


def test_a_scaling_study_is_named_by_its_study(
    searched: Study, nas_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(beside(searched), device="cpu")
    path = searched.directory.with_suffix(".yaml")
    assert path.is_file()
    named = open_study(f"{path}:shape")
    assert named.name == "tiny-shape"
    assert len(named.trials()) == 1
    assert "1 trained" in nas_command("status", f"{path}:shape").out
    assert searched.scaling_names() == ["shape"]
    refused = nas_command("status", f"{path}:trust")
    assert refused.code == 2
    assert "has no scaling study 'trust'" in refused.err
    assert "it has tiny:shape" in refused.err


def test_a_plan_can_stand_in_a_study_file(tmp_path: Path, nas_command: Callable[..., Any]) -> None:
    spaces = TINY["search"]["spaces"]
    document = {**TINY, "budget": {}, "search": {"spaces": spaces, **SEARCH, "plan": PLAN[1:2]}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({key: document[key] for key in document if key != "name"}))
    assert nas_command("search", tmp_path / "mine.yaml", "--device", "cpu").code == 0
    assert points(find_study(tmp_path / "mine.yaml").trials()) == WHOLE[1:2]


def test_what_a_plan_was_asked_is_kept_and_decides_nothing() -> None:
    config = planned(PLAN)

    def asked(*levels: float) -> StudyConfig:
        question = Asked(baseline=config.search.plan[0], levels=levels)
        return config.model_copy(update={"search": config.search.model_copy(update={"asked": question})})

    assert asked(1, 2).definition() == config.definition()
    for levels in ((1, 2), (1, 2, 4)):  # of an equal plan
        with run_study(asked(*levels), trials=0):
            pass
        with open_study(config) as study:
            stored, _ = study.stored() or (None, "")
        assert stored is not None and stored.search.asked is not None
        assert stored.search.asked.levels == levels and stored.search.plan == config.search.plan


def test_a_plan_in_which_two_are_one_network_comes_to_its_end() -> None:
    plan = [{"width": width, "depth": 0.5, "resolution": 8} for width in (0.25, 0.26, 0.5, 0.51)]  # rounded to two
    study = run_study(planned(plan), device="cpu")
    assert [trial.state for trial in study.trials()] == ["trained", "repeated", "trained", "repeated"]
    assert study.missing_trials() == 0
    again = run_study(planned(plan), device="cpu", trials=5)
    assert len(again.trials()) == 4


def test_another_study_of_a_like_name_is_no_scaling_study(searched: Study) -> None:
    config = searched.config.model_copy(update={"name": "tiny-long"})
    run_study(Study(config, searched.directory / "other", searched.database), device="cpu", trials=1)
    run_study(beside(searched), device="cpu")
    assert searched.scaling_names() == ["shape"]
