"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. Inside a finaliser or the callback of a weak
reference it is printed and dropped, and a long search would go on as if nothing had been pressed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible(*, once: bool = False) -> Iterator[Callable[[], None]]:
    """Give a function that raises KeyboardInterrupt if the signal came since, even if its own exception got lost.

    Args:
        once: Ignore further signals after the first, for a process that a terminal and its parent both signal.
    """
    pressed = False

    def note(signum: int, frame: object) -> None:
        nonlocal pressed
        pressed = True
        if once:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        if not (once and pressed):
            signal.signal(signal.SIGINT, before)
