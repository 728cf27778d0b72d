"""Files of a training that lie elsewhere: on a shared folder, or wherever fsspec reaches, such as S3.

A training reads and writes local files. Where a task names a URL, its checkpoint is fetched first, and whatever the
training writes is brought there. Writing has an end: a file has its name once it is whole.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, StudyError
from nas.executors.task import Ended, Failed, Task, Tell, Told

Stop = Callable[[], bool]


def is_url(place: str) -> bool:
    """Tell whether a place is reached by fsspec, and is no path of this machine."""
    return "://" in place


def file_system(place: str) -> tuple[Any, str]:
    """Return fsspec's file system for a path or URL, and the path there.

    Raises:
        ConfigError: fsspec does not know such URLs, or misses a package for them.
    """
    from fsspec.core import url_to_fs

    try:
        found: tuple[Any, str] = url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{place}: {_line(error)}") from None
    return found


def fetch(place: str, path: Path) -> bool:
    """Copy a file from elsewhere, whole or not at all; tell whether there is one.

    Raises:
        StudyError: It cannot be read.
    """
    files, there = file_system(place)
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.get_file(there, str(partial))
        partial.replace(path)
    except FileNotFoundError:
        partial.unlink(missing_ok=True)
        return False
    except Exception as error:  # of whatever client reaches it
        partial.unlink(missing_ok=True)
        raise StudyError(f"{place}: cannot be read: {_line(error)}") from None
    return True


def put(path: Path, place: str) -> None:
    """Copy a file elsewhere, whole or not at all.

    Raises:
        StudyError: It cannot be written.
    """
    files, there = file_system(place)
    try:
        files.makedirs(there.rpartition("/")[0], exist_ok=True)
        files.put_file(str(path), f"{there}.partial")
        files.mv(f"{there}.partial", there)
    except Exception as error:  # of whatever client reaches it
        raise StudyError(f"{place}: cannot be written: {_line(error)}") from None


def remove(place: str) -> None:
    """Remove a file elsewhere, if there is one; what cannot be removed is left to the next search."""
    files, there = file_system(place)
    with suppress(Exception):
        files.rm_file(there)


def names(place: str) -> list[str]:
    """Return the names of the files of a folder elsewhere; none where it cannot be listed."""
    files, there = file_system(place)
    with suppress(Exception):
        return [str(path).rpartition("/")[2] for path in files.ls(there, detail=False)]
    return []


@contextmanager
def carrying(task: Task, tell: Tell, stop: Stop) -> Iterator[tuple[Task, Tell, Stop]]:
    """Give a task whose files are local, and a ``tell`` and ``stop`` that bring them to where they belong.

    What a training has saved is brought there before anything is told, and after the step that saved it.

    Args:
        task: Whose checkpoint and weights may be URLs.
        tell: Called with all that is told.
        stop: Asked after each step whether to end there.

    Raises:
        StudyError: The checkpoint cannot be fetched, or from ``stop``, not be written.
    """
    if not is_url(task.checkpoint):
        yield task, tell, stop
        return
    with tempfile.TemporaryDirectory(prefix="nas-") as folder:
        local = {
            place: Path(folder) / name
            for place, name in ((task.checkpoint, "checkpoint.safetensors"), (task.weights, "weights.safetensors"))
            if place is not None
        }
        if fetch(task.checkpoint, local[task.checkpoint]):
            brought = {task.checkpoint: local[task.checkpoint].stat().st_mtime_ns}
        else:
            brought = {}

        def bring() -> None:
            for place, path in local.items():
                if path.exists() and (written := path.stat().st_mtime_ns) != brought.get(place):
                    put(path, place)
                    brought[place] = written

        def told(what: Told) -> bool:
            try:
                bring()
            except StudyError as error:
                if isinstance(what, Ended):
                    return tell(Failed(task.key, "surroundings", str(error)))
            return tell(what)  # what could not be brought is tried again after the next step

        def stopped() -> bool:
            bring()
            return stop()

        weights = None if task.weights is None else str(local[task.weights])
        yield replace(task, checkpoint=str(local[task.checkpoint]), weights=weights), told, stopped


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
