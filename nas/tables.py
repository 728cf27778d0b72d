"""A table of trainings: networks, what they cost, and their whole learning curves, as one CSV file.

The first line of the file is a comment with the study that made the table, as JSON, so that any point of its space can
be realised without its images. A row is an epoch of a training.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from pydantic import ValidationError

from nas.config.study import StudyConfig
from nas.data.sources import PATHS
from nas.errors import StudyError
from nas.files import write_whole
from nas.records import Epoch
from nas.schema import explain

NETWORK = ("digest", "space", "width", "depth", "resolution", "flops", "params", "activations")
TRAINING = ("repeat", "seed")
EPOCH = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds")
_DIGITS = {"train_loss": 5, "train_accuracy": 5, "val_loss": 5, "val_accuracy": 5, "seconds": 3}


class ImageKind(NamedTuple):
    """What of the images decides about a network."""

    classes: range
    channels: int


@dataclass(frozen=True)
class Table:
    """Trainings of the networks of a study.

    Attributes:
        study: Whose search and budget name the networks.
        kind: Classes and channels of the images.
        frame: One row for each epoch of each training; repeat 0 is a trial's own.
        facts: What else is worth knowing: device, versions, numbers of images.
    """

    study: StudyConfig
    kind: ImageKind
    frame: pd.DataFrame
    facts: dict[str, Any]

    @cached_property
    def curves(self) -> dict[str, dict[int, tuple[Epoch, ...]]]:
        """The learning curves by digest and repeat."""
        found: dict[str, dict[int, tuple[Epoch, ...]]] = {}
        for digest, trainings in self.frame.groupby("digest", sort=False):
            for repeat, rows in trainings.groupby("repeat"):
                epochs = rows[list(EPOCH)].itertuples(index=False, name=None)
                curve = tuple(Epoch(*values) for values in epochs)
                found.setdefault(str(digest), {})[int(str(repeat))] = curve
        return found


def write_table(table: Table, path: Path) -> None:
    """Write a table as CSV, packed where the name ends in ``.gz``; the same table gives the same bytes.

    Raises:
        ExportError: The file cannot be written.
    """
    head = {
        "study": _without_places(table.study),
        "classes": len(table.kind.classes),
        "channels": table.kind.channels,
        "facts": table.facts,
    }
    frame = table.frame.copy()
    for name, digits in _DIGITS.items():
        frame[name] = [float(f"{value:.{digits}g}") for value in frame[name]]
    text = f"# {json.dumps(head)}\n{frame.to_csv(index=False, lineterminator=chr(10))}"
    data = text.encode("utf-8", "backslashreplace")
    write_whole(path, lambda: gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def read_table(path: Path) -> Table:
    """Read a table.

    Raises:
        StudyError: It cannot be read, or is none.
    """
    try:
        data = path.read_bytes()
        head, _, body = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().partition("\n")
        document = json.loads(head.removeprefix("# "))
        study = StudyConfig.model_validate(document["study"])
        kind = ImageKind(range(document["classes"]), document["channels"])
        frame = pd.read_csv(StringIO(body))
    except ValidationError as error:
        raise StudyError(f"{path}: {explain(error)}") from None
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise StudyError(f"{path}: is not a table of trainings ({' '.join(str(error).split())[:100]})") from None
    missing = {*NETWORK, *TRAINING, *EPOCH} - set(frame.columns)
    if missing or frame.empty:
        raise StudyError(f"{path}: is not a table of trainings ({_complaint(missing)})")
    return Table(study, kind, frame, dict(document.get("facts", {})))


def _without_places(study: StudyConfig) -> dict[str, Any]:
    """Return a study as JSON; of where its images lay only the last name, for others have them elsewhere."""
    document = study.model_dump(mode="json")
    for key in PATHS:
        if document["data"].get(key):
            document["data"][key] = Path(document["data"][key]).name
    return document


def _complaint(missing: set[str]) -> str:
    return f"missing columns: {', '.join(sorted(missing))}" if missing else "it has no rows"
