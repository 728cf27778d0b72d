"""Tables of trainings: written, read, refused."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import TINY

from nas.config.study import StudyConfig
from nas.data.sources import DataConfig
from nas.errors import StudyError
from nas.records import Repeat
from nas.replay.problem import Yardstick, problem_of
from nas.search.proposals import Networks, distributions
from nas.search.run.start import run_study
from nas.search.storage.database import Database
from nas.search.study import Study
from nas.search.tabled import table_of
from nas.tables import Table, read_table, write_table


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Return a study whose networks were trained once, and two of them once more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("repeated"))
        search = {**TINY["search"], "trials": 5, "replicates": {"seeds": 2, "of": "spread", "networks": 2}}
        study = run_study(StudyConfig.model_validate({**TINY, "search": search}), device="cpu")
        directory = study.directory.resolve()
        return Study(study.config, directory, Database.in_folder(directory))


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_a_table_is_read_as_it_was_written(repeated: Study, name: str, tmp_path: Path) -> None:
    table = table_of(repeated, train_images=280)
    write_table(table, tmp_path / name)
    again = read_table(tmp_path / name)
    assert again.study == table.study
    assert again.kind == table.kind
    assert again.facts["train_images"] == 280
    pd.testing.assert_frame_equal(again.frame, table.frame, rtol=1e-2, check_dtype=False)
    write_table(again, tmp_path / f"again_{name}")
    assert (tmp_path / f"again_{name}").read_bytes() == (tmp_path / name).read_bytes()


def test_a_table_has_every_training_of_a_study_with_its_whole_curve(repeated: Study) -> None:
    table, trials = table_of(repeated), {trial.digest: trial for trial in repeated.trials() if trial.state == "trained"}
    assert table.curves.keys() == trials.keys()
    curves = repeated.curves()
    for digest, trainings in table.curves.items():
        assert list(trainings[0]) == curves[trials[digest].number]
    repeats = [repeat for repeat in repeated.repeats() if repeat.state == "trained"]
    digests = {trial.number: trial.digest for trial in repeated.trials()}
    assert len(repeats) == 2
    for repeat in repeats:
        assert table.curves[digests[repeat.number]][repeat.repeat] == repeat.curve


def test_any_point_of_the_space_is_a_network_of_the_table_without_its_images(repeated: Study, tmp_path: Path) -> None:
    write_table(table_of(repeated), tmp_path / "table.csv")
    table = read_table(tmp_path / "table.csv")
    problem = problem_of(table)
    for _, row in table.frame.drop_duplicates("digest").iterrows():
        point = {name: row[name] for name in distributions(table.study.search)}
        assert Networks(table.study, table.kind)(point).digest == row["digest"]
        assert problem.identity(point) == row["digest"]
        assert problem.entries[row["digest"]].cost == row["flops"]
    strange = {"space": "resnet_small", "width": 0.25, "depth": 0.25}
    assert problem.allowed(strange)
    assert problem.identity(strange) in problem.entries  # the nearest known


def test_the_yardstick_gives_the_whole_front_one(repeated: Study) -> None:
    problem = problem_of(table_of(repeated))
    entries, measure = list(problem.entries.values()), Yardstick(problem)
    assert measure.share(entries) == pytest.approx(1)
    assert 0 <= measure.share(entries[:1]) < 1
    assert measure.share([]) == 0


def test_a_table_does_not_tell_where_its_images_lay(repeated: Study, tmp_path: Path) -> None:
    table = table_of(repeated)
    data = DataConfig(cifar=tmp_path / "secret" / "cifar-10-batches-bin")
    moved = Table(table.study.model_copy(update={"data": data}), table.kind, table.frame, {})
    write_table(moved, tmp_path / "table.csv")
    assert "secret" not in (tmp_path / "table.csv").read_text()
    assert str(read_table(tmp_path / "table.csv").study.data.cifar) == "cifar-10-batches-bin"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is not a table of trainings"),
        (b"digest,flops\na,1\n", "is not a table of trainings"),
        (b'# {"study": {}, "classes": 10, "channels": 1}\na\n', "name: is missing"),
        (b"\xff\xfe", "is not a table of trainings"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(StudyError, match=complaint) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_without_some_column_says_which(repeated: Study, tmp_path: Path) -> None:
    table = table_of(repeated)
    write_table(Table(table.study, table.kind, table.frame, {}), tmp_path / "table.csv.gz")
    head, _, body = gzip.decompress((tmp_path / "table.csv.gz").read_bytes()).decode().partition("\n")
    (tmp_path / "less.csv").write_text(f"{head}\n{body.replace('val_accuracy', 'accuracy')}")
    with pytest.raises(StudyError, match="missing columns: val_accuracy"):
        read_table(tmp_path / "less.csv")
    with pytest.raises(StudyError, match="cannot be read"):
        read_table(tmp_path / "nowhere.csv")
    (tmp_path / "broken.csv.gz").write_bytes(b"not packed")
    with pytest.raises(StudyError, match="is not a table|cannot be read"):
        read_table(tmp_path / "broken.csv.gz")


def test_a_network_that_two_workers_trained_is_in_a_table_once(
    repeated: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, trials = table_of(repeated), repeated.trials()
    trained, number = next(trial for trial in trials if trial.state == "trained"), len(trials)
    curves = {**repeated.curves(), number: repeated.curves()[trained.number]}
    again = Repeat(number, 1, "trained", accuracy=0.5, curve=tuple(curves[number]))
    monkeypatch.setattr(Study, "trials", lambda study: [*trials, replace(trained, number=number)])
    monkeypatch.setattr(Study, "curves", lambda study: curves)
    monkeypatch.setattr(Study, "repeats", lambda study: [again])
    twice = table_of(repeated)
    assert len(twice.curves) == len(once.curves)
    assert twice.curves[trained.digest].keys() == {0, 1}
    assert len(twice.frame) == sum(len(curve) for found in twice.curves.values() for curve in found.values())
