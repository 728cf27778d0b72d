"""A database, opened once: its address, its engine, Optuna's storage in it, and its complaints in one line."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import optuna
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from nas.errors import StudyError
from nas.search.storage.creation import bring_up_to_date, foreign_table, is_up_to_date, stored_version
from nas.search.storage.optuna_rows import QuickStorage
from nas.search.storage.schema import SCHEMA_VERSION

ResultT = TypeVar("ResultT")


_DRIVERS = {
    "MySQLdb": "mysqlclient",
    "pymysql": "pymysql",
    "mysql": "mysql-connector-python",
    "mariadb": "mariadb",
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "pg8000": "pg8000",
    "oracledb": "oracledb",
    "cx_Oracle": "cx_Oracle",
    "pyodbc": "pyodbc",
    "pymssql": "pymssql",
}
"""Packages on PyPI, by the module that SQLAlchemy asks for."""

IDLE_SECONDS = 20
"""How long a transaction may wait for its process."""
_UNREACHABLE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""When a server of PostgreSQL is taken for gone that says nothing, in seconds and, at last, in milliseconds."""
_ASYNCHRONOUS = {"asyncpg", "aiosqlite", "aiomysql", "asyncmy", "psycopg_async", "oracledb_async", "aioodbc"}


class Database:
    """The database of a URL.

    Nothing is opened before it is needed, and nothing twice. A process that is given one opens its own.

    Attributes:
        url: May hold a password: never show it.
    """

    def __init__(self, url: str) -> None:
        """Keep a URL.

        Raises:
            StudyError: It is none (the message shows no password).
        """
        try:
            self._address = sa.make_url(url)
            str(self)
        except UnicodeEncodeError:
            raise StudyError("storage is a database URL that is not UTF-8 text; rename what it names") from None
        except ArgumentError:
            raise StudyError(
                "storage is not a database URL; write for example sqlite:///study.db or"
                " postgresql+psycopg://user@host/db"
            ) from None
        if self.is_sqlite and self._address.database in (None, "", ":memory:"):
            raise StudyError(
                f"{self}: a database in memory ends with the process, and workers would not see it; name a file, for"
                " example sqlite:///study.db"
            )
        if (driver := self._address.drivername.partition("+")[2]) in _ASYNCHRONOUS:
            raise StudyError(
                f"{self}: the driver {driver!r} is asynchronous, which Optuna's storage is not; use another"
            )
        self.url = url
        self._prepared = False
        self._opened = ExitStack()
        self.close = weakref.finalize(self, self._opened.close)
        """Close what was opened; it happens by itself once nobody holds the database any more."""

    def __enter__(self) -> Self:
        """Return the database."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close what was opened."""
        self.close()

    @classmethod
    def in_folder(cls, directory: Path) -> Database:
        """Return the SQLite database of a study's folder.

        Raises:
            StudyError: The name of the folder is not text.
        """
        try:
            return cls(URL.create("sqlite", database=str(directory / "study.db")).render_as_string())
        except UnicodeEncodeError:
            raise StudyError(f"{directory}: the name is not UTF-8 text, as databases want it; rename it") from None

    def __reduce__(self) -> tuple[type[Database], tuple[str]]:
        """Let another process have the address only."""
        return Database, (self.url,)

    def __str__(self) -> str:
        """Return the URL without its password."""
        return self._address.render_as_string(hide_password=True)

    __repr__ = __str__

    def exists(self) -> bool:
        """Tell whether there may be something: a file of SQLite can be looked for, a server cannot."""
        path, is_uri = self._address.database, "uri" in self._address.query
        return not self.is_sqlite or is_uri or bool(path and Path(path).is_file())

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite, in which one search works at a time."""
        return self._address.get_backend_name() == "sqlite"

    @property
    def _engine_options(self) -> dict[str, Any]:
        """Keyword arguments of ``create_engine``; SQLite waits for whoever is just writing."""
        if self.is_sqlite:
            return {"connect_args": {"timeout": 5}}
        with_libpq = self._address.drivername in ("postgresql", "postgresql+psycopg", "postgresql+psycopg2")
        given = {key: value for key, value in _UNREACHABLE.items() if key not in self._address.query}
        return {"pool_pre_ping": True, "connect_args": given if with_libpq else {}}

    @cached_property
    def engine(self) -> Engine:
        """The engine of our tables."""
        alone = {"pool_size": 1, "max_overflow": 0} if self.is_sqlite else {}
        engine = _end_idle_transactions(sa.create_engine(self._address, **self._engine_options, **alone))
        self._opened.callback(engine.dispose)
        return engine

    @cached_property
    def optunas(self) -> BaseStorage:
        """Optuna's storage, whose tables are brought up to date before; it reads a trial that has ended once.

        Raises:
            StudyError: The database is of another program, or was written by a version of nas or Optuna that this one
                cannot read.
        """
        self.prepare()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            storage = QuickStorage(self.url, engine_kwargs=self._engine_options, skip_table_creation=True)
        except RuntimeError as error:
            raise StudyError(f"{self}: {' '.join(str(error).split())}") from None
        storage.share(self.engine)
        self._opened.callback(storage.remove_session)
        return optuna.storages.get_storage(storage)

    def prepare(self) -> None:
        """Bring the database up to date, once: a complete one need not be writable.

        Raises:
            StudyError: The database is of another program or of a later version, cannot be reached or brought up to
                date.
        """
        if self._prepared:
            return
        with self.errors():
            with self.engine.connect() as connection:
                if (table := foreign_table(connection)) is not None:
                    raise StudyError(f"{self}: belongs to another program (it has a table {table!r})")
                complete, version = is_up_to_date(connection), stored_version(connection)
            if version is not None and version > SCHEMA_VERSION:
                raise StudyError(
                    f"{self}: was written by a later version of nas (schema {version}, this one reads"
                    f" {SCHEMA_VERSION}); upgrade nas"
                )
            if not complete:
                self._bring_up_to_date(version)
        self._prepared = True

    def _bring_up_to_date(self, version: int | None) -> None:
        try:
            retry_creation(lambda: bring_up_to_date(self.engine))
        except DBAPIError as error:
            if version is None:
                raise
            what = f"was written by an earlier version of nas (schema {version}, this one reads {SCHEMA_VERSION})"
            what = "was left half-made" if version == SCHEMA_VERSION else what
            raise StudyError(
                f"{self}: {what} and cannot be brought up to date: {' '.join(str(error.orig).split())}; make it"
                " writable, or copy it"
            ) from None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what a database complains of into one line that holds no password."""
        try:
            yield
        except ModuleNotFoundError as error:
            package = _DRIVERS.get(str(error.name).partition(".")[0])
            advice = f"pip install {package}" if package else "install it, or name another driver in the URL"
            raise StudyError(f"{self}: the driver {error.name!r} is not installed; {advice}") from None
        except NoSuchModuleError as error:
            raise StudyError(f"{self}: unknown kind of database ({error})") from None
        except DBAPIError as error:
            raise StudyError(f"{self}: {' '.join(str(error.orig).split())}") from None
        except StorageInternalError as error:
            cause = getattr(error.__cause__, "orig", None) or error.__cause__ or error
            raise StudyError(f"{self}: {' '.join(str(cause).split())}") from None


def _end_idle_transactions(engine: Engine) -> Engine:
    """Let a server of PostgreSQL end what a process holds that sleeps or is gone, so that others need not wait."""
    if engine.dialect.name == "postgresql":

        @sa.event.listens_for(engine, "connect")
        def connected(connection: Any, record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
            connection.commit()

    return engine


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
