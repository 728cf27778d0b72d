"""The tables of this project, in the same database as Optuna's, and how the database is reached."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from nas.errors import StudyError

SCHEMA_VERSION = 4
"""Raised when a reader of an earlier version could misread newer tables; older ones are brought up to date."""

ResultT = TypeVar("ResultT")
METADATA = sa.MetaData()
SCHEMA = sa.Table("nas_schema", METADATA, sa.Column("version", sa.Integer, primary_key=True))
STUDY = sa.Table(
    "nas_study",
    METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.String(16), nullable=False),
    sa.Column("val_images", sa.Integer),  # since version 4
)
NETWORK = sa.Table(
    "nas_network",
    METADATA,
    sa.Column("digest", sa.String(16), primary_key=True),
    sa.Column("architecture", sa.Text, nullable=False),
    sa.Column("flops", sa.BigInteger, nullable=False),
    sa.Column("params", sa.BigInteger, nullable=False),
    sa.Column("activations", sa.BigInteger, nullable=False),
)
TRIAL = sa.Table(
    "nas_trial",
    METADATA,
    sa.Column("study", sa.ForeignKey(STUDY.c.name), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.ForeignKey(NETWORK.c.digest), nullable=False, index=True),
    sa.Column("space", sa.String(200), nullable=False),
    sa.Column("width", sa.Float, nullable=False),
    sa.Column("depth", sa.Float, nullable=False),
    sa.Column("resolution", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("seed", sa.BigInteger),
    sa.Column("device", sa.String(200)),
    sa.Column("accuracy", sa.Float),
    sa.Column("train_seconds", sa.Float),
    sa.Column("repeat_of", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("choices", sa.Text),  # JSON; since version 2
    sa.Column("micro_batch", sa.Integer),  # since version 3, as the next
    sa.Column("data_share", sa.Float),
    sa.Column("epochs", sa.Integer),  # since version 4, as the next
    sa.Column("owner", sa.String(200)),
)
EPOCH = sa.Table(
    "nas_epoch",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("train_loss", sa.Float, nullable=False),
    sa.Column("train_accuracy", sa.Float, nullable=False),
    sa.Column("val_loss", sa.Float, nullable=False),
    sa.Column("val_accuracy", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.ForeignKeyConstraint(["study", "number"], [TRIAL.c.study, TRIAL.c.number]),
)
REPEAT = sa.Table(
    "nas_repeat",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("repeat", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("owner", sa.String(200)),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("device", sa.String(200)),
    sa.Column("accuracy", sa.Float),
    sa.Column("train_seconds", sa.Float),
    sa.Column("error", sa.Text),
    sa.Column("curve", sa.Text),  # JSON
    sa.ForeignKeyConstraint(["study", "number"], [TRIAL.c.study, TRIAL.c.number]),
)
LATENCY = sa.Table(
    "nas_latency",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("digest", sa.ForeignKey(NETWORK.c.digest), nullable=False, index=True),
    sa.Column("purpose", sa.String(20), nullable=False),
    sa.Column("backend", sa.String(20), nullable=False),
    sa.Column("device", sa.String(200), nullable=False),
    sa.Column("threads", sa.Integer, nullable=False),
    sa.Column("batch", sa.Integer, nullable=False),
    sa.Column("median_ms", sa.Float, nullable=False),
    sa.Column("p10_ms", sa.Float, nullable=False),
    sa.Column("p90_ms", sa.Float, nullable=False),
    sa.Column("repeats", sa.Integer, nullable=False),
    sa.Column("peak_memory", sa.BigInteger),
    sa.Column("versions", sa.Text, nullable=False),
    sa.Column("measured_at", sa.String(40), nullable=False),
)


def parse_storage(storage: str) -> URL:
    """Read a database URL.

    Raises:
        StudyError: It is none (the message shows no password).
    """
    try:
        return sa.make_url(storage)
    except ArgumentError:
        raise StudyError(
            "storage is not a database URL; write for example sqlite:///study.db or postgresql+psycopg://user@host/db"
        ) from None


def without_password(storage: str) -> str:
    """Return a database URL as it may be shown."""
    return parse_storage(storage).render_as_string(hide_password=True)


@contextmanager
def database_errors(storage: str) -> Iterator[None]:
    """Turn what a database complains of into one line that holds no password."""
    shown = without_password(storage)
    try:
        yield
    except ModuleNotFoundError as error:
        raise StudyError(f"{shown}: the driver {error.name!r} is not installed; pip install {error.name}") from None
    except NoSuchModuleError as error:
        raise StudyError(f"{shown}: unknown kind of database ({error})") from None
    except DBAPIError as error:
        raise StudyError(f"{shown}: {' '.join(str(error.orig).split())}") from None
    except StorageInternalError as error:
        cause = getattr(error.__cause__, "orig", None) or error.__cause__ or error
        raise StudyError(f"{shown}: {' '.join(str(cause).split())}") from None


def retry_creation(create: Callable[[], ResultT]) -> ResultT:
    """Call ``create`` again where another worker created the same tables or row at the same moment."""
    for wait_seconds in (0.1, 0.3, 1.0, 3.0):
        try:
            return create()
        except SQLAlchemyError as error:
            if not isinstance(error, IntegrityError) and "already exists" not in str(error):
                raise
            time.sleep(wait_seconds)
    return create()


def prepare_database(storage: str) -> None:
    """Create our tables where they are missing.

    Raises:
        StudyError: The database is of another program or of a later version, or cannot be reached.
    """
    with database_errors(storage):
        engine = make_engine(storage)
        tables = set(sa.inspect(engine).get_table_names())
        ours, optunas = "nas_schema" in tables, {"studies", "version_info"} <= tables
        if tables and not ours and not optunas:
            raise StudyError(
                f"{without_password(storage)}: belongs to another program (it has a table {min(tables)!r})"
            )
        version = retry_creation(lambda: _create_tables(engine))
        if version > SCHEMA_VERSION:
            raise StudyError(
                f"{without_password(storage)}: was written by a later version of nas (schema {version}, this one reads"
                f" {SCHEMA_VERSION}); upgrade nas"
            )


def _create_tables(engine: Engine) -> int:
    """Create our tables where they are missing, and return the version that the database has."""
    METADATA.create_all(engine)
    with engine.begin() as connection:
        version = connection.execute(sa.select(SCHEMA.c.version)).scalar()
        if version is None:
            connection.execute(SCHEMA.insert().values(version=SCHEMA_VERSION))
            version = SCHEMA_VERSION
    if version < SCHEMA_VERSION:
        _upgrade(engine, int(version))
        version = SCHEMA_VERSION
    return int(version)


_ADDED = {
    2: (("nas_trial", "choices TEXT"),),
    3: (("nas_trial", "micro_batch INTEGER"), ("nas_trial", "data_share FLOAT")),
    4: (
        ("nas_trial", "epochs INTEGER"),
        ("nas_trial", "owner VARCHAR(200)"),
        ("nas_study", "val_images INTEGER"),
    ),
}
"""Tables and columns that a version has more."""


def _upgrade(engine: Engine, version: int) -> None:
    """Add what later versions have more; another worker may do so at the same moment."""
    for table, column in (added for later, columns in _ADDED.items() if later > version for added in columns):
        try:
            with engine.begin() as connection:
                connection.execute(sa.text(f"ALTER TABLE {table} ADD COLUMN {column}"))
        except DBAPIError:
            if column.split()[0] not in {found["name"] for found in sa.inspect(engine).get_columns(table)}:
                raise
    with engine.begin() as connection:
        connection.execute(SCHEMA.update().values(version=SCHEMA_VERSION))


def make_engine(storage: str) -> Engine:
    """Return an engine; SQLite waits a minute for other workers."""
    return sa.create_engine(parse_storage(storage), **engine_options(storage))


def engine_options(storage: str) -> dict[str, Any]:
    """Return keyword arguments of ``create_engine`` for Optuna's engine and ours alike."""
    sqlite = parse_storage(storage).get_backend_name() == "sqlite"
    return {"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True}
