"""What is read of a study's database where it cannot be written, and when trainings ended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from conftest import Outcome

from nas.errors import StudyError
from nas.search.opening import find_study, open_study
from nas.search.storage.database import Database
from nas.search.storage.optuna_study import ENDED, METRICS
from nas.search.storage.reading import trial_ends
from nas.search.storage.schema import SCHEMA_VERSION
from nas.search.study import Study


def read_only(study: Study) -> str:
    """Return the URL at which SQLite lets nobody write, root neither."""
    return f"sqlite:///file:{study.directory / 'study.db'}?mode=ro&uri=true"


@pytest.mark.parametrize("command", ["status", "front", "report"])
def test_looking_writes_nothing(own_study: Study, nas_command: Any, own_finished: Path, command: str) -> None:
    before = (own_study.directory / "study.db").read_bytes()
    more = ["-o", "elsewhere/report.html"] if command == "report" else []
    outcome: Outcome = nas_command(command, own_finished, *more, "--storage", read_only(own_study))
    assert (outcome.code, outcome.err) == (0, "")
    assert (own_study.directory / "study.db").read_bytes() == before


def test_an_earlier_schema_that_cannot_be_brought_up_to_date_is_one_line(own_study: Study, own_finished: Path) -> None:
    with own_study.database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE nas_schema SET version = 1"))
    with pytest.raises(StudyError, match=f"schema 1, this one reads {SCHEMA_VERSION}.* make it writable, or copy it"):
        open_study(own_finished, storage=read_only(own_study))
    assert open_study(own_finished).trials()


def test_a_new_study_names_its_metrics_and_one_without_them_goes_on(own_study: Study) -> None:
    assert own_study.optuna().metric_names == METRICS
    with own_study.database.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM study_system_attributes WHERE key LIKE '%metric_names%'"))
    own_study.close()
    again = find_study(own_study.directory.with_suffix(".yaml"))
    assert again.optuna().metric_names is None
    assert again.ended()


def test_the_night_that_clocks_go_back_reorders_nothing() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for second in (0.0, 1800.0, 3600.0, 5400.0):  # Optuna would have written 2:00, 2:30, 2:00, 2:30
        trial = optuna.trial.create_trial(values=[0, 0], user_attrs={ENDED: second})
        trial.datetime_complete = datetime(2026, 10, 25, 2, 30 * (second in (1800.0, 5400.0)))
        study.add_trial(trial)
    ends = trial_ends(study)
    assert sorted(ends, key=lambda number: ends[number]) == [0, 1, 2, 3]
    assert ends[3] == datetime.fromtimestamp(5400, UTC)


def test_trials_of_earlier_versions_end_when_optuna_says(own_study: Study) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(optuna.trial.create_trial(values=[0, 0]))
    (ended,) = trial_ends(study).values()
    assert ended.tzinfo is UTC and abs((datetime.now(UTC) - ended).total_seconds()) < 600
    assert all(ENDED in trial.user_attrs for trial in own_study.optuna().get_trials())


def test_a_folder_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="the name is not UTF-8 text"):
        Database.in_folder(tmp_path / "x\udcff")
    with pytest.raises(StudyError, match="is not UTF-8 text"):
        Database("sqlite:///x\udcff.db")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://u:secret@h/db", r"driver 'MySQLdb' is not installed; pip install mysqlclient"),
        ("postgresql+psycopg2://u:secret@h/db", r"driver 'psycopg2' is not installed; pip install psycopg2-binary"),
        ("mysql+pymysql://u:secret@h/db", r"driver 'pymysql' is not installed; pip install pymysql"),
        ("postgresql+asyncpg://u:secret@h/db", "driver 'asyncpg' is asynchronous"),
    ],
)
def test_a_driver_that_is_missing_is_named_as_its_package(
    finished: Path, url: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("MySQLdb", "psycopg2", "pymysql"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(StudyError, match=message) as caught:
        open_study(finished, storage=url)
    assert "secret" not in str(caught.value)
