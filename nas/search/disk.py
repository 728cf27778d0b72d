"""What a study takes on disk, and what of it nobody needs any more.

Weights stay until ``nas prune``. A checkpoint stays while the training that wrote it may go on: it is removed when that
was kept, and at the start of a search where no training goes on from it.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nas.records import Repeat, TrialRecord
from nas.search.storage.store import Store

CHECKPOINTS = "unfinished"
"""Sub-folder of the weights for interrupted and paused trainings, which go on from there."""
_GOING_ON = ("waiting", "running", "interrupted", "stopped")
_STALE_SECONDS = 3600  # of a half-written file: its writer was killed


@dataclass(frozen=True, slots=True)
class FilesOnDisk:
    """Number of files, and their bytes."""

    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What lies in a study's folder of weights."""

    weights: FilesOnDisk
    checkpoints: FilesOnDisk


def disk_use(weights: Path) -> DiskUse:
    """Measure a study's folder of weights."""
    return DiskUse(_measure(weights.glob("*.safetensors")), _measure((weights / CHECKPOINTS).glob("*")))


def prune_checkpoints(weights: Path, trials: Sequence[TrialRecord], repeats: Sequence[Repeat] = ()) -> FilesOnDisk:
    """Remove checkpoints that no training will go on from, and half-written files; return what was removed.

    Args:
        weights: The study's folder of weights.
        trials: All of the study, in the order of their numbers.
        repeats: All of the study.
    """
    folder, kept = weights / CHECKPOINTS, going_on(trials, repeats)
    ended = [path for path in folder.glob("*.safetensors") if path.stem not in kept]
    return _remove([*ended, *_half_written(weights), *_half_written(folder)])


def going_on(trials: Sequence[TrialRecord], repeats: Sequence[Repeat]) -> set[str]:
    """Return what the checkpoints are called from which a training may go on.

    Args:
        trials: All of the study, in the order of their numbers.
        repeats: All of the study.
    """
    states = {trial.digest: trial.state for trial in trials if trial.state not in ("repeated", "infeasible")}  # newest
    trained = {trial.digest for trial in trials if trial.state == "trained"}
    digests = {trial.number: trial.digest for trial in trials}
    own = {digest for digest, state in states.items() if state in _GOING_ON and digest not in trained}
    return own | {repeat_name(digests[r.number], r.repeat) for r in repeats if r.state in _GOING_ON}


def remove_half_written(path: Path) -> None:
    """Remove what a killed process has left of a file that only one process writes at a time."""
    _remove(path.parent.glob(f"{glob.escape(path.stem)}.{'?' * 8}.partial"))


def prune_weights(weights: Path, digests: Iterable[str]) -> FilesOnDisk:
    """Remove the weights of the networks of the given digests; return what was removed."""
    return _remove(path for digest in digests if (path := weights / f"{digest}.safetensors").exists())


def _half_written(folder: Path) -> list[Path]:
    before, found = time.time() - _STALE_SECONDS, []
    for path in folder.glob("*.partial"):
        with suppress(FileNotFoundError):  # another worker has just renamed it
            if path.stat().st_mtime < before:
                found.append(path)
    return found


def _measure(paths: Iterable[Path]) -> FilesOnDisk:
    sizes = []
    for path in paths:
        with suppress(FileNotFoundError):  # a worker has just removed it
            sizes.append(path.stat().st_size)
    return FilesOnDisk(len(sizes), sum(sizes))


def _remove(paths: Iterable[Path]) -> FilesOnDisk:
    listed = list(paths)
    removed = _measure(listed)
    for path in listed:
        path.unlink(missing_ok=True)
    return removed


def repeat_name(digest: str, repeat: int) -> str:
    """Return what the checkpoint of a further training is called."""
    return f"{digest}.{repeat}"


def weights_folder(store: Store, directory: Path) -> Path:
    """Return where weights lie: apart for each definition, which another database may hold under the same name."""
    return directory / "weights" / store.definition_digest()
