"""What a hand is told to do and what it tells back: plain values, and JSON between processes. Imports no torch."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from nas.errors import DataError, NasError, StudyError
from nas.models.backends import Backend, Latency
from nas.records import Epoch, Trained

Fault: TypeAlias = Literal["diverged", "network", "memory", "surroundings"]
"""Whose fault it is that a training failed: its loss is not finite; it cannot be built or trained; the device has not
the memory for it; or what is around it, such as a disk, a compiler or a driver, so that others would fail too."""


@dataclass(frozen=True, slots=True)
class Timing:
    """An inference time to be measured before a training.

    Attributes:
        backend: What runs the network.
        batch: Number of images.
    """

    backend: Backend
    batch: int


@dataclass(frozen=True, slots=True)
class Task:
    """A training to be done, or to be gone on with.

    Attributes:
        key: Tells it from others of the same search.
        architecture: Of the network, as its JSON file.
        recipe: How it is trained, as JSON.
        seed: Of the training.
        checkpoint: File to go on from and to write to.
        weights: File for the trained weights; without it they are not kept.
        rungs: Epochs after which to ask whether to go on.
        timing: To be measured first, and to ask then; None for no measurement.
        alone: Whether it has to have its process for itself, such as one that has ended a process before.
    """

    key: str
    architecture: str
    recipe: Mapping[str, Any]
    seed: int
    checkpoint: str
    weights: str | None = None
    rungs: tuple[int, ...] = ()
    timing: Timing | None = None
    alone: bool = False

    @property
    def files(self) -> tuple[Path, Path | None]:
        """Checkpoint and weights."""
        return Path(self.checkpoint), None if self.weights is None else Path(self.weights)


@dataclass(frozen=True, slots=True)
class Measured:
    """The inference time was measured; the hand waits for whether to train."""

    key: str
    latency: Latency


@dataclass(frozen=True, slots=True)
class EpochDone:
    """Another point of the curve; where ``asks``, the hand waits for whether to go on."""

    key: str
    epoch: Epoch
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Ended(Trained):
    """A training has come to its end, or to a rung that it does not pass.

    Attributes:
        key: Of the task.
    """

    key: str


def ended_of(trained: Trained, key: str) -> Ended:
    """Return what a training gave as a hand tells it."""
    return Ended(**{field.name: getattr(trained, field.name) for field in fields(trained)}, key=key)


@dataclass(frozen=True, slots=True)
class Stopped:
    """The hand was told to stop, or not to train: nothing came of it but its checkpoint."""

    key: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A training failed, by whose fault, and why in one line."""

    key: str
    fault: Fault
    reason: str


@dataclass(frozen=True, slots=True)
class Died:
    """The hand is gone, and how in a few words, such as ``killed by SIGSEGV``."""

    key: str
    how: str


ENDS = (Ended, Stopped, Failed, Died)
"""After one of these a task is no more."""

Told: TypeAlias = Measured | EpochDone | Ended | Stopped | Failed | Died
Tell: TypeAlias = Callable[[Told], bool]
"""Takes what a hand tells, and returns the answer where it asks: whether to go on."""


def asks(told: Told) -> bool:
    """Tell whether a hand waits for an answer."""
    return isinstance(told, Measured) or (isinstance(told, EpochDone) and told.asks)


class Executor(Protocol):
    """Runs trainings. One thread at a time calls it."""

    @property
    def hands(self) -> int:
        """How many trainings run at the same time."""

    @property
    def running(self) -> frozenset[str]:
        """Keys of the tasks that were begun and have not ended."""

    def prepare(self, hands: int) -> None:
        """Let so many hands begin to load, so that they are ready when there is something to do."""

    def start(self, task: Task) -> None:
        """Begin a task; there must be a hand free."""

    def wait(self, tell: Tell, *, seconds: float) -> None:
        """Pass on what the hands tell; wait so long, at most, for something to come."""

    def stop(self, tell: Tell, *, seconds: float) -> None:
        """Let all save and stop; whatever has not in so many seconds is ended at once, and told as stopped."""

    def close(self) -> None:
        """End all hands at once."""


def task_to_json(task: Task) -> dict[str, Any]:
    """Return a task as JSON."""
    return asdict(task)


def task_from_json(document: Mapping[str, Any]) -> Task:
    """Return what ``task_to_json`` was given."""
    timing = document["timing"]
    return Task(
        **{
            **document,
            "rungs": tuple(document["rungs"]),
            "timing": None if timing is None else Timing(**timing),
        }
    )


_KINDS = {kind.__name__: kind for kind in (Measured, EpochDone, Ended, Stopped, Failed, Died)}


def told_to_json(told: Told) -> dict[str, Any]:
    """Return as JSON what a hand tells."""
    plain = asdict(replace(told, answers=np.zeros(0, np.int64)) if isinstance(told, Ended) else told)
    if isinstance(told, Ended):
        plain["answers"] = base64.b64encode(told.answers.astype("<u2").tobytes()).decode()
    return {"kind": type(told).__name__, **plain}


def told_from_json(document: Mapping[str, Any]) -> Told:
    """Return what ``told_to_json`` was given."""
    values = dict(document)
    kind = values.pop("kind")
    if "epoch" in values:
        values["epoch"] = Epoch(**values["epoch"])
    if "latency" in values:
        values["latency"] = Latency(**values["latency"])
    if "curve" in values:
        values["curve"] = tuple(Epoch(**point) for point in values["curve"])
        values["answers"] = np.frombuffer(base64.b64decode(values["answers"]), "<u2").astype(np.int64)
    told: Told = _KINDS[kind](**values)
    return told


class Heard(Protocol):
    """A hand as its executor keeps it: whether it has read the images, and what it does."""

    ready: bool

    def ended(self, key: str) -> None:
        """Note that a task is no more."""


def pass_on(
    said: Mapping[str, Any], hand: Heard, tell: Tell, *, who: str, send: Callable[[Mapping[str, Any]], None]
) -> None:
    """Pass on one line of a hand, and keep what it says of the hand.

    Args:
        said: The line.
        hand: Whose it is; its task is no more before its end is told.
        tell: Called with what it tells of a task.
        who: Names the hand where it cannot begin.
        send: Called with the order that holds the answer, where the hand waits for one.

    Raises:
        DataError: The hand cannot read the images.
        StudyError: The hand reads other images than the search did.
        NasError: The hand cannot begin.
    """
    if "ready" in said:
        hand.ready = True
    elif "broken" in said:
        kind = {"DataError": DataError, "StudyError": StudyError}.get(said["type"], NasError)
        raise kind(f"{who}: {said['broken']}")
    elif "alive" not in said:  # which says no more than that
        told = told_from_json(said)
        if isinstance(told, ENDS):
            hand.ended(told.key)
        goes_on = tell(told)
        if asks(told):
            send({"answer": goes_on, "key": told.key})
