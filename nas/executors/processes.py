"""Trainings in processes of their own on this machine, which are kept for the next.

A crash of native code, or the kernel's memory killer, ends one training and not the search. They are started as
``python -m nas.executors.hand`` and spoken to over pipes, so that the caller's script is never imported again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from queue import Empty, Queue
from typing import Any

from nas.data.sources import DataConfig, Dataset
from nas.errors import NasError
from nas.executors.child import HAND, Hand, Report
from nas.executors.sharing import Sharing
from nas.executors.task import Died, Stopped, Task, Tell, pass_on, task_to_json
from nas.units import format_seconds

_STARTS = 5
"""A process that is killed while it loads, which no network can be blamed for, is started anew, but not so often."""
_SECONDS_OF_SILENCE = 3600.0
"""A process that has taken no step for so long hangs; the first one of a compiled network takes minutes."""
_SECONDS_AWAKE = 10.0  # of one wait, at most: whoever was stopped or asleep has not listened


class Processes:
    """One process for each training that runs at the same time, or for those that share a device."""

    def __init__(
        self,
        data: DataConfig,
        dataset: Callable[[], Dataset],
        *,
        devices: Sequence[str],
        sharing: Sharing | None = None,
        command: Sequence[str] = HAND,
    ) -> None:
        """Keep what every process needs; none is started yet.

        Args:
            data: Where the images are, with absolute paths or such as the working directory knows.
            dataset: Gives what was read there; called when there is something to do, so that it is read once before
                others read it from its cache.
            devices: Of each training that runs at the same time.
            sharing: Tells which trainings of a device may share a process; without it none do.
            command: Starts one.
        """
        self._data, self._dataset = data, dataset
        self._sharing = sharing
        self._devices = list(devices if sharing is None else dict.fromkeys(devices))
        self._most = 1 if sharing is None else -(-len(devices) // len(self._devices))  # trainings in a process
        self.hands = len(devices)
        self._command = tuple(command)
        self._hands: list[Hand | None] = [None] * len(self._devices)
        self._reports = Queue[Report]()
        self._waiting = deque[Task]()  # for room, in the order in which they are to begin
        self._stillborn = 0  # in a row

    @property
    def running(self) -> frozenset[str]:
        """Keys of the tasks that were begun and have not ended."""
        return self._held | {task.key for task in self._waiting}

    @property
    def _held(self) -> frozenset[str]:
        """Keys of the tasks that a process has."""
        return frozenset(key for hand in self._hands if hand is not None for key in hand.tasks)

    def prepare(self, hands: int) -> None:
        """Start so many processes, which then load their modules."""
        for place in range(min(hands, len(self._hands))):
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
        """Give a task to a process that has room for it, now or once there is one."""
        self._waiting.append(task)
        self._begin()

    def _begin(self) -> None:
        """Begin what waits; none overtakes one that waits for more room."""
        while self._waiting and (places := self._places_for(self._waiting[0])):
            self._give(min(places, key=self._load), self._waiting.popleft())

    def _places_for(self, task: Task) -> list[int]:
        def has_room(hand: Hand | None) -> bool:
            if hand is None or not hand.tasks:
                return True
            fits = self._sharing is not None and self._sharing.admits(task, hand.tasks.values())
            return fits and len(hand.tasks) < self._most

        return [place for place, hand in enumerate(self._hands) if has_room(hand)]

    def _load(self, place: int) -> tuple[int, bool]:
        """Return what makes a place worse than others: what its process does, and that it has none."""
        hand = self._hands[place]
        return (0, True) if hand is None else (len(hand.tasks), False)

    def _give(self, place: int, task: Task) -> None:
        hand = self._at(place)
        if not hand.knows_images:
            hand.send({**self._images, "device": self._devices[place], "places": self._most})
            hand.knows_images = True
        hand.tasks[task.key] = task
        hand.send({"task": task_to_json(task)})

    def wait(self, tell: Tell, *, seconds: float) -> None:
        """Pass on what the processes tell; wait so long, at most, for something to come.

        Raises:
            DataError: A process cannot read the images.
            StudyError: A process reads other images than the search did.
            NasError: A process cannot begin.
        """
        self._listen(tell, seconds=seconds)
        self._begin()

    def _listen(self, tell: Tell, *, seconds: float) -> None:
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
        elif "crowded" in report:
            self._waiting.appendleft(replace(hand.tasks.pop(report["crowded"]), alone=True))
        else:
            pass_on(report, hand, tell, who="a training process cannot begin", send=hand.send)
            self._stillborn = 0 if hand.ready else self._stillborn

    def _bury(self, hand: Hand, tell: Tell) -> None:
        """Tell the death of a process, or let what it was to do begin anew if it was killed before it began."""
        how = hand.ending()
        tasks = self._end(hand)
        if hand.ready:
            self._mourn(tasks, how, tell)
            return
        self._stillborn += 1
        if not hand.was_killed or self._stillborn == _STARTS:
            raise NasError(f"a training process {how} before it began")
        self._waiting.extendleft(reversed(tasks))

    def _mourn(self, tasks: Sequence[Task], how: str, tell: Tell) -> None:
        """Tell the death of a training; of several in one process, nobody knows whose it was, so each tries alone."""
        if len(tasks) == 1:
            tell(Died(tasks[0].key, how))
        else:
            self._waiting.extendleft(replace(task, alone=True) for task in reversed(tasks))

    def _end(self, hand: Hand) -> list[Task]:
        """End a process at once; return what it did."""
        tasks = list(hand.tasks.values())
        hand.tasks.clear()
        self._hands[self._hands.index(hand)] = None
        hand.end()
        return tasks

    def _end_hanging(self, seconds: float, tell: Tell) -> None:
        """End processes that have not been heard for too long, this wait included."""
        for hand in tuple(self._hands):
            if hand is None or not hand.tasks or not hand.ready:
                continue
            hand.silent += seconds
            if hand.silent > _SECONDS_OF_SILENCE:
                how = f"ended after no step for {format_seconds(_SECONDS_OF_SILENCE)}"
                self._mourn(self._end(hand), how, tell)

    def stop(self, tell: Tell, *, seconds: float) -> None:
        """Let all save and stop; whatever has not in so many seconds is ended at once, and told as stopped."""
        for hand in filter(None, tuple(self._hands)):
            if hand.ready:
                hand.send({"stop": True})
            else:  # it has not begun
                self._waiting.extend(self._end(hand))
        deadline = time.monotonic() + seconds
        try:
            while self._held and (left := deadline - time.monotonic()) > 0:
                with suppress(NasError):  # of one that had not begun
                    self._listen(tell, seconds=left)
        finally:
            left_over = self.running
            self.close()
        for key in left_over:
            tell(Stopped(key))

    def close(self) -> None:
        """End all processes at once."""
        self._waiting.clear()
        for hand in filter(None, tuple(self._hands)):
            self._end(hand)
