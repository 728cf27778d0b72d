"""Trainings in processes of their own on this machine, which are kept for the next.

A crash of native code, or the kernel's memory killer, ends one training and not the search. They are started as
``python -m nas.executors.hand`` and spoken to over pipes, so that the caller's script is never imported again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import nas
from nas.data.sources import DataConfig, Dataset
from nas.errors import NasError
from nas.executors.task import Died, Stopped, Task, Tell, pass_on, task_to_json
from nas.units import format_seconds

HAND = (sys.executable, "-P", "-m", "nas.executors.hand")
"""Command of a hand; without the working directory among its modules."""

_STARTS = 5
"""A process that is killed while it loads, which no network can be blamed for, is started anew, but not so often."""
_SECONDS_OF_SILENCE = 3600.0
"""A process that has taken no step for so long hangs; the first one of a compiled network takes minutes."""
_SECONDS_AWAKE = 10.0  # of one wait, at most: whoever was stopped or asleep has not listened

Report = tuple["Hand", "dict[str, Any] | None"]
"""What a hand has said; None at its end."""


class Hand:
    """One process, as its coordinator sees it."""

    def __init__(self, command: Sequence[str], reports: Queue[Report]) -> None:
        """Start it and begin to listen."""
        self.task: Task | None = None
        self.ready = self.knows_images = False
        self.silent = 0.0  # seconds since it was heard
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        package = Path(nas.__file__).parents[1]
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,  # Ctrl-C of the terminal is the coordinator's matter
            )
        except OSError:
            self._errors.close()
            raise
        self._listener = threading.Thread(target=self._listen, args=(reports,), daemon=True)
        self._listener.start()

    def send(self, order: Mapping[str, Any]) -> None:
        """Tell it something; one that is gone will be found gone."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError, ValueError):
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            self.process.stdin.flush()

    def _listen(self, reports: Queue[Report]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with suppress(ValueError):  # the half of a line that a dying process wrote
                reports.put((self, json.loads(line)))
        reports.put((self, None))

    @property
    def was_killed(self) -> bool:
        """Whether a signal has ended it."""
        return self.process.wait() < 0

    def ending(self) -> str:
        """Return how it ended, in a few words."""
        code = self.process.wait()
        if code >= 0:
            return f"ended with exit code {code}{self._last_words()}"
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read()[-2000:].decode(errors="replace").split("\n")
        last = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")
        return f": {last[:300]}" if last else ""

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        self._listener.join(timeout=1.0)  # a process that it had started may hold the pipe
        streams = [self.process.stdin, self._errors, *([] if self._listener.is_alive() else [self.process.stdout])]
        for stream in streams:
            with suppress(OSError, AttributeError):
                stream.close()  # type: ignore[union-attr]


class Processes:
    """One process for each training that runs at the same time."""

    def __init__(
        self,
        data: DataConfig,
        dataset: Callable[[], Dataset],
        *,
        devices: Sequence[str],
        command: Sequence[str] = HAND,
    ) -> None:
        """Keep what every process needs; none is started yet.

        Args:
            data: Where the images are, with absolute paths or such as the working directory knows.
            dataset: Gives what was read there; called when there is something to do, so that it is read once before
                others read it from its cache.
            devices: Of each process.
            command: Starts one.
        """
        self._data, self._dataset = data, dataset
        self._devices = list(devices)
        self._command = tuple(command)
        self._hands: list[Hand | None] = [None] * len(devices)
        self._reports = Queue[Report]()
        self._stillborn = 0  # in a row

    @property
    def hands(self) -> int:
        """How many trainings run at the same time."""
        return len(self._hands)

    @property
    def running(self) -> frozenset[str]:
        """Keys of the tasks that were begun and have not ended."""
        return frozenset(hand.task.key for hand in self._hands if hand is not None and hand.task is not None)

    def prepare(self, hands: int) -> None:
        """Start so many processes, which then load their modules."""
        for place in range(min(hands, self.hands)):
            self._at(place)

    def _at(self, place: int) -> Hand:
        hand = self._hands[place]
        if hand is None:
            hand = self._hands[place] = Hand(self._command, self._reports)
        return hand

    @cached_property
    def _images(self) -> dict[str, Any]:
        """What a hand is told of the images."""
        dataset = self._dataset()
        return {
            "data": self._data.model_dump(mode="json", exclude_unset=True),
            "fingerprint": dataset.fingerprint,
            "content": dataset.content_digest(),
        }

    def start(self, task: Task) -> None:
        """Give a task to a process that has none."""
        free = [place for place, hand in enumerate(self._hands) if hand is None or hand.task is None]
        known = [place for place in free if self._hands[place] is not None]
        self._give((known or free)[0], task)

    def _give(self, place: int, task: Task) -> None:
        hand = self._at(place)
        if not hand.knows_images:
            hand.send({**self._images, "device": self._devices[place]})
            hand.knows_images = True
        hand.task, hand.silent = task, 0.0
        hand.send({"task": task_to_json(task)})

    def wait(self, tell: Tell, *, seconds: float) -> None:
        """Pass on what the processes tell; wait so long, at most, for something to come.

        Raises:
            DataError: A process cannot read the images.
            StudyError: A process reads other images than the search did.
            NasError: A process cannot begin.
        """
        began = time.monotonic()
        with suppress(Empty):
            self._hear(*self._reports.get(timeout=seconds), tell)
            while True:
                self._hear(*self._reports.get_nowait(), tell)
        self._end_hanging(min(time.monotonic() - began, _SECONDS_AWAKE), tell)

    def _hear(self, hand: Hand, report: dict[str, Any] | None, tell: Tell) -> None:
        if hand not in self._hands:  # it was ended
            return
        hand.silent = 0.0
        if report is None:
            self._bury(hand, tell)
        else:
            who = "a training process cannot begin"
            pass_on(report, hand, tell, who=who, answer=lambda goes_on: hand.send({"answer": goes_on}))
            self._stillborn = 0 if hand.ready else self._stillborn

    def _bury(self, hand: Hand, tell: Tell) -> None:
        """Tell the death of a process, or start one that was killed before it began anew."""
        how = hand.ending()
        place, task = self._end(hand)
        if hand.ready:
            if task is not None:
                tell(Died(task.key, how))
            return
        self._stillborn += 1
        if not hand.was_killed or self._stillborn == _STARTS:
            raise NasError(f"a training process {how} before it began")
        if task is not None:
            self._give(place, task)

    def _end(self, hand: Hand) -> tuple[int, Task | None]:
        """End a process at once; return its place and its task."""
        place, task = self._hands.index(hand), hand.task
        self._hands[place] = hand.task = None
        hand.end()
        return place, task

    def _end_hanging(self, seconds: float, tell: Tell) -> None:
        """End processes that have not been heard for too long, this wait included."""
        for hand in self._hands:
            if hand is None or hand.task is None or not hand.ready:
                continue
            hand.silent += seconds
            if hand.silent > _SECONDS_OF_SILENCE:
                key = hand.task.key
                self._end(hand)
                tell(Died(key, f"ended after no step for {format_seconds(_SECONDS_OF_SILENCE)}"))

    def stop(self, tell: Tell, *, seconds: float) -> None:
        """Let all save and stop; whatever has not in so many seconds is ended at once, and told as stopped."""
        for hand in filter(None, tuple(self._hands)):
            if hand.ready:
                hand.send({"stop": True})
            elif (task := self._end(hand)[1]) is not None:  # it has not begun
                tell(Stopped(task.key))
        deadline = time.monotonic() + seconds
        try:
            while self.running and (left := deadline - time.monotonic()) > 0:
                with suppress(NasError):  # of one that had not begun
                    self.wait(tell, seconds=left)
        finally:
            left_over = self.running
            self.close()
        for key in left_over:
            tell(Stopped(key))

    def close(self) -> None:
        """End all processes at once."""
        for hand in filter(None, tuple(self._hands)):
            self._end(hand)
