"""A hand that is free begins its next training first; and few transactions, each of which waits for the disk."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from searching import HAND, write_study

from nas.executors.processes import Processes
from nas.executors.task import Ended, Told
from nas.search.run import start
from nas.search.run.events import Event, TrialFinished
from nas.search.run.reports import Reports
from nas.search.storage.claims import Claims

HANDS = 2


@pytest.fixture(autouse=True)
def _hands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKE_SECONDS", "0.3")  # two proposals take less, or else less is shown
    monkeypatch.setattr(start, "Processes", partial(Processes, command=HAND))


def test_a_hand_that_is_free_need_not_wait_for_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, busy, asked = dict[str, bool](), list[bool](), list[Claims]()

    def hear(self: Reports, told: Told, *, later: bool) -> bool:
        executor, trainings = running[0], self._trainings
        asked.append(trainings)
        if isinstance(told, Ended):
            ready[told.key.split(".")[0]] = trainings.waiting() >= executor.hands - len(executor.running)
        return real(self, told, later=later)

    def listen(event: Event) -> None:
        if isinstance(event, TrialFinished) and ready.get(event.trial.digest):
            # where the other hand has ended meanwhile, one wanted training may not be enough for both
            busy.append(len(running[0].running) == HANDS or not asked[-1].waiting())

    def make(*arguments: Any, **keywords: Any) -> Processes:
        running.append(Processes(*arguments, **keywords, command=HAND))
        return running[0]

    running, real = list[Processes](), Reports.hear
    monkeypatch.setattr(Reports, "hear", hear)
    monkeypatch.setattr(start, "Processes", make)
    path = write_study(tmp_path / "free.yaml", trials=12)
    start.run_study(path, workers=HANDS, executor="processes", on_event=listen)
    assert busy and all(busy), "a hand that could have begun has waited for the writing"


def test_each_thing_that_happens_to_a_training_is_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SECONDS", "0.01")
    written = list[str]()

    @sa.event.listens_for(sa.engine.Engine, "commit")
    def committed(connection: sa.Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        if driver.in_transaction:  # something was written
            written.append("")

    def commits(trials: int) -> int:
        before = len(written)
        start.run_study(path, workers=1, executor="processes", trials=trials)
        return len(written) - before

    path = write_study(tmp_path / "counted.yaml", trials=30)
    try:
        commits(1)
        few, many = commits(2), commits(10)
    finally:
        sa.event.remove(sa.engine.Engine, "commit", committed)
    # asked for, proposed, taken, two epochs, ended: of eight more, unless one was proposed before
    assert 8 * 5 <= many - few <= 8 * 6
