"""The tables of this project, in the same database as Optuna's.

What a database lacks of them, ``creation.py`` makes: tables, columns and indices. So that a column can be added to rows
that are there, it allows NULL or has a ``server_default``.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

VERSIONS = {
    1: "studies, networks, trials, curves, further trainings, latencies",
    2: "choices of a trial",
    3: "micro-batches and the data path's share of a trial",
    4: "epochs and owner of a trial that goes on, number of validation images",
    5: "answers, looks at test images, what the images of a study were, noisy latencies",
    6: "trainings that are wanted and under which attempt they are made, who works on a study and who leads it",
    7: "how long networks train on a device, as nas check found it",
    8: "reference networks that nas train trained on a study's images",
    9: "variants that nas compress made of a study's networks",
}
"""What each version has more. One is added when a reader of an earlier version could misread newer tables."""
SCHEMA_VERSION = max(VERSIONS)

METADATA = sa.MetaData()
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")  # there, a TEXT ends at 64 KB
LONG_BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
SCHEMA = sa.Table("nas_schema", METADATA, sa.Column("version", sa.Integer, primary_key=True))
STUDY = sa.Table(
    "nas_study",
    METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("config", LONG_TEXT, nullable=False),
    sa.Column("fingerprint", sa.String(16), nullable=False),
    sa.Column("val_images", sa.Integer),  # since version 4
    sa.Column("content", sa.String(16)),  # since version 5, as the next
    sa.Column("pixels", sa.String(16)),
    sa.Column("decoders", LONG_TEXT),  # JSON, as the next
    sa.Column("image_notes", LONG_TEXT),
    sa.Column("val_labels", LONG_BYTES),  # packed, as the answers
)
NETWORK = sa.Table(
    "nas_network",
    METADATA,
    sa.Column("digest", sa.String(16), primary_key=True),
    sa.Column("architecture", LONG_TEXT, nullable=False),
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
    sa.Column("width", sa.Double, nullable=False),
    sa.Column("depth", sa.Double, nullable=False),
    sa.Column("resolution", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("seed", sa.BigInteger),
    sa.Column("device", sa.String(200)),
    sa.Column("accuracy", sa.Double),
    sa.Column("train_seconds", sa.Double),
    sa.Column("repeat_of", sa.Integer),
    sa.Column("error", LONG_TEXT),
    sa.Column("choices", LONG_TEXT),  # JSON; since version 2
    sa.Column("micro_batch", sa.Integer),  # since version 3, as the next
    sa.Column("data_share", sa.Double),
    sa.Column("epochs", sa.Integer),  # since version 4, as the next
    sa.Column("owner", sa.String(200)),
)
EPOCH = sa.Table(
    "nas_epoch",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("train_loss", sa.Double, nullable=False),
    sa.Column("train_accuracy", sa.Double, nullable=False),
    sa.Column("val_loss", sa.Double, nullable=False),
    sa.Column("val_accuracy", sa.Double, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
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
    sa.Column("accuracy", sa.Double),
    sa.Column("train_seconds", sa.Double),
    sa.Column("error", LONG_TEXT),
    sa.Column("curve", LONG_TEXT),  # JSON
    sa.ForeignKeyConstraint(["study", "number"], [TRIAL.c.study, TRIAL.c.number]),
)
ANSWER = sa.Table(  # since version 5
    "nas_answer",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("repeat", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("answers", LONG_BYTES, nullable=False),
    sa.ForeignKeyConstraint(["study", "number"], [TRIAL.c.study, TRIAL.c.number]),
)
TEST_LOOK = sa.Table(  # since version 5
    "nas_test_look",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study", sa.String(200), nullable=False, index=True),
    sa.Column("digest", sa.String(16), nullable=False),
    sa.Column("command", sa.String(20), nullable=False),
    sa.Column("accuracy", sa.Double, nullable=False),
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
    sa.Column("median_ms", sa.Double, nullable=False),
    sa.Column("p10_ms", sa.Double, nullable=False),
    sa.Column("p90_ms", sa.Double, nullable=False),
    sa.Column("repeats", sa.Integer, nullable=False),
    sa.Column("peak_memory", sa.BigInteger),
    sa.Column("versions", LONG_TEXT, nullable=False),
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
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
    sa.Column("left_off", sa.Boolean, nullable=False),
    sa.Column("waited", sa.Float),  # share of its hands' time in which they had nothing to do
)
LEAD = sa.Table(  # since version 6; who of them proposes and decides
    "nas_lead",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("holder", sa.String(200), nullable=False),
)
SECONDS = sa.Table(  # since version 7; how long a network of a study trains, by device and precision
    "nas_seconds",
    METADATA,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("device", sa.String(200), primary_key=True),
    sa.Column("precision", sa.String(16), primary_key=True),
    sa.Column("constant", sa.Double, nullable=False),
    sa.Column("flops", sa.Double, nullable=False),
    sa.Column("activations", sa.Double, nullable=False),
    sa.Column("networks", sa.Integer, nullable=False),
    sa.Column("median_error", sa.Double, nullable=False),
    sa.Column("largest_error", sa.Double, nullable=False),
    sa.Column("images", sa.Double, nullable=False),  # of a training
    sa.Column("measured_at", sa.String(40), nullable=False),
)
REFERENCE = sa.Table(  # since version 8; what nas train trained on the images of a study, to be compared with it
    "nas_reference",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study", sa.String(200), nullable=False, index=True),
    sa.Column("digest", sa.String(16), nullable=False),
    sa.Column("name", LONG_TEXT, nullable=False),
    sa.Column("flops", sa.BigInteger, nullable=False),
    sa.Column("params", sa.BigInteger, nullable=False),
    sa.Column("activations", sa.BigInteger, nullable=False),
    sa.Column("resolution", sa.Integer, nullable=False),
    sa.Column("accuracies", LONG_TEXT, nullable=False),  # JSON, one for each seed
    sa.Column("pretrained", sa.Boolean, nullable=False),
    sa.Column("epochs", sa.Integer, nullable=False),
    sa.Column("command", LONG_TEXT, nullable=False),
    sa.Column("trained_at", sa.String(40), nullable=False),
)
VARIANT = sa.Table(  # since version 9; what nas compress made of a study's networks
    "nas_variant",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study", sa.String(200), nullable=False, index=True),
    sa.Column("name", LONG_TEXT, nullable=False),
    sa.Column("step", sa.String(20), nullable=False),
    sa.Column("digest", sa.String(16), nullable=False),
    sa.Column("precision", sa.String(16), nullable=False),
    sa.Column("parent", LONG_TEXT, nullable=False),
    sa.Column("parent_digest", sa.String(16), nullable=False),
    sa.Column("parent_precision", sa.String(16), nullable=False),
    sa.Column("trial", sa.Integer),
    sa.Column("figures", LONG_TEXT, nullable=False),  # JSON, as the next
    sa.Column("parent_figures", LONG_TEXT, nullable=False),
    sa.Column("test_accuracy", sa.Double),
    sa.Column("kept", sa.Boolean, nullable=False),
    sa.Column("refused", LONG_TEXT, nullable=False),
    sa.Column("provenance", LONG_TEXT, nullable=False),  # JSON
    sa.Column("bundle", LONG_TEXT, nullable=False),
    sa.Column("made_at", sa.String(40), nullable=False),
)
