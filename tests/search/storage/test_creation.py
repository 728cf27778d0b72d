"""Databases that are created, brought up to date, half-made, killed meanwhile, or made by two at the same moment.

``NAS_TEST_DATABASES`` names databases of further servers as URLs, with blanks between them. What is in them is lost.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import FORKING, scaled
from optuna.storages._rdb import models
from servers import Server

from nas.errors import StudyError
from nas.search.opening import open_study
from nas.search.run.start import run_study
from nas.search.seconds import checked_seconds
from nas.search.storage.creation import bring_up_to_date, is_up_to_date
from nas.search.storage.database import Database
from nas.search.storage.optuna_study import METRICS, open_optuna_study
from nas.search.storage.schema import METADATA, SCHEMA_VERSION, VERSIONS
from nas.search.study import Study

sys.path.insert(0, str(Path(__file__).parents[2] / "golden"))
from record_schemas import REFERENCE, VARIANT, unpack  # noqa: E402

OPTUNAS = models.BaseModel.metadata
TABLES = [*METADATA.sorted_tables, *OPTUNAS.sorted_tables]
INDICES = sorted((index for table in TABLES for index in table.indexes), key=lambda index: str(index.name))
SERVERS = os.environ.get("NAS_TEST_DATABASES", "").split()
HEAD = "v3.2.0.a"


@pytest.fixture(params=["sqlite", "postgresql", *(url.partition(":")[0] for url in SERVERS)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database that is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'study.db'}"
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        return server.new_database()
    given = next(url for url in SERVERS if url.startswith(request.param))
    empty(given)
    return given


def empty(url: str) -> None:
    """Take all tables out of a database."""
    with Database(url) as database, database.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS alembic_version"))
        METADATA.drop_all(connection)
        OPTUNAS.drop_all(connection)


def is_empty(url: str) -> bool:
    with Database(url) as database:
        return not sa.inspect(database.engine).get_table_names()


def missing(url: str) -> list[str]:
    """Return which tables, columns and indices a database lacks, and which rows that tell versions."""
    with Database(url) as database, database.engine.connect() as connection:
        inspector, found = sa.inspect(connection), list[str]()
        there = set(inspector.get_table_names())
        for table in TABLES:
            if table.name not in there:
                found.append(table.name)
                continue
            columns = {column["name"] for column in inspector.get_columns(table.name)}
            indices = {index["name"] for index in inspector.get_indexes(table.name)}
            found += [column.name for column in table.columns if column.name not in columns]
            found += [str(index.name) for index in table.indexes if index.name not in indices]
        told = {"nas_schema": SCHEMA_VERSION, "version_info": models.SCHEMA_VERSION, "alembic_version": HEAD}
        for name, row in {
            "nas_schema": "version",
            "version_info": "schema_version",
            "alembic_version": "version_num",
        }.items():
            values = connection.execute(sa.text(f"SELECT {row} FROM {name}")).scalars().all() if name in there else []
            found += [] if values == [told[name]] else [f"{name}: {values}"]
        return found


def open_all(url: str) -> None:
    """Do what the first opening of a search does."""
    with Database(url) as database:
        database.prepare()
        study = open_optuna_study(database, "study")
        assert study.metric_names in (METRICS, None)  # a kill may have come before they were written
        study.add_trial(optuna_trial())


def optuna_trial() -> Any:
    import optuna

    return optuna.trial.create_trial(values=[0.5, 1.0])


def on_statements(heard: Callable[[], None]) -> None:
    """Have a function called before each statement of this process."""
    sa.event.listen(sa.Engine, "before_cursor_execute", lambda *arguments: heard())


def open_until(url: str, count: int) -> None:
    """Open a database in this process, which kills itself before the ``count``-th statement."""
    left = count

    def heard() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    on_statements(heard)
    open_all(url)


def count_statements(url: str, counted: Any) -> None:
    """Open a database in this process, and count its statements."""

    def heard() -> None:
        counted.value += 1

    on_statements(heard)
    open_all(url)


def open_together(url: str, barrier: Any) -> None:
    barrier.wait()
    open_all(url)


def ended(target: Callable[..., None], *arguments: Any) -> int | None:
    """Run a function in a process of its own, and return how that ended."""
    process = FORKING.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.endurance
def test_killed_at_any_statement_of_the_first_opening(url: str) -> None:
    counted = FORKING.Value("i", 0)
    assert ended(count_statements, url, counted) == 0
    assert not missing(url)
    moments = range(1, counted.value + 1)
    whole = 0
    for moment in random.Random(0).sample(moments, k=min(len(moments), scaled(6, len(moments)))):
        empty(url)
        assert ended(open_until, url, moment) == -signal.SIGKILL
        whole += not missing(url)
        assert url.startswith(("mysql", "mariadb")) or is_empty(url) or not missing(url), moment
        open_all(url)
        assert not missing(url), moment
    assert 0 < whole < len(moments)
    print(f"{url.partition(':')[0]}: {len(moments)} statements, {whole} kills after the tables were complete")


def test_processes_that_create_at_the_same_moment(url: str) -> None:
    for _ in range(scaled(2, 20)):
        empty(url)
        barrier = FORKING.Barrier(3)
        processes = [FORKING.Process(target=open_together, args=(url, barrier)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert not missing(url)


def test_what_is_missing_is_made(url: str) -> None:
    open_all(url)
    with Database(url) as database:
        for index in INDICES:
            if url.startswith(("mysql", "mariadb")) and any(column.foreign_keys for column in index.columns):
                continue  # there, a foreign key keeps its index
            with database.engine.begin() as connection:
                index.drop(connection)
            assert missing(url) == [index.name]
            bring_up_to_date(database.engine)
            assert not missing(url)
    assert {"ix_nas_trial_digest", "ix_nas_latency_digest", "ix_trials_study_id", "ix_studies_study_name"} <= {
        index.name for index in INDICES
    }


def test_a_table_that_is_missing_is_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    open_all(url)
    for table in [*(table.name for table in TABLES), "alembic_version"]:
        with Database(url) as database, database.engine.begin() as connection:
            connection.execute(sa.text(f"DROP TABLE {table}"))
        assert missing(url)
        with Database(url) as database:
            database.prepare()
        assert not missing(url), table


def test_a_database_with_one_table_only_is_not_taken_for_another_program_s(url: str) -> None:
    for table in (table for table in TABLES if not table.foreign_keys):
        empty(url)
        with Database(url) as database, database.engine.begin() as connection:
            table.create(connection)
        with Database(url) as database:
            database.prepare()
        assert not missing(url), table.name


@pytest.mark.parametrize("version", VERSIONS)
def test_studies_of_each_version_open_and_lack_nothing(version: int, tmp_path: Path) -> None:
    path = unpack(version, tmp_path)
    url = f"sqlite:///{path.with_suffix('') / 'study.db'}"
    assert bool(missing(url)) == (version < SCHEMA_VERSION)
    with open_study(path) as study:
        before = study.trials()
        assert len(before) == 3 and "trained" in {trial.state for trial in before}
        assert study.growth() is None and study.judgement().front
        assert len(checked_seconds(study)) == (version >= 7)
        assert study.references() == ([REFERENCE] if version >= 8 else [])
        assert study.variants() == ([VARIANT] if version >= 9 else [])
    assert not missing(url)
    with run_study(path, trials=1) as study:
        assert study.trials()[:3] == before and len(study.trials()) == 4


def test_a_complete_database_is_only_read(own_study: Study) -> None:
    written = list[str]()

    def heard(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            written.append(statement)

    with Database(own_study.storage) as database:
        sa.event.listen(database.engine, "before_cursor_execute", heard)
        database.prepare()
        sa.event.listen(database.optunas._backend.engine, "before_cursor_execute", heard)
        assert len(open_optuna_study(database, own_study.name).trials) == len(own_study.trials())
    assert not written


def test_an_index_that_cannot_be_made_is_one_line(own_study: Study, own_finished: Path) -> None:
    file = own_study.directory / "study.db"
    with own_study.database.engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX ix_nas_trial_digest"))
    with pytest.raises(StudyError, match="was left half-made and cannot be brought up to date.* make it writable"):
        open_study(own_finished, storage=f"sqlite:///file:{file}?mode=ro&uri=true")


def test_tables_of_another_version_of_optuna_are_left_alone(own_study: Study, own_finished: Path) -> None:
    with own_study.database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'v2.6.0.a'"))
        connection.execute(sa.text("DROP INDEX ix_trials_study_id"))
        assert is_up_to_date(connection)
    own_study.close()
    with open_study(own_finished) as study, pytest.raises(StudyError, match="optuna storage upgrade"):
        study.optuna()
    assert missing(own_study.storage) == ["ix_trials_study_id", "alembic_version: ['v2.6.0.a']"]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(StudyError, match="in memory ends with the process"):
        Database(url)
