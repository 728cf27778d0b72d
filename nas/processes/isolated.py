"""Run a function in a process of its own, so that what ran before takes no part in what it measures."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from nas.errors import ConfigError, MeasurementError, NasError
from nas.processes.interrupts import interrupts_held

_UNGUARDED = 97
"""Exit code of a process that would have started another while it was imported."""


def in_own_process(task: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function in a new process and return its result.

    Raises:
        MeasurementError: It failed there, or the process was killed.
        ConfigError: The script that calls this is imported by the process, which then calls this too.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, task, arguments), name="measuring")
    with interrupts_held():  # an interrupt is this process's matter, which then ends the other
        _start(process)
    sender.close()
    try:
        answer = receiver.recv()
        process.join(timeout=5)  # what the task had started ends with it
    except EOFError:
        process.join()
        if process.exitcode == _UNGUARDED:
            raise ConfigError(
                'a script must measure under if __name__ == "__main__": because the measuring process imports it'
            ) from None
        raise MeasurementError(f"the measuring process ended with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _start(process: BaseProcess) -> None:
    try:
        process.start()
    except RuntimeError as error:
        if "bootstrapping" not in str(error):
            raise
        sys.exit(_UNGUARDED)  # this is a measuring process, importing a script


def _answer(sender: Connection, task: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Send what a task returns or raises; the body of a measuring process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # compilers and profilers write there
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = task(*arguments)
    except Exception as error:
        answer = error if isinstance(error, NasError) else MeasurementError(first_line(error))
    sender.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def first_line(error: Exception) -> str:
    """Return what an error says in one line, with its class where it is none of ours."""
    if isinstance(error, NasError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ": ".join((type(error).__name__, *lines[:1]))
