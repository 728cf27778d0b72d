from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from nas.processes.interrupts import interruptible, interrupts_held


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):  # the handler runs between two of these
        pass


def test_an_interrupt_whose_exception_was_lost_is_raised_at_the_next_check() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as check:
        check()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        with pytest.raises(KeyboardInterrupt):
            check()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert signal.getsignal(signal.SIGINT) is before


def hold() -> None:
    held = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts_held():
            interrupt()
            held.append(True)
        interrupt()
    assert held == [True]


def test_an_interrupt_that_was_held_comes_afterwards() -> None:
    # in a process of one thread: where a test runner has more, another of them takes what this one holds
    process = multiprocessing.get_context("spawn").Process(target=hold)
    process.start()
    process.join()
    assert process.exitcode == 0
