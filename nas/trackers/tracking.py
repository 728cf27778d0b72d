"""A listener that tells trackers of a search."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from queue import Empty, Queue

import nas
from nas.analysis.pareto import front_with_noise
from nas.errors import NasError
from nas.processes.isolated import first_line
from nas.search.opening import Named, find_study
from nas.search.run.events import Event, RepeatFinished, TrainingBegan, TrialFinished
from nas.search.study import Study
from nas.trackers.entries import Entry, Front, Value, entry_of, repeat_entry
from nas.trackers.kinds import Wanted, wanted

SENDER = (sys.executable, "-P", "-m", "nas.trackers.sender")
"""Command of a tracker's process; without the working directory among its modules, where wandb makes a folder wandb."""
PATIENCE, HASTE = 60.0, 5.0
"""Seconds that a tracker has at the end for what it has not written: of a whole search, and of an interrupted one."""
_TRAINED = ("trained", "stopped", "diverged", "failed")
"""States of trials that are runs of a tracker; the others were not trained, and are counted."""


@contextmanager
def track(
    study: Named,
    *trackers: str,
    storage: str | None = None,
    note: Callable[[str], None] = warnings.warn,
) -> Iterator[Callable[[Event], None]]:
    """Tell experiment trackers of a search: yield what to give to ``run_study`` as ``on_event``.

    Each training that ends becomes a run with its curve, and the front a table at the end. Trainings that ended before
    are not told. A tracker that fails is noted once, and the search goes on.

    Args:
        study: As in ``run_study``.
        trackers: ``trackio``, ``wandb`` or ``mlflow``, each with its project after a colon or without; then the project
            is called as the study. Where they write to, their own environment variables say.
        storage: As in ``run_study``.
        note: Is told in one line of a tracker that failed.

    Raises:
        ConfigError: There is no such tracker.
        DataError: Its library is not installed.
    """
    found = find_study(study, storage=storage)
    chosen = [wanted(text, study=found.name) for text in trackers]
    with ExitStack() as stack:
        senders = [stack.enter_context(Sender(one, found.name, note=note)) for one in chosen]
        listener = _Listener(found, senders)
        yield listener
        listener.tell_front()


class Sender:
    """The process of one tracker, which is told without waiting for it."""

    def __init__(
        self, chosen: Wanted, study: str, *, note: Callable[[str], None], command: Sequence[str] = SENDER
    ) -> None:
        """Start nothing yet."""
        self._chosen, self._study, self._note, self._command = chosen, study, note, command
        self._lines = Queue[bytes | None]()
        self._said = Queue[str]()
        self._process: subprocess.Popen[bytes] | None = None
        self._threads = list[threading.Thread]()
        self._noted = False

    def __enter__(self) -> Sender:
        """Start the process; where the system cannot, that is noted."""
        paths = [str(Path(nas.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            self._process = subprocess.Popen(
                [*self._command, self._chosen.kind, self._chosen.project, self._study],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,  # Ctrl-C of the terminal is the search's matter
            )
        except OSError as error:
            self.fail(f"cannot be started: {error.strerror}")
            return self
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._feed, self._listen)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        """Let it write what it has, for some time."""
        if self._process is None:
            return
        self._lines.put(None)
        try:
            self._process.wait(PATIENCE if kind is None else HASTE)
        except subprocess.TimeoutExpired:
            self.fail("does not end; what it has not sent is lost")
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(1.0)
        self._look()
        if self._process.returncode and not self._noted:
            self.fail(f"ended with exit code {self._process.returncode}")

    def send(self, entry: Entry | Front) -> None:
        """Have an entry told."""
        self._look()
        if not self._noted:
            self._lines.put(json.dumps(asdict(entry)).encode() + b"\n")

    def _feed(self) -> None:
        """Write lines to the process, which may take its time."""
        assert self._process is not None and self._process.stdin is not None
        with suppress(OSError, ValueError), self._process.stdin as stream:
            while (line := self._lines.get()) is not None:
                stream.write(line)
                stream.flush()

    def _listen(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._said.put(line.decode(errors="replace").strip())

    def _look(self) -> None:
        """Note what the process has said."""
        with suppress(Empty):
            self.fail(self._said.get_nowait())

    def fail(self, reason: str) -> None:
        """Note why the tracker is told no more, once."""
        if not self._noted:
            self._noted = True
            self._note(f"--track {self._chosen.kind}: {reason}; it is told no more, the search goes on")


class _Listener:
    """Makes entries of events. Whatever goes wrong with them is no end of the search."""

    def __init__(self, study: Study, senders: Sequence[Sender]) -> None:
        self._study, self._senders = study, senders
        self._paused = dict[int, int]()  # epochs that a trial had when it went on

    def __call__(self, event: Event) -> None:
        """Tell of a training that has ended."""
        if isinstance(event, TrainingBegan) and not event.repeat:
            self._paused[event.trial.number] = event.trial.epochs or 0
        elif isinstance(event, TrialFinished) and event.trial.state in _TRAINED:
            trial = event.trial
            after = self._paused.pop(trial.number, 0)
            self._send(lambda: entry_of(trial, self._study.curves([trial.number]).get(trial.number, []), after=after))
        elif isinstance(event, RepeatFinished):
            self._send(lambda: repeat_entry(event.trial, event.repeat))

    def tell_front(self) -> None:
        """Tell how the study stands."""
        self._send(lambda: front_of(self._study))

    def _send(self, make: Callable[[], Entry | Front]) -> None:
        for sender in self._senders:
            try:
                sender.send(make())
            except NasError as error:  # the database does not answer
                sender.fail(first_line(error))


def front_of(study: Study) -> Front:
    """Return a study's front, by expected accuracies, and its trials by state."""
    found = front_with_noise(study)
    rows: list[dict[str, Value]] = [
        {
            "trial": point.trial.number,
            "flops": point.trial.flops,
            "expected_accuracy": point.shrunk_accuracy,
            "standard_error": point.standard_error,
            "mean_accuracy": point.mean_accuracy,
            "seeds": point.seeds,
            "front_probability": point.front_probability,
            "network": point.trial.label,
        }
        for point in found.points
    ]
    return Front(rows, dict(Counter(trial.state for trial in study.trials())))
