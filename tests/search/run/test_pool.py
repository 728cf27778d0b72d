"""A worker of a search ends when it is told to."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.config.study import StudyConfig
from nas.search.run import loop, pool
from nas.search.run.events import Event, NothingLeft
from nas.search.run.limits import Limits
from nas.search.study import find_study


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    """Take Ctrl-C as before, which a worker ignores once it was pressed."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_as_it_was")
def test_a_worker_whose_interrupt_got_lost_ends_at_its_next_event(
    tiny_config: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    went_on: list[bool] = []

    def run(*arguments: Any, on_event: Callable[[Event], None], **keywords: Any) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            pass  # as Python drops it in a finaliser
        on_event(NothingLeft(1))
        went_on.append(True)

    monkeypatch.setattr(loop, "run_trials", run)
    tickets, events = multiprocessing.Value("i", 3), queue.Queue[Event]()
    pool._work(find_study(tiny_config), tickets, events, Limits(), "cpu")
    assert not went_on
    assert events.get_nowait() == NothingLeft(1)  # what it had finished is told
