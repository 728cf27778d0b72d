"""Reference networks in a study's database: what was trained on its images beside the search."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from nas.records import Reference
from nas.search.storage.schema import REFERENCE


def add_reference(engine: Engine, study: str, reference: Reference) -> None:
    """Write a reference of a study; one of the same network, epochs and start gives way to it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    row = {**asdict(reference), "accuracies": json.dumps(reference.accuracies), "study": study, "trained_at": now}
    same = (REFERENCE.c[key] == row[key] for key in ("study", "digest", "pretrained", "epochs"))
    with engine.begin() as connection:
        connection.execute(REFERENCE.delete().where(*same))
        connection.execute(REFERENCE.insert().values(row))


def read_references(engine: Engine, study: str) -> list[Reference]:
    """Return the references of a study, cheapest first."""
    columns = [REFERENCE.c[field.name] for field in fields(Reference)]
    query = sa.select(*columns).where(REFERENCE.c.study == study).order_by(REFERENCE.c.flops, REFERENCE.c.id)
    with engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
    return [Reference(**{**row, "accuracies": tuple(json.loads(row["accuracies"]))}) for row in rows]
