"""A hand as its coordinator sees it: a process, and a pipe for each direction."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import Any

import nas
from nas.executors.task import Task

HAND = (sys.executable, "-P", "-m", "nas.executors.hand")
"""Command of a hand; without the working directory among its modules."""

Report = tuple["Hand", "dict[str, Any] | None"]
"""What a hand has said; None at its end."""


class Hand:
    """One process, as its coordinator sees it."""

    def __init__(self, command: Sequence[str], reports: Queue[Report]) -> None:
        """Start it and begin to listen."""
        self.tasks = dict[str, Task]()  # that it does, by their keys
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

    def ended(self, key: str) -> None:
        """Note that a task is no more."""
        self.tasks.pop(key, None)

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
