"""Trackers are told of each training once, in a process of their own, and whatever they do the search goes on."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from conftest import Outcome
from pretended import STUDY, pretend

from nas.config.study import StudyConfig
from nas.data.extras import require_extra
from nas.errors import ConfigError, DataError
from nas.records import Epoch, Repeat, TrialRecord
from nas.search.run.events import RepeatFinished, TrainingBegan, TrialFinished
from nas.search.run.start import run_study
from nas.search.study import Study
from nas.trackers import kinds, tracking
from nas.trackers.entries import Entry, Front, entry_from_json, entry_of, repeat_entry
from nas.trackers.kinds import Wanted, wanted
from nas.trackers.wandb_runs import identity

Command = Callable[..., Outcome]
RECORD = TrialRecord(3, "resnet_small", 0.5, 1.25, 24, "d3", 1_200_000, 7, 1, state="trained", accuracy=0.9, epochs=4)
CURVE = [Epoch(number, 1.0, 0.5, 1.0, 0.2 * number, 0.1) for number in (1, 2, 3, 4)]
TELLS = """
import sys
with open(sys.argv[1] + ".jsonl", "ab") as file:
    file.writelines(sys.stdin.buffer)
"""
FAILS = "print('ValueError: the server says no', flush=True); import sys; sys.stdin.read()"


def sender(source: str) -> tuple[str, ...]:
    return (sys.executable, "-c", source)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every library count as installed: what stands for its process needs none."""
    monkeypatch.setattr("nas.data.extras.find_spec", lambda module: importlib.util.find_spec("json"))


def use(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    original = tracking.Sender
    monkeypatch.setattr(tracking, "Sender", lambda *a, **k: original(*a, **k, command=sender(source)))


def told(kind: str = "trackio") -> list[Entry | Front]:
    return [entry_from_json(json.loads(line)) for line in Path(f"{kind}.jsonl").read_text().splitlines()]


def test_an_entry_says_what_was_trained_and_survives_its_way() -> None:
    entry = entry_of(replace(RECORD, choices={"kernel": 3}, seed=5), CURVE, after=2)
    assert entry.name == "trial-3" and entry.settings["kernel"] == 3 and entry.settings["flops"] == 1_200_000
    assert entry.outcome == {"state": "trained", "accuracy": 0.9} and not entry.failed
    assert [point["epoch"] for point in entry.new(resumed=True)] == [3, 4]
    assert [point["epoch"] for point in entry.new(resumed=False)] == [1, 2, 3, 4]
    assert entry_from_json(json.loads(json.dumps(asdict(entry)))) == entry
    again = repeat_entry(RECORD, Repeat(3, 1, state="diverged", seed=9, curve=tuple(CURVE[:1]), error="nan"))
    assert (again.name, again.failed, again.settings["seed"]) == ("trial-3-seed-2", True, 9)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("text", "found"), [("mlflow", Wanted("mlflow", "mine")), ("wandb:my:project", Wanted("wandb", "my:project"))]
)
def test_a_tracker_is_named_with_its_project_or_without(text: str, found: Wanted) -> None:
    assert wanted(text, study="mine") == found


def test_unknown_and_missing_trackers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^--track: unknown tracker 'x'; known: trackio, wandb, mlflow$"):
        wanted("x:y", study="mine")
    monkeypatch.setattr("nas.data.extras.find_spec", lambda module: None)
    with pytest.raises(DataError, match=r"not installed: pip install 'nas-explorer\[wandb\]'$"):
        wanted("wandb", study="mine")


def test_a_folder_of_a_librarys_name_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "left_behind").mkdir()  # as wandb makes a folder wandb
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match="--track x needs left_behind, which is not installed"):
        require_extra("left_behind", extra="x", what="--track x")


@pytest.mark.usefixtures("installed")
def test_an_empty_project_is_refused() -> None:
    with pytest.raises(ConfigError, match="'mlflow: ' names no project; write mlflow or mlflow:PROJECT"):
        wanted("mlflow: ", study="mine")


@pytest.mark.usefixtures("installed")
def test_each_training_is_told_once_also_when_the_study_goes_on(
    nas_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch)
    use(monkeypatch, TELLS)
    search = {**STUDY["search"], "replicates": {"of": "spread", "networks": 1, "seeds": 2}, "trials": 5}
    document = {**STUDY, "name": "mine", "search": search, "budget": {"flops": {"max": "20M"}}}
    Path("mine.yaml").write_text(yaml.safe_dump(document))
    first = nas_command("search", "mine.yaml", "--trials", 3, "--track", "trackio", "--track", "mlflow:x", "--json")
    second = nas_command("search", "mine.yaml", "--track", "trackio")
    assert (first.code, second.code) == (0, 0) and "--track" not in first.err + second.err
    json.loads(first.out)
    names = [entry.name for entry in told() if isinstance(entry, Entry)]
    states = json.loads(nas_command("status", "mine.yaml", "--json").out)["trials"]
    assert len(names) == len(set(names)) == states["trained"] + 1 and sum("-seed-2" in name for name in names) == 1
    entries = [entry for entry in told() if isinstance(entry, Entry)]
    assert all([point["epoch"] for point in entry.curve] == [1, 2] for entry in entries)
    fronts = [entry for entry in told() if isinstance(entry, Front)]
    assert len(fronts) == 2 and fronts[-1].counts == states and fronts[-1].rows[0]["front_probability"] == 1.0
    assert [entry.name for entry in told("mlflow") if isinstance(entry, Entry)] == names[: len(told("mlflow")) - 1]


@pytest.mark.usefixtures("installed")
def test_a_training_that_went_on_tells_how_much_of_it_was_told(
    finished_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, TELLS)
    with tracking.track(finished_study, "trackio") as tell:
        tell(TrainingBegan(replace(RECORD, number=0, epochs=1)))
        tell(TrialFinished(replace(RECORD, number=0), went_on=True))
        tell(TrialFinished(replace(RECORD, number=1, state="infeasible")))
        tell(TrialFinished(replace(RECORD, number=2, state="repeated")))
        tell(RepeatFinished(RECORD, Repeat(3, 1, state="trained", curve=tuple(CURVE))))
    entries = [entry for entry in told() if isinstance(entry, Entry)]
    assert [(entry.name, entry.after) for entry in entries] == [("trial-0", 1), ("trial-3-seed-2", 0)]
    assert [point["epoch"] for point in entries[0].curve] == [1, 2], "as the database has it"


@pytest.mark.usefixtures("installed")
def test_a_tracker_that_fails_is_told_once_and_the_search_goes_on(
    nas_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch)
    use(monkeypatch, FAILS)
    Path("mine.yaml").write_text(yaml.safe_dump({**STUDY, "name": "mine"}))
    outcome = nas_command("search", "mine.yaml", "--trials", 4, "--track", "trackio")
    line = "--track trackio: ValueError: the server says no; it is told no more, the search goes on\n"
    assert outcome.code == 0 and outcome.err == line and "#3 " in outcome.out


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("source", "reason"),
    [("import sys; sys.exit(3)", "ended with exit code 3"), ("import time; time.sleep(99)", "does not end")],
)
def test_a_tracker_that_dies_or_hangs_is_no_matter_of_the_search(
    source: str, reason: str, finished_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "PATIENCE", 0.5)
    use(monkeypatch, source)
    notes: list[str] = []
    began = time.monotonic()
    with tracking.track(finished_study, "wandb", note=notes.append) as tell:
        for number in range(200):
            tell(TrialFinished(replace(RECORD, number=number % 8)))
    assert len(notes) == 1 and reason in notes[0] and time.monotonic() - began < 30


def test_an_interrupted_search_does_not_wait_long(
    installed: None, finished_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "HASTE", 0.1)
    use(monkeypatch, "import time; time.sleep(99)")
    began = time.monotonic()
    with (
        pytest.raises(KeyboardInterrupt),
        tracking.track(finished_study, "wandb", note=lambda line: None),
    ):
        raise KeyboardInterrupt
    assert time.monotonic() - began < 30


def test_nothing_is_started_unless_asked(nas_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    monkeypatch.setattr(tracking, "track", lambda *a, **k: pytest.fail("nobody asked"))
    Path("mine.yaml").write_text(yaml.safe_dump({**STUDY, "name": "mine"}))
    assert nas_command("search", "mine.yaml", "--trials", 1).code == 0


def test_identities_are_of_allowed_characters() -> None:
    assert identity("a study/ä", "trial-3") == "a-study---trial-3"
    assert set(kinds.KINDS) == {"trackio", "wandb", "mlflow"}


def halved(monkeypatch: pytest.MonkeyPatch, library: str, **environment: str) -> list[Entry]:
    """Tell a real library of a training that pauses, of its going on in another search, and of the front."""
    pytest.importorskip(library, reason=f"needs the extra {library}")
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    pretend(monkeypatch)
    study = run_study(StudyConfig.model_validate({**STUDY, "name": "mine"}), trials=1)
    paused = entry_of(replace(RECORD, state="stopped", epochs=2), CURVE[:2], after=0)
    whole, failed = entry_of(RECORD, CURVE, after=2), entry_of(replace(RECORD, number=4, state="failed"), [], after=0)
    notes: list[str] = []
    for entries in ([paused, failed], [whole]):
        with tracking.Sender(Wanted(library, "project"), study.name, note=notes.append) as sending:
            for entry in entries:
                sending.send(entry)
            sending.send(tracking.front_of(study))
    assert notes == []
    return [paused, whole, failed]


@pytest.mark.slow
def test_trackio_has_a_run_for_each_training_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    halved(monkeypatch, "trackio", TRACKIO_DIR="kept", HF_HUB_OFFLINE="1")
    connection = sqlite3.connect("kept/project.db")
    rows = connection.execute("select run_name, step, metrics from metrics order by run_name, step").fetchall()
    connection.close()
    steps = [(name, step) for name, step, _ in rows]
    assert [step for name, step in steps if name == "mine-trial-3"] == [1, 2, 3, 4], "each epoch once"
    assert [step for name, step in steps if name == "mine-trial-4"] == [0]
    assert json.loads(rows[steps.index(("mine-trial-3", 4))][2])["val_accuracy"] == pytest.approx(0.8)
    assert [name for name, _ in steps].count("mine-front") == 2
    assert "front_probability" in str(rows[0][2])


@pytest.mark.slow
def test_mlflow_has_a_run_for_the_study_and_nested_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    halved(monkeypatch, "mlflow", MLFLOW_TRACKING_URI=f"sqlite:///{Path.cwd()}/ml.db")
    connection = sqlite3.connect("ml.db")
    runs = {name: (key, status) for key, name, status in connection.execute("select run_uuid, name, status from runs")}
    parents = dict(connection.execute("select run_uuid, value from tags where key = 'mlflow.parentRunId'").fetchall())
    curve = "select step from metrics where run_uuid = ? and key = 'val_accuracy' order by step"
    steps = [step for (step,) in connection.execute(curve, [runs["trial-3"][0]])]
    params = dict(
        connection.execute("select key, value from params where run_uuid = ?", [runs["trial-3"][0]]).fetchall()
    )
    connection.close()
    assert {name: status for name, (_, status) in runs.items()} == {
        "mine": "FINISHED",
        "trial-3": "FINISHED",
        "trial-4": "FAILED",
    }
    assert parents == {runs[name][0]: runs["mine"][0] for name in ("trial-3", "trial-4")}
    assert steps == [1, 2, 3, 4] and params["width"] == "0.5" and list(Path("mlruns").rglob("front.csv"))


@pytest.mark.slow
def test_wandb_has_runs_without_the_machine_and_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    halved(monkeypatch, "wandb", WANDB_MODE="offline", WANDB_DIR=".")
    runs = sorted(path.name.split("-", 3)[-1] for path in Path("wandb").glob("offline-run-*"))
    assert runs == ["mine-front", "mine-front", "mine-trial-3", "mine-trial-3", "mine-trial-4"]
    files = [path for path in Path("wandb").rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files if path.suffix == ".wandb")
    assert b"val_accuracy" in kept and not [path for path in files if path.name == "requirements.txt"]
