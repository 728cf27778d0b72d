"""Trainings on a Ray cluster: Ray places the hands, and places them anew where a node is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import nas
from nas.data.extras import require_extra
from nas.data.sources import DataConfig, Dataset
from nas.errors import ConfigError, NasError, StudyError
from nas.executors.driver import SECONDS_TO_ANSWER, Opening, opening_to_json
from nas.executors.task import Died, Stopped, Task, Tell, pass_on, task_to_json
from nas.units import format_seconds

DRIVER = (sys.executable, "-P", "-m", "nas.executors.driver")
"""Command of the process that speaks with Ray; without the working directory among its modules."""
SECONDS_TO_CONNECT = 30.0
"""A cluster that does not answer in this time is taken for none."""
SECONDS_OF_SILENCE = 3600.0
"""A hand that has taken no step for so long hangs."""
_SECONDS_AWAKE = 10.0  # of one wait, at most: whoever was stopped or asleep has not listened
_TRIES = 5
_SAME = ("nas-explorer", "torch")
"""Packages of which every node must have the same version."""


@dataclass(slots=True, eq=False)
class Place:
    """One hand, as its coordinator sees it.

    Attributes:
        node: Where it is; empty while Ray looks for room.
        knows_images: Whether it was told what images to read.
        ready: Whether it has read them.
        task: What it does.
        silent: Seconds of waiting since it was heard.
    """

    node: str = ""
    knows_images: bool = False
    ready: bool = False
    task: Task | None = None
    silent: float = 0.0

    def ended(self, key: str) -> None:
        """Note that its task is no more."""
        self.task = None


class Ray:
    """One hand for each training that runs at the same time, on whatever node Ray finds room."""

    def __init__(
        self,
        data: DataConfig,
        dataset: Callable[[], Dataset],
        *,
        hands: int,
        address: str,
        device: str,
        cpus: int,
        seen: Callable[[], AbstractContextManager[str]],
        stop: Callable[[], bool],
        command: Sequence[str] = DRIVER,
    ) -> None:
        """Keep what every hand needs; nothing is started yet.

        Args:
            data: Where the images are, on every node alike.
            dataset: Gives what was read there.
            hands: How many trainings at the same time.
            address: Of the cluster: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.
            device: ``auto``, ``cpu`` or ``cuda``; which GPU is Ray's choice.
            cpus: Threads of one training.
            seen: Gives, for a while, a file beside the checkpoints, which every node must be able to read.
            stop: Tells whether to begin nothing, asked while the nodes read their images.
            command: Starts the process that speaks with Ray.

        Raises:
            DataError: Ray is not installed.
            ConfigError: A device is named that is Ray's to choose.
        """
        require_extra("ray", extra="cluster", what="--executor ray")
        if device not in ("auto", "cpu", "cuda"):
            raise ConfigError(f"--device {device}: on a cluster Ray chooses; known: auto, cpu, cuda")
        self._data, self._dataset, self._address, self._seen = data, dataset, address, seen
        self._device, self._cpus, self._stop, self._command = device, cpus, stop, tuple(command)
        self._places = [Place() for _ in range(hands)]
        self._gpu: bool | None = None  # whether hands have one; not known before the driver has connected
        self._in_vain = 0  # hands that were lost in a row before they were ready
        self._driver: subprocess.Popen[bytes] | None = None
        self._reports = Queue[dict[str, Any] | None]()

    @property
    def hands(self) -> int:
        """How many trainings run at the same time: as many as Ray has found room for, and one where it has none."""
        return max(1, sum(bool(place.node) for place in self._places))

    @property
    def running(self) -> frozenset[str]:
        """Keys of the tasks that were begun and have not ended."""
        return frozenset(place.task.key for place in self._places if place.task is not None)

    def prepare(self, hands: int) -> None:
        """Connect with the cluster and look at its nodes; all hands begin to load.

        Raises:
            ConfigError: There is no cluster, it does not answer, or a node has not what it takes.
        """
        if self._driver is None:
            with self._seen() as seen:
                self._start(seen)
                self._await("connected", seconds=SECONDS_TO_CONNECT)
                self._gpu = self._await("nodes", seconds=2 * SECONDS_TO_ANSWER)["gpu"]

    def _start(self, seen: str) -> None:
        paths = [str(Path(nas.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the driver
        self._driver = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={
                "RAY_USAGE_STATS_ENABLED": "0",  # unless the user says otherwise
                **os.environ,
                "PYTHONPATH": os.pathsep.join(paths),
            },
            start_new_session=True,  # Ctrl-C of the terminal is the coordinator's matter
        )
        self._listener = threading.Thread(target=self._listen, args=(self._driver,), daemon=True)
        self._listener.start()
        self._send(
            opening_to_json(
                Opening(
                    self._address,
                    len(self._places),
                    {"auto": None, "cpu": False, "cuda": True}[self._device],
                    self._cpus,
                    _versions(),
                    seen,
                )
            )
        )

    def _listen(self, driver: subprocess.Popen[bytes]) -> None:
        assert driver.stdout is not None
        for line in driver.stdout:
            with suppress(ValueError):  # the half of a line that a dying process wrote
                self._reports.put(json.loads(line))
        self._reports.put(None)

    def _send(self, document: Mapping[str, Any]) -> None:
        """Tell the driver something; one that is gone will be found gone."""
        assert self._driver is not None and self._driver.stdin is not None
        with suppress(BrokenPipeError, ValueError):
            self._driver.stdin.write(json.dumps(document).encode() + b"\n")
            self._driver.stdin.flush()

    def _await(self, what: str, *, seconds: float) -> dict[str, Any]:
        """Wait until the driver tells something, before any hand is placed, and return it."""
        try:
            report = self._reports.get(timeout=seconds)
        except Empty:
            reason = f"no Ray cluster has answered within {seconds:.0f} s"
            raise ConfigError(f"--address {self._address}: {reason}") from None
        if report is None:
            raise ConfigError(f"--address {self._address}: Ray has ended{self._last_words()}")
        if "broken" in report:
            raise ConfigError(f"--address {self._address}: {report['broken']}")
        assert what in report
        return report

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read()[-2000:].decode(errors="replace").split("\n")
        last = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")
        return f": {last[:300]}" if last else ""

    def start(self, task: Task) -> None:
        """Give a task to a hand that has none; before the first, all hands that are placed read the images.

        Raises:
            DataError: A node cannot read the images.
            StudyError: A node reads other images than the search did.
        """
        self.prepare(len(self._places))
        if not any(place.knows_images for place in self._places):
            self._let_all_read()
        free = [place for place in self._places if place.task is None]
        place = next((place for place in free if place.ready), None) or next(
            (place for place in free if place.node), free[0]
        )
        place.task, place.silent = task, 0.0
        if place.node:
            self._order(place, {"task": task_to_json(task)})

    def _let_all_read(self) -> None:
        def waits() -> bool:
            begun = [place for place in self._places if place.knows_images]
            return not begun or any(not place.ready for place in begun)

        while waits() and not self._stop():
            self.wait(lambda told: False, seconds=1.0)

    def _order(self, place: Place, order: Mapping[str, Any]) -> None:
        self._send({"hand": self._places.index(place), "order": order})

    def _images(self) -> dict[str, Any]:
        dataset = self._dataset()
        return {
            "data": self._data.model_dump(mode="json"),
            "fingerprint": dataset.fingerprint,
            "content": dataset.content_digest(),
        }

    def wait(self, tell: Tell, *, seconds: float) -> None:
        """Pass on what the hands tell; wait so long, at most, for something to come.

        Raises:
            DataError: A node cannot read the images.
            StudyError: A node reads other images than the search did, or the cluster is gone.
            NasError: A hand cannot begin.
        """
        began = time.monotonic()
        with suppress(Empty):
            self._hear(self._reports.get(timeout=seconds), tell)
            while True:
                self._hear(self._reports.get_nowait(), tell)
        self._end_the_silent(min(time.monotonic() - began, _SECONDS_AWAKE), tell)

    def _end_the_silent(self, seconds: float, tell: Tell) -> None:
        """End hands that have not been heard for too long, this wait included."""
        for number, place in enumerate(self._places):
            if place.task is None or not place.ready:
                continue
            place.silent += seconds
            if place.silent > SECONDS_OF_SILENCE:
                task, place.task = place.task, None
                self._send({"hand": number, "order": None})
                self._places[number] = Place()
                tell(Died(task.key, f"ended after no step for {format_seconds(SECONDS_OF_SILENCE)}"))

    def _hear(self, report: dict[str, Any] | None, tell: Tell) -> None:
        if report is None:
            raise StudyError(f"the Ray cluster at {self._address} is gone{self._last_words()}")
        number = report["hand"]
        place = self._places[number]
        place.silent = 0.0
        if "placed" in report:
            self._greet(place, report["placed"])
        elif "said" in report:
            pass_on(report["said"], place, tell, who=f"node {place.node}", send=partial(self._order, place))
        else:
            self._places[number] = Place()
            self._bury(place, report, tell)

    def _greet(self, place: Place, node: str) -> None:
        """Let a hand that has found its place read the images, and begin the task that waits for it."""
        place.node, place.knows_images = node, True
        self._order(place, {**self._images(), "device": "cuda:0" if self._gpu else "cpu"})
        if place.task is not None:
            self._order(place, {"task": task_to_json(place.task)})

    def _bury(self, place: Place, report: Mapping[str, Any], tell: Tell) -> None:
        """Tell a death. A node that is lost is no death of the network's: its training is wanted as before."""
        if "died" in report and not place.ready:
            raise NasError(f"node {place.node}: a training process {report['died']} before it began")
        self._in_vain = 0 if place.ready else self._in_vain + 1
        if self._in_vain == _TRIES:
            raise NasError(f"Ray lost {_TRIES} hands in a row before they began, the last so: {report['lost']}")
        if place.task is not None:
            tell(Died(place.task.key, report["died"]) if "died" in report else Stopped(place.task.key))

    def stop(self, tell: Tell, *, seconds: float) -> None:
        """Let all save and stop; whatever has not in so many seconds is ended at once, and told as stopped."""
        for place in self._places:
            if place.node:
                self._order(place, {"stop": True})
        deadline = time.monotonic() + seconds
        try:
            while self.running and (left := deadline - time.monotonic()) > 0:
                self.wait(tell, seconds=left)
        except NasError:  # of a hand that had not begun, or the cluster's
            pass
        finally:
            left_over = self.running
            self.close()
        for key in left_over:
            tell(Stopped(key))

    def close(self) -> None:
        """End the driver, and with it all hands."""
        self._places = [Place() for _ in self._places]
        driver, self._driver = self._driver, None
        if driver is None:
            return
        assert driver.stdin is not None and driver.stdout is not None
        with suppress(OSError):
            driver.stdin.close()
        if self._gpu is not None:  # it is not waiting for an address that does not answer
            with suppress(subprocess.TimeoutExpired):
                driver.wait(timeout=5)
        driver.kill()
        driver.wait()
        self._listener.join()
        driver.stdout.close()
        self._errors.close()


def _versions() -> dict[str, str]:
    found = {}
    for package in _SAME:
        with suppress(PackageNotFoundError):  # not installed but on the path: nothing to compare
            found[package] = version(package).partition("+")[0]
    return found
