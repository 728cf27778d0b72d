"""A whole search learns from a teacher, whose weights are part of what the study is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY

from nas.architecture.space import load_space
from nas.config.study import StudyConfig, definition_of, load_study_config
from nas.data.sources import DataConfig, load_data
from nas.errors import ConfigError, StudyError
from nas.models.build import build_model
from nas.search.run.start import run_study
from nas.training.teacher_folder import facts_of, write_teacher


def write_bundle(folder: Path) -> Path:
    dataset = load_data(DataConfig(digits=True, limit=400))
    architecture = load_space("resnet_small").architecture(
        width=0.25, depth=0.25, resolution=8, num_classes=10, in_channels=1
    )
    write_teacher(folder, architecture, build_model(architecture).state_dict(), facts_of(dataset))
    return folder


def study_file(folder: Path, teacher: str, name: str = "taught", **section: Any) -> Path:
    path = folder / f"{name}.yaml"
    kept = {key: value for key, value in TINY["search"].items() if key != "startup_trials"}
    search = {**kept, "trials": 1, "sampler": "random"}
    recipe = {**TINY["recipe"], "epochs": 1, "distillation": {"teacher": teacher, **section}}
    path.write_text(yaml.safe_dump({**TINY, "name": name, "search": search, "recipe": recipe}))
    return path


def test_a_study_goes_on_with_the_teacher_it_began_with_and_with_no_other(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    path = study_file(tmp_path, "bundle")
    with run_study(path) as study:
        section = study.config.recipe.distillation
        assert section is not None
        assert (len(section.digests), section.folders) == (1, (str(tmp_path / "bundle"),))
        assert [trial.state for trial in study.trials()] == ["trained"]
        known = definition_of(study.config.model_dump(mode="json"))["recipe"]["distillation"]
        assert known == {"temperature": 4.0, "weight": 0.9, "digests": list(section.digests)}
    with run_study(path) as again:
        assert len(again.trials()) == 1
    shutil.move(tmp_path / "bundle", tmp_path / "moved")
    with run_study(study_file(tmp_path, "moved")) as moved:
        assert len(moved.trials()) == 1
    write_bundle(tmp_path / "other")
    with pytest.raises(StudyError, match=r"changed definition \(recipe\.distillation\.digests"):
        run_study(study_file(tmp_path, "other"))
    with pytest.raises(StudyError, match=r"recipe\.distillation\.temperature was 4.0, is 2.0"):
        run_study(study_file(tmp_path, "moved", temperature=2))


def test_a_trial_of_another_study_teaches_and_may_go_afterwards(own_finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe.distillation: trial 999 of 'tiny' does not exist"):
        run_study(study_file(tmp_path, f"{own_finished}#999", name="none"))
    path = study_file(tmp_path, f"{own_finished}#0", name="after")
    with run_study(path) as study:
        assert [trial.state for trial in study.trials()] == ["trained"]
        assert (study.directory / "teachers" / f"{own_finished.name}-0" / "weights.safetensors").is_file()
    shutil.rmtree(own_finished.with_suffix(""), ignore_errors=True)
    with run_study(path) as again:
        assert again.missing_trials() == 0


def test_who_cannot_teach_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe.distillation: .*nobody: is no trained network: architecture.json"):
        run_study(study_file(tmp_path, "nobody"))
    with pytest.raises(ConfigError, match=r"taught.yaml: recipe\.distillation\.weight"):
        load_study_config(study_file(tmp_path, "nobody", weight=2))


def test_a_study_without_a_teacher_is_defined_as_it_always_was() -> None:
    assert "distillation" not in StudyConfig.model_validate(TINY).definition()["recipe"]
