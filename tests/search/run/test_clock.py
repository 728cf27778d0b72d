"""How much of their time hands have something to do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from nas.search.run import clock as module
from nas.search.run.clock import HandClock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return the time, in seconds, which passes as a test wants."""
    at = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: at.seconds))
    return at


def test_hands_wait_between_trainings_but_not_when_there_is_nothing_more_to_begin(now: SimpleNamespace) -> None:
    clock = HandClock(2)
    assert clock.waited() is None and clock.busy_seconds == 0
    clock.begin("a")
    assert clock.waited() == 0
    now.seconds += 2
    clock.begin("b")  # one of two hands has waited for 2 s of 4
    assert clock.waited() == 0.5
    now.seconds += 2
    clock.end("a")
    clock.end("a")  # told once more
    assert clock.busy_seconds == 6
    now.seconds += 2
    clock.begin("c")  # and again: 4 s of 12
    assert clock.waited() == pytest.approx(1 / 3)
    now.seconds += 50
    clock.end("b")
    clock.end("c")
    assert clock.waited() == pytest.approx(1 / 3) and clock.busy_seconds == 108
