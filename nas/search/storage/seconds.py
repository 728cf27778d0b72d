"""How long networks of a study train: what ``nas check`` has measured, by device and precision."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from nas.scaling.seconds import LeftOut, SecondsModel
from nas.search.storage.schema import SECONDS


@dataclass(frozen=True, slots=True)
class CheckedSeconds:
    """What was measured of a study's recipe on one device.

    Attributes:
        device: Its name.
        precision: That the networks computed in.
        image: Seconds of an image in a training step.
        error: How far that is off, in the networks that were timed.
        networks: Number of networks that were timed.
        images: That a whole training takes the time of.
    """

    device: str
    precision: str
    image: SecondsModel
    error: LeftOut
    networks: int
    images: float

    @property
    def training(self) -> SecondsModel:
        """Seconds of a whole training."""
        return self.image.times(self.images)


def write_seconds(engine: Engine, study: str, checked: CheckedSeconds) -> None:
    """Write what was measured, in place of what was measured there before."""
    row = {
        "study": study,
        "device": checked.device,
        "precision": checked.precision,
        **asdict(checked.image),
        "networks": checked.networks,
        "median_error": checked.error.median,
        "largest_error": checked.error.largest,
        "images": checked.images,
        "measured_at": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    same = [SECONDS.c[key] == row[key] for key in ("study", "device", "precision")]
    with engine.begin() as connection:
        connection.execute(SECONDS.delete().where(*same))
        connection.execute(SECONDS.insert().values(row))


def read_seconds(engine: Engine, study: str) -> list[CheckedSeconds]:
    """Return what was measured for a study, the newest first."""
    query = sa.select(SECONDS).where(SECONDS.c.study == study).order_by(SECONDS.c.measured_at.desc())
    with engine.connect() as connection:
        return [_checked(row) for row in connection.execute(query)]


def _checked(row: sa.Row[tuple[object, ...]]) -> CheckedSeconds:
    values = row._mapping
    return CheckedSeconds(
        values["device"],
        values["precision"],
        SecondsModel(*(values[field.name] for field in fields(SecondsModel))),
        LeftOut(values["median_error"], values["largest_error"]),
        values["networks"],
        values["images"],
    )
