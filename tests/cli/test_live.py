"""How a search looks while it runs: chart, view, tally, and what of it fits a terminal."""

from __future__ import annotations

import io
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Outcome
from pretended import STUDY, pretend
from rich.console import Console

from nas.cli.live import watch as watching
from nas.cli.live.chart import Cloud, below, chart
from nas.cli.live.search import OnlyWhatMatters, closing_line
from nas.cli.live.snapshot import InTraining, Saved, Snapshot
from nas.cli.live.tally import Tally, count, saved
from nas.cli.live.view import SearchView
from nas.config.study import StudyConfig
from nas.errors import StudyError
from nas.executors import inline
from nas.executors.task import Died
from nas.processes.owners import process_identity
from nas.records import Epoch, Repeat, TrialRecord
from nas.search.run.events import (
    EpochFinished,
    Event,
    ImagesLoaded,
    Noted,
    RepeatFinished,
    Stagnant,
    TrainingBegan,
    TrainingLeft,
    TrialFinished,
)
from nas.search.run.start import run_study
from nas.search.storage.claims import Outdated
from nas.search.storage.coordinators import Coordinators
from nas.search.storage.trainings import Trainings
from nas.search.study import Study

Command = Callable[..., Outcome]
BASE = TrialRecord(0, "resnet_small", 0.5, 1.25, 24, "d0", 1_200_000, 1, 1)
NASTY = "[/old] \x1b[31m \x07 \u202e\nx"


def made(number: int, **changes: Any) -> TrialRecord:
    return replace(BASE, number=number, digest=f"d{number}", **changes)


def cloud(networks: int) -> Cloud:
    generator = np.random.default_rng(0)
    flops = np.exp(generator.uniform(11, 15, networks)).astype(int).tolist()
    accuracies = [0.9 + 0.02 * np.log(value) - 0.03 * generator.uniform() for value in np.array(flops) / flops[0]]
    return Cloud.of(flops, [min(0.99, float(value)) for value in accuracies])


FULL = Snapshot(
    "digits",
    states={"trained": 31, "stopped": 8, "infeasible": 4, "diverged": 1, "failed": 1},
    further=3,
    done=45,
    planned=100,
    cloud=cloud(200),
    saved=Saved(1.0, 0.43),
    epochs=8,
    running=tuple(InTraining(made(40 + index), 0, index, 0.9) for index in range(9)),
    last=tuple(f"#{index} ended thus" for index in range(5)),
    seconds=130.0,
    left=200.0,
)


def shown(snapshot: Snapshot, *, width: int, height: int, ascii_only: bool = False) -> list[str]:
    with io.TextIOWrapper(io.BytesIO(), encoding="ascii" if ascii_only else "utf-8") as file:
        console = Console(record=True, width=width, height=height, file=file, legacy_windows=False)
        console.print(SearchView(snapshot))
        return console.export_text().splitlines()


@pytest.mark.parametrize("height", [4, 8, 12, 24, 40])
@pytest.mark.parametrize("width", [20, 40, 80, 160])
@pytest.mark.parametrize(
    "snapshot", [FULL, Snapshot("new"), replace(FULL, note="x" * 300)], ids=["full", "new", "note"]
)
def test_the_view_fits_every_terminal(snapshot: Snapshot, width: int, height: int) -> None:
    lines = shown(snapshot, width=width, height=height)
    assert len(lines) <= height - 1
    assert max(map(len, lines)) <= width - len("^C"), "which the terminal writes behind the last line"
    assert lines[0].startswith(snapshot.study)


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_view_tells_what_there_is_to_tell(width: int) -> None:
    lines = shown(FULL, width=width, height=40)
    text = "\n".join(lines)
    for part in ("31 trained", "8 stopped", "4 infeasible", "2 failed", "3 further seeds", "45/100 trials", "2.2 min"):
        assert part in text, part
    assert "halving saved 43 % of the compute" in text and "front so far, as measured" in text
    assert "#40" in text and "epoch 3/8" in text and "90.0 %" in text and "#4 ended thus" in text
    assert sum("●" in line for line in lines) > 5
    assert all("⠀" <= c <= "⣿" or ord(c) < 0x2600 for c in text), "only Braille, boxes and letters"


def test_a_low_terminal_keeps_what_matters_most() -> None:
    lines = shown(FULL, width=80, height=12)
    assert not any("front so far" in line for line in lines) and any("epoch 0/8" in line for line in lines)
    assert lines[-1] == "#4 ended thus" or "more" in "\n".join(lines)
    crowded = "\n".join(shown(FULL, width=100, height=20))
    assert "and 4 more" in crowded and "front so far" in crowded and "#44" in crowded and "#45" not in crowded


def test_text_of_others_is_text_and_takes_one_line() -> None:
    trial = made(3, space=NASTY)
    snapshot = replace(FULL, study=NASTY, note=NASTY, last=(NASTY,), running=(InTraining(trial),))
    lines = shown(snapshot, width=160, height=40)
    text = "\n".join(lines)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text) and text.count("\\x1b[31m \\x07 \\u202e") == 4
    assert text.count("[/old]") == 4


def test_a_terminal_without_unicode_gets_none() -> None:
    text = "\n".join(shown(FULL, width=80, height=24, ascii_only=True))
    assert text.isascii() and "o" in text and "front so far" in text


def test_the_front_is_drawn_where_it_lies() -> None:
    rows = [text.plain for text in chart(Cloud.of([100_000, 10_000_000], [0.5, 0.9]), width=48, height=12)]
    places = [(row, line.index("●")) for row, line in enumerate(rows) if "●" in line]
    assert places == [(0, 47), (9, 8)], "dear and good on the right above, cheap and bad on the left below"
    assert all("⠀" < c <= "⣿" for c in rows[9][9:47]), "level until the next one begins"
    assert rows[-1].split() == ["100k", "300k", "1M", "3M", "10M"]
    assert rows[0].startswith("  89.8%") and rows[9].startswith("  50.2%"), "the middle of each row"


@pytest.mark.parametrize("networks", [[(1000, 0.5)], [(1000, 0.5)] * 3, [(1000, 0.0), (1000, 1.0)], [(1, 1.0)]])
def test_few_and_equal_networks_are_drawn(networks: list[tuple[int, float]]) -> None:
    lines = chart(Cloud.of(*zip(*networks, strict=True)), width=40, height=8)  # type: ignore[arg-type]
    assert len(lines) == 8 and {len(text.plain) for text in lines} == {40}
    assert sum(text.plain.count("●") for text in lines) == 1


def test_networks_far_below_the_front_are_counted_and_not_drawn() -> None:
    accuracies = [0.9 + 0.01 * index for index in range(8)]
    found = Cloud.of([1000 * (index + 1) for index in range(9)], [*accuracies, 0.1])
    assert below(found) == 1 and len(found.front) == 8
    assert "against FLOPs; 1 below it" in "\n".join(shown(replace(FULL, cloud=found), width=100, height=40))
    assert "98" not in chart(found, width=60, height=10)[0].plain[9:]


def test_halving_saves_what_paused_trainings_have_left() -> None:
    trials = [
        made(0, state="trained", epochs=8, accuracy=0.9),
        made(1, state="stopped", epochs=2, accuracy=0.2),
        made(2, state="infeasible"),
        made(3, state="diverged", epochs=4),
    ]
    kept = 6 * BASE.flops
    assert saved(trials, 8) == saved(trials, None) == Saved(kept, 6 / (6 + 8 + 2 + 4))
    assert saved(trials[:1], 8) is None
    counted = count(trials, [Repeat(0, 1, state="trained", accuracy=0.7), Repeat(0, 2)], epochs=8)
    assert counted.further == 1 and counted.cloud is not None and counted.cloud.accuracies.tolist() == [0.8]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def point(epoch: int, accuracy: float) -> Epoch:
    return Epoch(epoch, 1.0, 0.5, 1.0, accuracy, 0.1)


def test_a_tally_follows_the_events_of_a_search(finished_study: Study) -> None:
    clock = Clock()
    tally = Tally(finished_study, planned=4, clock=clock)
    trial, other = made(100), made(101, epochs=3)
    tally(ImagesLoaded(finished_study.dataset))
    before = tally.snapshot()
    assert sum(before.states.values()) == 8 and (before.done, before.left, before.epochs) == (0, None, 2)
    tally(TrainingBegan(trial))
    tally(TrainingBegan(other))
    tally(TrainingBegan(other, 2))
    assert [(one.trial.number, one.repeat, one.epoch) for one in tally.snapshot().running] == [
        (100, 0, 0),
        (101, 0, 3),
        (101, 2, 0),
    ]
    tally(EpochFinished(trial, point(1, 0.4)))
    tally(TrainingLeft(other))
    running = tally.snapshot().running
    assert [(one.epoch, one.accuracy) for one in running] == [(1, 0.4), (0, None)]
    clock.now += 10
    tally(TrialFinished(replace(trial, state="trained", accuracy=0.7)))
    tally(TrialFinished(replace(other, state="trained", accuracy=0.6), went_on=True))
    tally(RepeatFinished(other, Repeat(101, 2, state="failed", error="no")))
    tally(Noted("the database is away"))
    clock.now += 20
    after = tally.snapshot()
    assert (after.done, after.seconds, after.left, after.further) == (1, 30.0, 90.0, 1)
    assert sum(after.states.values()) == 10 and after.running == () and after.note == "the database is away"
    assert [line.split()[0] for line in after.last] == ["#100", "#101", "#101"]


def test_a_tally_does_not_count_all_trials_at_each_look(finished_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []
    monkeypatch.setattr("nas.cli.live.tally.count", lambda *a, **k: times.append(clock.now) or count([], [], epochs=1))
    clock = Clock()
    tally = Tally(finished_study, planned=4, clock=clock)
    times.clear()
    monkeypatch.setattr("nas.cli.live.tally.time.perf_counter", iter([0.0, 0.05] * 9).__next__)
    for number in range(6):
        tally(TrialFinished(made(number, state="trained", accuracy=0.5)))
        tally.snapshot()
        clock.now += 2.0
    assert times == [100.0, 106.0], "0.05 s of counting is worth 5 s"


def test_quiet_keeps_what_went_wrong_and_why_it_ended() -> None:
    matters = OnlyWhatMatters()
    good, bad = made(0, state="trained", accuracy=0.5), made(1, state="failed", error="e")
    events: list[tuple[Event, bool]] = [
        (Noted("before the first training"), False),
        (TrainingBegan(good), False),
        (EpochFinished(good, point(1, 0.5)), False),
        (TrialFinished(good), False),
        (TrialFinished(bad), True),
        (RepeatFinished(good, Repeat(0, 1, state="trained")), False),
        (RepeatFinished(good, Repeat(0, 1, state="diverged")), True),
        (Noted("the database does not answer"), True),
        (Stagnant("enough"), True),
    ]
    assert [matters(event) for event, _ in events] == [wanted for _, wanted in events]


def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}.items():
        monkeypatch.setenv(key, value)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def write_study(**search: Any) -> None:
    document = {**STUDY, "name": "mine", "search": {**STUDY["search"], **search}, "budget": {"flops": {"max": "20M"}}}
    Path("mine.yaml").write_text(yaml.safe_dump(document))


def test_a_search_on_a_terminal_shows_its_view_and_leaves_one_line(
    nas_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch)
    write_study()
    lines = nas_command("search", "mine.yaml", "--trials", 3).out
    assert "front so far" not in lines and lines.count("accuracy  ") == 3
    terminal(monkeypatch)
    out = plain(nas_command("search", "mine.yaml", "--trials", 4).out)
    assert "front so far, as measured, luck included: accuracy against FLOPs" in out and "4/4 trials" in out
    assert re.search(r"mine: \d trained, \d infeasible; ", out)
    quiet = plain(nas_command("search", "mine.yaml", "--trials", 1, "--quiet").out)
    assert "digits" not in quiet and "#7 " not in quiet and "front so far" not in quiet and "Pareto front" in quiet


def test_a_failure_stays_on_the_terminal(nas_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    write_study()
    original, tasks = inline.work, []

    def work(task: Any, dataset: Any, *, tell: Any, **rest: Any) -> bool:
        tasks.append(task.key)
        if len(tasks) > 2:
            return original(task, dataset, tell=tell, **rest)
        tell(Died(task.key, "killed by SIGSEGV"))
        return True

    monkeypatch.setattr(inline, "work", work)
    terminal(monkeypatch)
    out = plain(nas_command("search", "mine.yaml", "--trials", 2).out)
    assert "1 failed" in out and re.search(r"^#0 .*failed: .*SIGSEGV", out, re.MULTILINE)


def test_each_training_begins_before_its_epochs_and_one_that_is_given_back_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch)
    original, events, died = inline.work, list[Event](), []

    def work(task: Any, dataset: Any, *, tell: Any, **rest: Any) -> bool:
        if died:
            return original(task, dataset, tell=tell, **rest)
        died.append(task)
        tell(Died(task.key, "killed by SIGKILL"))
        return True

    monkeypatch.setattr(inline, "work", work)
    run_study(StudyConfig.model_validate({**STUDY, "name": "told"}), trials=2, on_event=events.append)
    kinds = [type(event).__name__ for event in events if not isinstance(event, ImagesLoaded | Noted)]
    training = ["TrainingBegan", "EpochFinished", "EpochFinished", "TrialFinished"]
    assert kinds == ["TrainingBegan", "TrainingLeft", *training, *training]


def test_a_training_that_was_given_to_another_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    original, events, taken = Trainings.add_epoch, list[Event](), []

    def add_epoch(self: Trainings, claim: Any, epoch: Any) -> bool:
        if taken:
            return original(self, claim, epoch)
        taken.append(claim)
        self.leave(claim)
        raise Outdated

    monkeypatch.setattr(Trainings, "add_epoch", add_epoch)
    run_study(StudyConfig.model_validate({**STUDY, "name": "told"}), trials=1, on_event=events.append)
    kinds = [type(event).__name__ for event in events if not isinstance(event, ImagesLoaded | Noted)]
    again = ["TrainingBegan", "EpochFinished", "EpochFinished", "TrialFinished"]
    assert kinds == ["TrainingBegan", "TrainingLeft", *again]


def test_a_study_that_nobody_searches_is_shown_once(
    nas_command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_lines = nas_command("status", finished, "--watch")
    assert plain_lines.code == 0 and plain_lines.out.startswith("Nobody searches it now. tiny: ")
    terminal(monkeypatch)
    out = plain(nas_command("status", finished, "--watch").out)
    assert "front so far" in out and "8/8 trials" in out and "Nobody searches it now. tiny: " in out


def test_watching_ends_with_the_search_and_by_ctrl_c(
    own_study: Study, own_finished: Path, nas_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching = Coordinators(own_study.database.engine, own_study.name)
    searching.renew(process_identity(), hands=1, seconds=60, waited=None)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            searching.leave(process_identity())

    looks = watching.Watch(own_study, seconds=0.0, sleep=sleep)
    while looks.runs:
        looks.wait()
    assert len(waits) == 2 and all(wait > 0 for wait in waits), "reading is no more than a share of the time"
    searching.renew(process_identity(), hands=1, seconds=60, waited=None)

    def interrupt(seconds: float) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(watching.Watch, "wait", interrupt)
    stopped = nas_command("status", own_finished, "--watch")
    assert (stopped.code, stopped.err) == (0, "")


def test_a_database_that_is_away_is_told_and_asked_again(own_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = watching.Watch(own_study, seconds=0.0, sleep=lambda seconds: None)
    original = watching.stored_snapshot

    def away(study: Study) -> Snapshot:
        raise StudyError("database is locked")

    monkeypatch.setattr(watching, "stored_snapshot", away)
    looks.wait()
    assert looks.snapshot().note == "as of a while ago: database is locked" and looks.snapshot().cloud is not None
    monkeypatch.setattr(watching, "stored_snapshot", original)
    looks.wait()
    assert looks.snapshot().note == ""


def test_a_database_that_is_away_ends_no_watching_by_lines(
    own_study: Study, own_finished: Path, nas_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching = Coordinators(own_study.database.engine, own_study.name)
    searching.renew(process_identity(), hands=1, seconds=60, waited=None)
    real, looks = Study.trials, watching.Watch.wait
    waits: list[int] = []

    def trials(study: Study) -> list[TrialRecord]:
        if len(waits) in (1, 2):
            raise StudyError("database is locked")
        return real(study)

    def wait(watch: watching.Watch) -> None:
        if len(waits) == 3:
            searching.leave(process_identity())
        waits.append(1)
        looks(watch)

    monkeypatch.setattr(Study, "trials", trials)
    monkeypatch.setattr(watching.Watch, "wait", wait)
    outcome = nas_command("status", own_finished, "--watch", "--every", "0.01s")
    assert outcome.code == 0 and outcome.err == "" and len(waits) == 4
    assert outcome.out.count("database is locked") == 1 and "Nobody searches it now. tiny: " in outcome.out


def test_the_database_tells_what_is_trained(own_study: Study) -> None:
    searching = Coordinators(own_study.database.engine, own_study.name)
    searching.renew(process_identity(), hands=1, seconds=60, waited=None)
    with own_study.database.engine.begin() as connection:
        connection.exec_driver_sql("update nas_trial set state = 'running' where number = 0")
    found = watching.stored_snapshot(own_study)
    (training,) = found.running
    assert (training.trial.number, training.epoch) == (0, 2) and training.accuracy is not None
    assert found.done == 7 and found.seconds is not None and found.planned == 8


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--watch", "--json"), "--json and --watch cannot be used together"),
        (("--every", "2s"), "--every does not apply: it says how often --watch looks"),
        (("--watch", "--every", "soon"), "--every: 'soon' is not a time; write for example 90s, 10m or 1.5h"),
    ],
)
def test_wrong_ways_to_watch_are_one_line(
    nas_command: Command, finished: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    outcome = nas_command("status", finished, *arguments)
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"nas: {complaint}\n")


def test_a_search_that_did_nothing_leaves_no_line() -> None:
    assert closing_line(Snapshot("new")) == ""
