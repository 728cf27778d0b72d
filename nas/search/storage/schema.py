"""The tables of this project, in the same database as Optuna's, and how older ones are brought up to date."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

SCHEMA_VERSION = 6
"""Raised when a reader of an earlier version could misread newer tables; older ones are brought up to date."""

METADATA = sa.MetaData()
SCHEMA = sa.Table("nas_schema", METADATA, sa.Column("version", sa.Integer, primary_key=True))
STUDY = sa.Table(
    "nas_study",
    METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.String(16), nullable=False),
    sa.Column("val_images", sa.Integer),  # since version 4
    sa.Column("content", sa.String(16)),  # since version 5, as the next
    sa.Column("pixels", sa.String(16)),
    sa.Column("decoders", sa.Text),  # JSON, as the next
    sa.Column("image_notes", sa.Text),
    sa.Column("val_labels", sa.LargeBinary),  # packed, as the answers
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
ANSWER = sa.Table(  # since version 5
    "nas_answer",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("repeat", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("answers", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(["study", "number"], [TRIAL.c.study, TRIAL.c.number]),
)
TEST_LOOK = sa.Table(  # since version 5
    "nas_test_look",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study", sa.String(200), nullable=False, index=True),
    sa.Column("digest", sa.String(16), nullable=False),
    sa.Column("command", sa.String(20), nullable=False),
    sa.Column("accuracy", sa.Float, nullable=False),
    sa.Column("looked_at", sa.String(40), nullable=False),
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
    sa.Column("noisy", sa.Boolean),  # since version 5
)
TRAINING = sa.Table(  # since version 6; each training that a study wants or has made, once
    "nas_training",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("digest", sa.String(16), primary_key=True),
    sa.Column("repeat", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, nullable=False, index=True),
    sa.Column("source", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("left_off", sa.Boolean, nullable=False),
    sa.Column("owner", sa.String(200)),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("deaths", sa.Integer, nullable=False),
)
COORDINATOR = sa.Table(  # since version 6; who works on a study, by the database's clock
    "nas_coordinator",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("holder", sa.String(200), primary_key=True),
    sa.Column("hands", sa.Integer, nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("left_off", sa.Boolean, nullable=False),
    sa.Column("waited", sa.Float),  # share of its hands' time in which they had nothing to do
)
LEAD = sa.Table(  # since version 6; who of them proposes and decides
    "nas_lead",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("holder", sa.String(200), nullable=False),
)


def stored_version(engine: Engine) -> int | None:
    """Return the version that a database has; None where our tables are not there yet."""
    if not sa.inspect(engine).has_table(SCHEMA.name):
        return None
    with engine.connect() as connection:
        version: int | None = connection.execute(sa.select(SCHEMA.c.version)).scalar()
        return version


def create_tables(engine: Engine) -> int:
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
    5: (
        ("nas_study", "content VARCHAR(16)"),
        ("nas_study", "pixels VARCHAR(16)"),
        ("nas_study", "decoders TEXT"),
        ("nas_study", "image_notes TEXT"),
        ("nas_study", "val_labels {bytes}"),
        ("nas_latency", "noisy BOOLEAN"),
    ),
}
"""Tables and columns that a version has more."""


def _upgrade(engine: Engine, version: int) -> None:
    """Add what later versions have more; another worker may do so at the same moment."""
    for table, column in (added for later, columns in _ADDED.items() if later > version for added in columns):
        try:
            with engine.begin() as connection:
                named = column.format(bytes=sa.LargeBinary().compile(engine.dialect))
                connection.execute(sa.text(f"ALTER TABLE {table} ADD COLUMN {named}"))
        except DBAPIError:
            if column.split()[0] not in {found["name"] for found in sa.inspect(engine).get_columns(table)}:
                raise
    with engine.begin() as connection:
        connection.execute(SCHEMA.update().values(version=SCHEMA_VERSION))
