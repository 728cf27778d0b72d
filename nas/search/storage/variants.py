"""Variants in a study's database: what nas compress made of its networks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from nas.records import Figures, Variant
from nas.search.storage.schema import VARIANT

_JSON = ("figures", "parent_figures", "provenance")
_SAME = ("study", "name", "step", "digest", "precision", "parent_digest")


def add_variants(engine: Engine, study: str, variants: Iterable[Variant], *, bundle: str) -> None:
    """Write variants of a study; one of the same name, network and parent gives way.

    Args:
        engine: Of the database.
        study: Name of the study.
        variants: In the order in which they were made.
        bundle: Folder that the last of them was written to.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with engine.begin() as connection:
        for variant in variants:
            row: dict[str, Any] = {**asdict(variant), "study": study, "bundle": bundle, "made_at": now}
            row |= {key: json.dumps(row[key]) for key in _JSON}
            connection.execute(VARIANT.delete().where(*(VARIANT.c[key] == row[key] for key in _SAME)))
            connection.execute(VARIANT.insert().values(row))


def read_variants(engine: Engine, study: str) -> list[Variant]:
    """Return the variants of a study in the order in which they were made."""
    query = sa.select(VARIANT).where(VARIANT.c.study == study).order_by(VARIANT.c.id)
    with engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
    return [_variant({key: row[key] for key in row if key not in ("id", "study", "bundle", "made_at")}) for row in rows]


def _variant(values: dict[str, Any]) -> Variant:
    told = {key: json.loads(values[key]) for key in _JSON}
    figures = {key: Figures(**told[key]) for key in ("figures", "parent_figures")}
    return Variant(**{**values, **figures, "provenance": told["provenance"]})
