"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. Inside a finaliser or the callback of a weak
reference it is printed and dropped, and a long search would go on as if nothing had been pressed.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, Self


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Give a function that raises KeyboardInterrupt if the signal came since, even if its own exception got lost."""
    pressed = False

    def note(signum: int, frame: object) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


class Interrupts:
    """Notes Ctrl-C in a ``with`` block, so that work can end where it does no harm; the second time it is raised.

    SIGTERM, by which SLURM, Docker and others ask a process to end, counts as Ctrl-C.

    In a thread other than the main one nothing is noted: Python raises it in the main thread.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.pressed = False
        self._before = dict[signal.Signals, Any]()

    def __call__(self) -> bool:
        """Tell whether it was pressed."""
        return self.pressed

    def __enter__(self) -> Self:
        """Begin to note it."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        """Raise it at once again, as before."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, signum: int, frame: object) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while processes are started, which then begin with it held back too; it comes afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # not POSIX
        yield
        return
    resource_tracker.ensure_running()  # its own start would let the signal through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
