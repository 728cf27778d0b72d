"""A database is brought up to date in one transaction and under a lock: our tables and Optuna's, columns and indices.

A process that is killed meanwhile leaves nothing behind, and two that begin at the same moment go one after the other.
What an earlier version left half-made is made as well. A complete database is only read, so it need not be writable.

MySQL ends a transaction with every statement that creates something. There a killed process leaves a part, and the next
one makes the rest.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import optuna
import sqlalchemy as sa
from optuna.storages._rdb import models
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.schema import CreateColumn

from nas.search.storage.schema import METADATA, SCHEMA, SCHEMA_VERSION

if TYPE_CHECKING:
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

_OPTUNAS = models.BaseModel.metadata
_VERSION_INFO = _OPTUNAS.tables[models.VersionInfoModel.__tablename__]
_MIGRATIONS = Path(models.__file__).with_name("alembic")
_KNOWN = {*METADATA.tables, *_OPTUNAS.tables, "alembic_version"}

_LOCK = zlib.crc32(SCHEMA.name.encode())
_LOCKS = {
    "sqlite": "BEGIN IMMEDIATE",  # Python's driver begins no transaction by itself before what creates a table
    "postgresql": f"SELECT pg_advisory_xact_lock({_LOCK})",
    "mysql": f"SELECT GET_LOCK('{_LOCK}', 60)",
    "mariadb": f"SELECT GET_LOCK('{_LOCK}', 60)",
}
"""By dialect; others have none, and their processes meet each other's tables (``database.retry_creation``)."""
_UNLOCKS = {dialect: f"SELECT RELEASE_LOCK('{_LOCK}')" for dialect in ("mysql", "mariadb")}
"""Where the end of the transaction does not."""

_Part: TypeAlias = "sa.Table | sa.Column[Any] | sa.Index"


def foreign_table(connection: Connection) -> str | None:
    """Return a table that tells that a database belongs to another program, or None."""
    tables = set(sa.inspect(connection).get_table_names())
    ours, optunas = SCHEMA.name in tables, {"studies", _VERSION_INFO.name} <= tables
    return None if ours or optunas else min(tables - _KNOWN, default=None)


def stored_version(connection: Connection) -> int | None:
    """Return the version of our tables that a database says it has; None where it says none."""
    if not sa.inspect(connection).has_table(SCHEMA.name):
        return None
    version: int | None = connection.execute(sa.select(sa.func.max(SCHEMA.c.version))).scalar()
    return version


def is_up_to_date(connection: Connection) -> bool:
    """Tell whether a database has all tables, columns and indices, or was written by a later version than this one."""
    version = stored_version(connection) or 0
    if version != SCHEMA_VERSION or _lacking(connection, METADATA):
        return version > SCHEMA_VERSION
    if _is_another_optunas(connection):
        return True
    return _stamps(connection) == _wanted_stamps() and not _lacking(connection, _OPTUNAS)


def bring_up_to_date(engine: Engine) -> None:
    """Make what a database lacks of our tables and of Optuna's, unless another process has done so by now."""
    with _locked(engine) as connection:
        if is_up_to_date(connection):
            return
        if not _is_another_optunas(connection):
            _make_all(connection, _OPTUNAS)
            _stamp(connection)
        _make_all(connection, METADATA)
        connection.execute(SCHEMA.delete())
        connection.execute(SCHEMA.insert().values(version=SCHEMA_VERSION))


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    """Give a connection within a transaction in which no other process brings the same database up to date."""
    with engine.begin() as connection:
        dialect = connection.dialect.name
        if dialect in _LOCKS:
            connection.exec_driver_sql(_LOCKS[dialect])
        try:
            yield connection
        finally:
            if dialect in _UNLOCKS:
                connection.exec_driver_sql(_UNLOCKS[dialect])


def _lacking(connection: Connection, metadata: sa.MetaData) -> list[_Part]:
    """Return the tables that are missing, and of those that are there the columns and indices that are."""
    inspector, wanted = sa.inspect(connection), metadata.sorted_tables
    there = set(inspector.get_table_names())
    parts: list[_Part] = [table for table in wanted if table.name not in there]
    if len(parts) == len(wanted):
        return parts
    known = [table for table in wanted if table.name in there]
    names = [table.name for table in known]
    columns = {name: found for (_, name), found in inspector.get_multi_columns(filter_names=names).items()}
    indices = {name: found for (_, name), found in inspector.get_multi_indexes(filter_names=names).items()}
    for table in known:
        has = {column["name"] for column in columns[table.name]}
        parts += [column for column in table.columns if column.name not in has]
        has = {str(index["name"]) for index in indices[table.name]}
        parts += [index for index in table.indexes if index.name not in has]
    return parts


def _make_all(connection: Connection, metadata: sa.MetaData) -> None:
    for part in _lacking(connection, metadata):
        if isinstance(part, sa.Column):
            table = connection.dialect.identifier_preparer.format_table(part.table)
            specification = CreateColumn(part).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {specification}")
        else:
            part.create(connection, checkfirst=True)


class _Stamps(NamedTuple):
    """Which version Optuna's tables say they are of: to Optuna itself, and to the tool that migrates them."""

    schema: int | None
    revision: str | None


def _context(connection: Connection) -> MigrationContext:
    from alembic.migration import (
        MigrationContext,
    )  # a third of a second, and a whole database needs it not

    return MigrationContext.configure(connection)


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(_MIGRATIONS))


def _wanted_stamps() -> _Stamps:
    return _Stamps(models.SCHEMA_VERSION, _scripts().get_current_head())


def _stamps(connection: Connection) -> _Stamps:
    there = sa.inspect(connection).has_table(_VERSION_INFO.name)
    schema = connection.execute(sa.select(_VERSION_INFO.c.schema_version)).scalar() if there else None
    return _Stamps(schema, _context(connection).get_current_revision())


def _is_another_optunas(connection: Connection) -> bool:
    """Tell whether Optuna's tables are of another version than the one here, which says so when it opens them."""
    return any(has not in (None, wanted) for has, wanted in zip(_stamps(connection), _wanted_stamps(), strict=True))


def _stamp(connection: Connection) -> None:
    """Write which version Optuna's tables are of, as its storage does."""
    has = _stamps(connection)
    if has.schema is None:
        versions = {"schema_version": models.SCHEMA_VERSION, "library_version": optuna.__version__}
        connection.execute(_VERSION_INFO.insert().values(versions))
    if has.revision is None:
        _context(connection).stamp(_scripts(), "head")
