"""Where the files of trainings lie: in the study's folder, or elsewhere for hands that do not see it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nas.errors import NasError, StudyError
from nas.executors.carried import fetch, is_url, names, put, remove
from nas.records import Repeat, TrialRecord
from nas.search.disk import CHECKPOINTS, going_on, prune_checkpoints, remove_half_written


@dataclass(frozen=True, slots=True)
class Shelf:
    """Tells a training where its files lie. Trained weights come into the study's folder, wherever hands write them.

    Attributes:
        folder: The study's folder of weights.
        elsewhere: Folder, or URL of one, for checkpoints; None for a sub-folder of the study's.
    """

    folder: Path
    elsewhere: str | None = None

    @property
    def _checkpoints(self) -> str:
        return str(self.folder / CHECKPOINTS) if self.elsewhere is None else f"{self.elsewhere}/{self.folder.name}"

    def checkpoint(self, name: str) -> str:
        """Return where the checkpoint of a training lies."""
        return f"{self._checkpoints}/{name}.safetensors"

    def weights(self, digest: str) -> str:
        """Return where a training is to write its weights."""
        if self.elsewhere is None:
            return str(self.folder / f"{digest}.safetensors")
        return f"{self._checkpoints}/{digest}.weights"

    def clean(self, name: str, digest: str) -> None:
        """Remove what a killed process has left of the files of a training that begins."""
        if self.elsewhere is None:
            for path in (self.checkpoint(name), self.weights(digest)):
                remove_half_written(Path(path))

    def take_in(self, digest: str) -> None:
        """Bring the weights of a training that has ended into the study's folder.

        Raises:
            StudyError: They cannot be read.
        """
        if self.elsewhere is not None and fetch(self.weights(digest), self.folder / f"{digest}.safetensors"):
            remove(self.weights(digest))

    def drop_weights(self, digest: str) -> None:
        """Remove the weights of a training that came to nothing."""
        if self.elsewhere is None:
            Path(self.weights(digest)).unlink(missing_ok=True)
        else:
            remove(self.weights(digest))

    def discard(self, name: str) -> None:
        """Remove the checkpoint of a training that has ended."""
        if self.elsewhere is None:
            Path(self.checkpoint(name)).unlink(missing_ok=True)
        else:
            remove(self.checkpoint(name))

    def prune(self, trials: Sequence[TrialRecord], repeats: Sequence[Repeat]) -> None:
        """Remove what no training will go on from."""
        prune_checkpoints(self.folder, trials, repeats)
        if self.elsewhere is not None:
            kept = {f"{name}.safetensors" for name in going_on(trials, repeats)}
            for name in names(self._checkpoints):
                if name not in kept:
                    remove(f"{self._checkpoints}/{name}")


def place_of(checkpoints: str | None) -> str | None:
    """Return where checkpoints go: a path is made absolute, since hands may have another working directory."""
    if checkpoints is None or is_url(checkpoints):
        return checkpoints and checkpoints.rstrip("/")
    return str(Path(checkpoints).expanduser().absolute())


@contextmanager
def trace(folder: str) -> Iterator[str]:
    """Give a small file in a folder or at a URL, for others to look whether they see it; it is removed at last.

    Raises:
        StudyError: The folder cannot be written.
    """
    place = f"{folder}/.nas-{uuid.uuid4().hex[:8]}"
    with TemporaryDirectory(prefix="nas-") as here:
        empty = Path(here) / "trace"
        empty.touch()
        put(empty, place)
    try:
        yield place
    finally:
        remove(place)


def require_writable(checkpoints: str | None) -> None:
    """Make sure that checkpoints can be written where the user wants them.

    Raises:
        StudyError: They cannot.
    """
    if checkpoints is not None:
        try:
            with trace(checkpoints):
                pass
        except NasError as error:
            raise StudyError(f"--checkpoints {error}") from None
