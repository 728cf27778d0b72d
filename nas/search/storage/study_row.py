"""A study's own row: its definition as it was first run, and what its images were."""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from nas.config.study import StudyConfig, changes, config_from_json, definition_digest
from nas.errors import StudyError
from nas.records import ClassNumbers, ImageDigests
from nas.search.storage.database import Database
from nas.search.storage.images import require_same_images
from nas.search.storage.packing import pack, unpack
from nas.search.storage.schema import STUDY


def studies_like(database: Database, prefix: str) -> list[str]:
    """Return the names of a database's studies that begin so, in alphabetical order."""
    query = sa.select(STUDY.c.name).where(STUDY.c.name.startswith(prefix, autoescape=True)).order_by(STUDY.c.name)
    with database.engine.connect() as connection:
        return list(connection.execute(query).scalars())


class StudyRow:
    """Reads and writes the row of one study."""

    def __init__(self, database: Database, study: str) -> None:
        """Keep where: the database must hold our tables (see ``Database.prepare``)."""
        self.database = database
        self.study = study

    @property
    def _engine(self) -> Engine:
        return self.database.engine

    def config(self) -> tuple[StudyConfig, str] | None:
        """Return the study as it was first run and the fingerprint of its data, or None where it never was."""
        query = sa.select(STUDY.c.config, STUDY.c.fingerprint).where(STUDY.c.name == self.study)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (config_from_json(row.config), row.fingerprint)

    def definition_digest(self) -> str:
        """Return the digest of the definition as it was first written; versions that know more fields keep it."""
        query = sa.select(STUDY.c.config).where(STUDY.c.name == self.study)
        with self._engine.connect() as connection:
            return definition_digest(json.loads(connection.execute(query).scalar_one()))

    def val_images(self) -> int | None:
        """Return the number of validation images; None where no version that notes it has run the study yet."""
        query = sa.select(STUDY.c.val_images).where(STUDY.c.name == self.study)
        with self._engine.connect() as connection:
            noted: int | None = connection.execute(query).scalar_one()
            return noted

    def images(self) -> ImageDigests:
        """Return what the images of the first run were, as far as it was noted."""
        columns = (STUDY.c.fingerprint, STUDY.c.content, STUDY.c.pixels, STUDY.c.decoders)
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(*columns).where(STUDY.c.name == self.study)).one()
        return ImageDigests(row.fingerprint, row.content or "", row.pixels or "", json.loads(row.decoders or "{}"))

    def image_notes(self) -> list[str]:
        """Return what was told of the images at the first run that noted it, one line each."""
        query = sa.select(STUDY.c.image_notes).where(STUDY.c.name == self.study)
        with self._engine.connect() as connection:
            notes: list[str] = json.loads(connection.execute(query).scalar_one() or "[]")
            return notes

    def register(
        self, config: StudyConfig, *, images: ImageDigests, val_labels: ClassNumbers, notes: Sequence[str] = ()
    ) -> list[str]:
        """Store a study's definition, or make sure that it is the stored one.

        Args:
            config: The definition.
            images: What tells the images from others.
            val_labels: Of the validation images.
            notes: What there is to tell of the images.

        Returns:
            What cannot be told of the images, one line each.

        Raises:
            StudyError: The study was run before with another definition or other data; the message says what changed.
        """
        stored = self.config()
        row = {
            "val_images": len(val_labels),
            "val_labels": pack(val_labels),
            "image_notes": json.dumps(list(notes)),
            "content": images.content,
            "pixels": images.pixels,
            "decoders": json.dumps(dict(images.decoders)),
        }
        if stored is None:
            definition = {"name": self.study, "config": config.model_dump_json(), "fingerprint": images.fingerprint}
            with self._engine.begin() as connection:
                connection.execute(STUDY.insert().values(**definition, **row))
            return []
        if changed := changes(stored[0].definition(), config.definition()):
            raise StudyError(
                f"study {self.study!r} cannot continue with a changed definition ({'; '.join(changed)});"
                " undo the change, or give the changed study another name"
            )
        self._note_plan(stored[0], config)
        then = self.images()
        told = require_same_images(self.study, then=then, now=images)
        if not then.content:  # an earlier version did not note them
            with self._engine.begin() as connection:
                connection.execute(STUDY.update().where(STUDY.c.name == self.study).values(row))
        return told

    def _note_plan(self, stored: StudyConfig, config: StudyConfig) -> None:
        """Write a plan that has grown since, how often it is trained and what is asked now.

        Raises:
            StudyError: It has changed otherwise.
        """
        before, now = stored.search.plan, config.search.plan
        if now[: len(before)] != before:
            raise StudyError(f"study {self.study!r}: search.plan has changed; networks can only be added at its end")
        known = {key: getattr(config.search, key) for key in ("plan", "trials", "replicates", "asked")}
        if now and any(getattr(stored.search, key) != value for key, value in known.items()):
            search = stored.search.model_copy(update=known)
            text = stored.model_copy(update={"search": search}).model_dump_json()
            with self._engine.begin() as connection:
                connection.execute(STUDY.update().where(STUDY.c.name == self.study).values(config=text))

    def val_labels(self) -> ClassNumbers | None:
        """Return the labels of the validation images, int64 of shape (images,); None where they were not noted."""
        query = sa.select(STUDY.c.val_labels).where(STUDY.c.name == self.study)
        with self._engine.connect() as connection:
            noted = connection.execute(query).scalar_one()
        return None if noted is None else unpack(noted)
