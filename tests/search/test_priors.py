"""A study is told an earlier one: by name, file or table; what it was told is kept as coefficients."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY, Outcome

from nas.config.prior import Prior
from nas.config.study import StudyConfig, config_from_json, definition_digest, load_study_config
from nas.errors import ConfigError, StudyError
from nas.search.opening import open_study
from nas.search.priors import scaling_prior
from nas.search.run.events import Noted
from nas.search.run.start import run_study
from nas.search.samplers import make_sampler
from nas.search.study import Study
from nas.search.tabled import table_of
from nas.tables import write_table

PRIOR = Prior(source="old", slopes={"width": -0.1}, cost=-0.2, covariance=((1.0, 0.0), (0.0, 1.0)))


SEARCH = {key: value for key, value in TINY["search"].items() if key != "startup_trials"} | {"sampler": "pareto"}


def study_file(folder: Path, **search: Any) -> Path:
    path = folder / "later.yaml"
    path.write_text(yaml.safe_dump({**TINY, "name": "later", "search": {**SEARCH, **search}}))
    return path


@pytest.fixture
def table(finished_study: Study, tmp_path: Path) -> Path:
    path = tmp_path / "earlier.csv.gz"
    write_table(table_of(finished_study), path)
    return path


def enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the few trainings of the tests' study be enough."""
    monkeypatch.setattr("nas.sampling.fitting._LEAST", 2)
    monkeypatch.setattr("nas.sampling.fitting._EACH", 0)


def test_a_study_and_its_table_make_the_same_prior(
    finished: Path, finished_study: Study, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough(monkeypatch)
    ofs = [scaling_prior(source) for source in (finished, finished_study, table)]
    assert len({prior.digest for prior in ofs}) == 1
    assert [prior.source for prior in ofs] == [finished.name, finished_study.name, table.name]
    assert set(ofs[0].slopes) <= {"width", "depth", "resolution"} and ofs[0].slopes


def test_a_prior_is_read_once_and_kept(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enough(monkeypatch)
    path, expected = study_file(tmp_path, prior=table.name), scaling_prior(table)
    config = load_study_config(path)[0].search
    assert config.prior == str(tmp_path / table.name) and config.startup_trials == 2
    run_study(path, trials=1)
    with open_study(path) as begun:
        assert begun.config.search.prior == expected
        digest = begun.store.definition_digest()
    table.unlink()
    run_study(path, trials=1)  # what was read is kept
    study_file(tmp_path)  # as is what the file no longer says
    run_study(path, trials=1)
    with open_study(path) as begun:
        assert len(begun.trials()) == 3 and begun.store.definition_digest() == digest


def test_the_same_prior_from_elsewhere_is_no_change_and_another_is(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough(monkeypatch)
    path = study_file(tmp_path, prior=table.name)
    run_study(path, trials=1)
    shutil.move(table, tmp_path / "moved.csv.gz")
    study_file(tmp_path, prior="moved.csv.gz")
    run_study(path, trials=1)
    study_file(tmp_path, prior=PRIOR.model_dump(mode="json"))
    digest = PRIOR.digest
    with pytest.raises(
        StudyError, match=f"cannot continue with a changed definition .search.prior was .*, is {digest}"
    ):
        run_study(path, trials=1)


def test_a_study_that_began_without_one_is_given_none(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough(monkeypatch)
    path = study_file(tmp_path)
    run_study(path, trials=1)
    study_file(tmp_path, prior=table.name, startup_trials=4)
    with pytest.raises(StudyError, match="search.prior was None, is "):
        run_study(path, trials=1)


def test_the_sampler_is_told_it(tiny_config: StudyConfig) -> None:
    search = tiny_config.search.model_copy(update={"prior": PRIOR, "sampler": "pareto"})
    assert make_sampler(search, lambda parameters: None)._prior == PRIOR  # type: ignore[arg-type, attr-defined]
    assert make_sampler(search.model_copy(update={"prior": None}), lambda parameters: None)._prior is None  # type: ignore[arg-type, attr-defined]


def test_a_definition_with_a_prior_is_kept_as_json() -> None:
    config = StudyConfig.model_validate({**TINY, "search": {**SEARCH, "prior": PRIOR.model_dump(mode="json")}})
    assert config_from_json(config.model_dump_json()) == config
    moved = config.model_copy(
        update={"search": config.search.model_copy(update={"prior": PRIOR.model_copy(update={"source": "x"})})}
    )
    digests = {definition_digest(json.loads(one.model_dump_json())) for one in (config, moved)}
    assert len(digests) == 1 and config.definition()["search"]["prior"] == PRIOR.digest


@pytest.mark.parametrize("search", [{"sampler": "tpe"}, {"sampler_version": 2}])
def test_what_takes_no_prior_says_so(search: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="search.prior: needs sampler: pareto and sampler_version: 3"):
        load_study_config(study_file(tmp_path, prior="x.csv", **search))


def test_a_prior_that_cannot_be_read_or_does_not_apply_is_one_line(
    table: Path, finished: Path, tmp_path: Path, nas_command: Callable[..., Outcome]
) -> None:
    strange = {"source": "speech", "slopes": {"layers": 0.1}, "cost": 0.0, "covariance": [[1.0, 0.0], [0.0, 1.0]]}
    for prior, says in (
        ("none.csv", f"search.prior: {tmp_path}/none.csv: cannot be read"),
        ("nothing", "search.prior: "),
        (
            table.name,
            f"search.prior: a prior of {table.name} needs at least 8 trained networks or trials, but there are",
        ),
        (strange, "the prior of speech knows none of the parameters that are searched: layers not used; "),
    ):
        said = nas_command("search", study_file(tmp_path, prior=prior), "--trials", 1)
        assert said.code == 2 and says in said.err and said.err.count("\n") == 1, said.err
    with pytest.raises(StudyError, match="has not been run yet"):  # nothing is written of a study that was refused
        open_study(study_file(tmp_path))


def test_a_prior_of_some_other_parameters_is_told(tmp_path: Path) -> None:
    half = PRIOR.model_copy(update={"slopes": {"width": -0.1, "layers": 0.1}, "covariance": ((1.0,) * 3,) * 3})
    path = study_file(tmp_path, prior=half.model_dump(mode="json"))
    said = list[str]()
    run_study(path, trials=1, on_event=lambda event: said.append(event.text) if isinstance(event, Noted) else None)
    (line,) = (text for text in said if "prior" in text)
    assert line.startswith("the prior of old has other parameters than this search: layers not used")


def test_a_study_in_the_same_database_is_found_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enough(monkeypatch)
    (tmp_path / "first.yaml").write_text(yaml.safe_dump({**TINY, "name": "first"}))
    shared = f"sqlite:///{tmp_path}/shared.db"
    run_study(tmp_path / "first.yaml", trials=6, storage=shared)
    path = study_file(tmp_path, prior="first.yaml")
    with pytest.raises(ConfigError, match="search.prior: study 'first' has not been run yet in "):
        run_study(path, trials=1)
    told = scaling_prior(tmp_path / "first.yaml", storage=shared)
    run_study(path, trials=1, storage=shared)
    with open_study(path, storage=shared) as begun:
        assert begun.config.search.prior == told


def test_check_reads_the_prior_too(tmp_path: Path, nas_command: Callable[..., Outcome]) -> None:
    said = nas_command("check", study_file(tmp_path, prior="none.csv"))
    assert said.code == 2 and "none.csv: cannot be read" in said.err
