"""This project's own tables, in the same database as Optuna's.

Optuna keeps what was proposed and the two objectives. Finished Optuna trials are immutable and their intermediate
values are closed to two objectives, so networks, costs, curves and all that is learnt later live here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from nas.architecture.cost import Cost
from nas.architecture.serialization import architecture_from_json, architecture_to_json
from nas.architecture.spec import Architecture
from nas.config import StudyConfig, changes
from nas.errors import StudyError
from nas.models.backends import Latency
from nas.training.loop import Epoch

SCHEMA_VERSION = 2
"""Raised when a reader of an earlier version could misread newer tables; older ones are brought up to date."""

ResultT = TypeVar("ResultT")
TrialState: TypeAlias = Literal["running", "trained", "repeated", "infeasible", "failed", "interrupted"]

_METADATA = sa.MetaData()
_SCHEMA = sa.Table("nas_schema", _METADATA, sa.Column("version", sa.Integer, primary_key=True))
_STUDY = sa.Table(
    "nas_study",
    _METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.String(16), nullable=False),
)
_NETWORK = sa.Table(
    "nas_network",
    _METADATA,
    sa.Column("digest", sa.String(16), primary_key=True),
    sa.Column("architecture", sa.Text, nullable=False),
    sa.Column("flops", sa.BigInteger, nullable=False),
    sa.Column("params", sa.BigInteger, nullable=False),
    sa.Column("activations", sa.BigInteger, nullable=False),
)
_TRIAL = sa.Table(
    "nas_trial",
    _METADATA,
    sa.Column("study", sa.ForeignKey(_STUDY.c.name), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.ForeignKey(_NETWORK.c.digest), nullable=False, index=True),
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
)
_EPOCH = sa.Table(
    "nas_epoch",
    _METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("train_loss", sa.Float, nullable=False),
    sa.Column("train_accuracy", sa.Float, nullable=False),
    sa.Column("val_loss", sa.Float, nullable=False),
    sa.Column("val_accuracy", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.ForeignKeyConstraint(["study", "number"], [_TRIAL.c.study, _TRIAL.c.number]),
)
_LATENCY = sa.Table(
    "nas_latency",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("digest", sa.ForeignKey(_NETWORK.c.digest), nullable=False, index=True),
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


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One proposal of a study, and what became of it.

    Attributes:
        number: Optuna's number of the trial.
        space: Name of the search space.
        width: Coefficient.
        depth: Coefficient.
        resolution: In pixels.
        digest: Of the network.
        flops: Of one image, as fvcore counts them.
        params: Trainable parameters.
        activations: Elements put out by convolutions and linear layers for one image.
        state: ``trained``; ``repeated`` (a network trained before: its accuracy is taken over); ``infeasible``
            (outside the budget: never trained); ``failed``; ``interrupted``; ``running``.
        seed: Of the training.
        device: That trained it.
        accuracy: Share of the validation images right after the last epoch, in 0 to 1.
        train_seconds: Of the training.
        repeat_of: Number of the trial that trained the network of a repeated one.
        error: Why a failed trial failed.
        choices: Values of the further dimensions that the study opens, such as kernel or activation.
    """

    number: int
    space: str
    width: float
    depth: float
    resolution: int
    digest: str
    flops: int
    params: int
    activations: int
    state: TrialState = "running"
    seed: int | None = None
    device: str | None = None
    accuracy: float | None = None
    train_seconds: float | None = None
    repeat_of: int | None = None
    error: str | None = None
    choices: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Space, coefficients and choices in one line."""
        words = [f"{self.space} width {self.width:g} depth {self.depth:g} resolution {self.resolution}", self.chosen]
        return " ".join(words).rstrip()

    @property
    def chosen(self) -> str:
        """The choices in one line, empty where there are none."""
        return " ".join(f"{key} {value}" for key, value in self.choices.items())


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


class Store:
    """Reads and writes one study's rows."""

    def __init__(self, storage: str, study: str) -> None:
        """Open the database of a URL; it must hold our tables (see ``prepare_database``)."""
        self.storage = storage
        self.study = study
        self._engine = make_engine(storage)

    def config(self) -> tuple[StudyConfig, str] | None:
        """Return the study as it was first run and the fingerprint of its data, or None where it never was."""
        query = sa.select(_STUDY.c.config, _STUDY.c.fingerprint).where(_STUDY.c.name == self.study)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (StudyConfig.model_validate_json(row.config), row.fingerprint)

    def register(self, config: StudyConfig, fingerprint: str) -> None:
        """Store a study's definition, or make sure that it is the stored one.

        Raises:
            StudyError: The study was run before with another definition or other data; the message says what changed.
        """
        stored = self.config()
        if stored is None:
            row = {"name": self.study, "config": config.model_dump_json(), "fingerprint": fingerprint}
            with self._engine.begin() as connection:
                connection.execute(_STUDY.insert().values(row))
            return
        changed = changes(stored[0].definition(), config.definition())
        if not changed and stored[1] != fingerprint:
            changed = ["the images, their classes or their number are not those of the first run"]
        if changed:
            raise StudyError(
                f"study {self.study!r} cannot go on under another definition ({'; '.join(changed)});"
                " restore it, or give the changed study another name"
            )

    def begin(self, record: TrialRecord, architecture: Architecture, cost: Cost) -> None:
        """Write a trial that has been proposed, and its network."""
        network = {
            "digest": record.digest,
            "architecture": architecture_to_json(architecture),
            "flops": cost.flops,
            "params": cost.params,
            "activations": cost.activations,
        }
        row = {key: value for key, value in asdict(record).items() if key in _TRIAL.c}
        row["choices"] = json.dumps(dict(record.choices))
        with self._engine.begin() as connection:
            known = connection.execute(sa.select(_NETWORK.c.digest).where(_NETWORK.c.digest == record.digest)).first()
            if known is None:
                self._insert_if_new(connection, _NETWORK, network)
            connection.execute(_TRIAL.insert().values(study=self.study, **row))

    def finish(self, number: int, state: TrialState, **values: Any) -> None:
        """Write what became of a trial."""
        with self._engine.begin() as connection:
            connection.execute(_TRIAL.update().where(self._is(number)).values(state=state, **values))

    def add_epoch(self, number: int, epoch: Epoch) -> None:
        """Write one point of a trial's curve."""
        with self._engine.begin() as connection:
            connection.execute(_EPOCH.insert().values(study=self.study, number=number, **asdict(epoch)))

    def trained(self, digest: str) -> TrialRecord | None:
        """Return the trial of this study that trained a network, or None."""
        found = self._records(_TRIAL.c.digest == digest, _TRIAL.c.state == "trained")
        return found[0] if found else None

    def trials(self) -> list[TrialRecord]:
        """Return all trials in the order of their numbers."""
        return self._records()

    def curves(self) -> dict[int, list[Epoch]]:
        """Return the learning curve of each trial that has one, by number."""
        columns = [_EPOCH.c[field.name] for field in fields(Epoch)]
        query = sa.select(_EPOCH.c.number, *columns).where(_EPOCH.c.study == self.study)
        curves: dict[int, list[Epoch]] = {}
        with self._engine.connect() as connection:
            for number, *values in connection.execute(query.order_by(_EPOCH.c.number, _EPOCH.c.epoch)):
                curves.setdefault(number, []).append(Epoch(*values))
        return curves

    def architecture(self, digest: str) -> Architecture:
        """Return a network of the study."""
        query = sa.select(_NETWORK.c.architecture).where(_NETWORK.c.digest == digest)
        with self._engine.connect() as connection:
            return architecture_from_json(connection.execute(query).scalar_one(), source=f"network {digest}")

    def add_latency(self, digest: str, latency: Latency) -> None:
        """Write a measurement of a network."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._engine.begin() as connection:
            connection.execute(_LATENCY.insert().values(digest=digest, measured_at=now, **asdict(latency)))

    def latencies(self, digest: str) -> list[Latency]:
        """Return the measurements of a network, newest first."""
        query = sa.select(*(_LATENCY.c[field.name] for field in fields(Latency))).where(_LATENCY.c.digest == digest)
        with self._engine.connect() as connection:
            return [Latency(*row) for row in connection.execute(query.order_by(_LATENCY.c.id.desc()))]

    def _records(self, *conditions: sa.ColumnElement[bool]) -> list[TrialRecord]:
        tables = {"flops": _NETWORK, "params": _NETWORK, "activations": _NETWORK}
        columns = [tables.get(field.name, _TRIAL).c[field.name] for field in fields(TrialRecord)]
        query = sa.select(*columns).join_from(_TRIAL, _NETWORK).where(_TRIAL.c.study == self.study, *conditions)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(_TRIAL.c.number)).mappings()
            return [TrialRecord(**{**row, "choices": json.loads(row["choices"] or "{}")}) for row in rows]

    def _is(self, number: int) -> sa.ColumnElement[bool]:
        return sa.and_(_TRIAL.c.study == self.study, _TRIAL.c.number == number)

    @staticmethod
    def _insert_if_new(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> None:
        """Insert a row unless another worker has just done so."""
        try:
            with connection.begin_nested():
                connection.execute(table.insert().values(row))
        except IntegrityError:
            pass


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
    _METADATA.create_all(engine)
    with engine.begin() as connection:
        version = connection.execute(sa.select(_SCHEMA.c.version)).scalar()
        if version is None:
            connection.execute(_SCHEMA.insert().values(version=SCHEMA_VERSION))
            version = SCHEMA_VERSION
    if version == 1:
        _upgrade_from_1(engine)
        version = SCHEMA_VERSION
    return int(version)


def _upgrade_from_1(engine: Engine) -> None:
    """Add what version 2 has more; another worker may do so at the same moment."""
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE nas_trial ADD COLUMN choices TEXT"))
    except DBAPIError:
        if "choices" not in {column["name"] for column in sa.inspect(engine).get_columns("nas_trial")}:
            raise
    with engine.begin() as connection:
        connection.execute(_SCHEMA.update().values(version=SCHEMA_VERSION))


def make_engine(storage: str) -> Engine:
    """Return an engine; SQLite waits a minute for other workers."""
    return sa.create_engine(parse_storage(storage), **engine_options(storage))


def engine_options(storage: str) -> dict[str, Any]:
    """Return keyword arguments of ``create_engine`` for Optuna's engine and ours alike."""
    sqlite = parse_storage(storage).get_backend_name() == "sqlite"
    return {"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True}
