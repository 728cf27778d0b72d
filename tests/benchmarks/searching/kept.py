"""What a long benchmark keeps as it goes, so that it can be stopped and goes on."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Made = TypeVar("Made")


def kept(folder: Path | None, name: str, make: Callable[[], Made]) -> Made:
    """Return what was kept under a name, or make it and, where there is a folder, keep it there."""
    path = None if folder is None else folder / f"{name.replace(', ', '-').replace(' ', '_')}.pickle"
    if path is not None and path.exists():
        made: Made = pickle.loads(path.read_bytes())
        return made
    started = time.perf_counter()
    made = make()
    print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(made))
    return made
