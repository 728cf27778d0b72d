"""A hand that is free begins its next training first; and few transactions, each of which waits for the disk."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from searching import HAND, write_study

from nas.executors.processes import Processes
from nas.search.run import start
from nas.search.run.events import Event, TrialFinished

HANDS = 2


@pytest.fixture(autouse=True)
def _hands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKE_SECONDS", "0.2")  # two proposals take less
    monkeypatch.setattr(start, "Processes", partial(Processes, command=HAND))


def test_a_hand_that_is_free_need_not_wait_for_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began, free = list[str](), list[bool]()

    def begin(self: Processes, task: object) -> None:
        began.append(task.key)  # type: ignore[attr-defined]
        real(self, task)  # type: ignore[arg-type]

    def listen(event: Event) -> None:
        if isinstance(event, TrialFinished) and event.trial.state == "trained":
            free.append(len(began) - len(free) < HANDS + 1)

    real = Processes.start
    monkeypatch.setattr(Processes, "start", begin)
    start.run_study(
        write_study(tmp_path / "free.yaml", trials=20), workers=HANDS, executor="processes", on_event=listen
    )
    assert len(free) > 15
    assert sum(free) < len(free) / 2, "most hands had waited for the writing of what they had trained"


def test_each_thing_that_happens_to_a_training_is_one_transaction(tmp_path: Path) -> None:
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
