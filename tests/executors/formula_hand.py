"""A hand that loads no torch and trains by a formula: a training's numbers are a function of its network and seed.

``FAKE_HAND_SECONDS`` says how long an epoch takes at most, ``FAKE_HAND_IMAGES`` how many validation images there are,
and ``FAKE_HAND_LOG`` names a file in which each training says when it begins and when it ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nas.executors.hand import connect
from nas.executors.task import Ended, EpochDone, Stopped, Task, Told
from nas.records import Epoch

SECONDS = float(os.environ.get("FAKE_HAND_SECONDS", "0.05"))
IMAGES = int(os.environ.get("FAKE_HAND_IMAGES", "20"))
LOG = os.environ.get("FAKE_HAND_LOG")


def share(*parts: object) -> float:
    """Return a number in 0 to 1 that is the same for the same values."""
    text = ".".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32


def point_of(digest: str, seed: int, epoch: int, epochs: int) -> Epoch:
    """Return a point of a training's curve."""
    accuracy = share(digest) * (0.5 + 0.5 * epoch / epochs) * 0.98 + 0.02 * share(digest, seed, epoch)
    return Epoch(epoch, 1 - accuracy, accuracy, 1 - accuracy, accuracy, SECONDS)


def write(path: Path, text: str) -> None:
    """Write a file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    partial.write_text(text)
    os.replace(partial, path)


def note(task: Task, what: str) -> None:
    """Write into the log what happens to a training."""
    if LOG:
        with open(LOG, "a") as log:
            log.write(f"{what} {task.key} {os.getpid()}\n")


def work(task: Task, tell: Callable[[Told], bool], stop: Callable[[], bool]) -> bool:
    """Train."""
    digest = task.key.partition(".")[0]
    checkpoint, weights = task.files
    done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
    note(task, f"begin {done}")
    epochs = int(task.recipe["epochs"])
    curve = tuple(point_of(digest, task.seed, epoch, epochs) for epoch in range(1, epochs + 1))
    for point in curve:
        if point.epoch > done:
            until = time.monotonic() + SECONDS * share("seconds", digest)
            while time.monotonic() < until:
                if stop():
                    tell(Stopped(task.key))
                    return True
                time.sleep(0.005)
            write(checkpoint, json.dumps(point.epoch))
        asks = point.epoch in task.rungs
        if not tell(EpochDone(task.key, point, asks)) and asks:
            if stop():
                tell(Stopped(task.key))
                return True
            curve = curve[: point.epoch]
            break
    paused = len(curve) < epochs
    if weights is not None and not paused:
        write(weights, digest)
    note(task, f"end {len(curve)}")
    seconds = SECONDS * len(curve)
    tell(Ended(task.key, paused, curve, "formula", seconds, None, 0.0, np.arange(IMAGES) % 10))
    return True


if __name__ == "__main__":
    hand = connect()
    hand.next_order()  # where the images are
    hand.serve(work)
