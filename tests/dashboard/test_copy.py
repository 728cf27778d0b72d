"""The copy that optuna-dashboard looks at: what it says of each kind of trial, and that it follows the study."""

from __future__ import annotations

import json
import math
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from conftest import Outcome
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from pretended import STUDY, pretend

from nas.dashboard import copy as copying
from nas.dashboard.copy import Copy
from nas.dashboard.serve import Serving
from nas.dashboard.told import CONSTRAINTS, told_trial
from nas.errors import StudyError
from nas.records import Epoch, TrialRecord
from nas.search.opening import open_study
from nas.search.run.start import run_study
from nas.search.storage.optuna_study import PROMOTED
from nas.search.study import Study

Command = Callable[..., Outcome]
RECORD = TrialRecord(0, "resnet_small", 0.5, 1.25, 24, "d0", 1_200_000, 7, 1, device="CPU", train_seconds=1.5)
CURVE = [Epoch(number, 1.0, 0.5, 1.0, 0.2 * number, 0.1) for number in (1, 2, 3)]


def frozen(state: TrialState, values: list[float] | None = None, **attributes: Any) -> FrozenTrial:
    trial = create_trial(
        state=state,
        values=values,
        params={"width": 0.5},
        distributions={"width": FloatDistribution(0.25, 1.0)},
        user_attrs=attributes,
        system_attrs={"constraints:flops": 0.2, "constraints:params": -0.5},
    )
    assert trial.constraints == {"flops": 0.2, "params": -0.5}, "Optuna keeps constraints elsewhere now"
    return trial


def test_a_network_outside_the_budget_is_infeasible_and_beaten_by_all() -> None:
    record = replace(RECORD, state="infeasible", error="flops 1.2M")
    told = told_trial(frozen(TrialState.PRUNED), record)
    assert told.state is TrialState.COMPLETE and told.values == [-math.inf, math.inf]
    assert told.system_attrs[CONSTRAINTS] == [0.2, -0.5]
    assert told.user_attrs["outcome"] == "infeasible, not trained: flops 1.2M" and told.user_attrs["FLOPs"] == "1.2M"
    unknown = create_trial(state=TrialState.PRUNED)
    assert told_trial(unknown, record).system_attrs[CONSTRAINTS] == [1.0], "one that missed its latency"


@pytest.mark.parametrize(
    ("record", "trial", "outcome"),
    [
        (replace(RECORD, state="trained"), frozen(TrialState.COMPLETE, [0.6, 1.2e6]), "trained"),
        (replace(RECORD, state="running"), frozen(TrialState.RUNNING), "running"),
        (
            replace(RECORD, state="repeated", repeat_of=5),
            frozen(TrialState.COMPLETE, [0.6, 1.2e6]),
            "repeated: the same network as trial 5, whose accuracy it has",
        ),
        (
            replace(RECORD, state="stopped", epochs=3),
            frozen(TrialState.PRUNED),
            "stopped by halving after epoch 3; it may go on",
        ),
        (
            replace(RECORD, state="trained"),
            frozen(TrialState.PRUNED),
            "stopped by halving, and went on later: see the trial that goes on from it",
        ),
        (
            replace(RECORD, state="trained"),
            frozen(TrialState.COMPLETE, [0.6, 1.2e6], **{PROMOTED: 4}),
            "trained to the end after a pause: goes on from trial 4",
        ),
        (replace(RECORD, state="failed", error="no memory"), frozen(TrialState.FAIL), "failed: no memory"),
    ],
)
def test_what_became_of_a_trial_is_named(record: TrialRecord, trial: FrozenTrial, outcome: str) -> None:
    told = told_trial(trial, record, CURVE)
    assert told.user_attrs["outcome"] == outcome and told.state is trial.state and told.values == trial.values
    assert told.intermediate_values == {1: 0.2, 2: 0.4, 3: pytest.approx(0.6)}
    assert (told.datetime_start, told.datetime_complete) == (trial.datetime_start, trial.datetime_complete)
    assert (told.params, told.distributions) == (trial.params, trial.distributions)


def test_what_our_tables_do_not_know_is_copied_as_it_is() -> None:
    told = told_trial(frozen(TrialState.RUNNING), None)
    assert told.state is TrialState.RUNNING and told.user_attrs == {}


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> Study:
    """Return a study of pretended trainings, some of them outside the budget."""
    pretend(monkeypatch)
    return run_study(write_study(), trials=6)


def write_study() -> Path:
    path = Path("mine.yaml")
    path.write_text(yaml.safe_dump({**STUDY, "name": "mine", "budget": {"flops": {"max": "20M"}}}))
    return path


@pytest.fixture
def without_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what needs optuna-dashboard."""
    monkeypatch.setattr(copying, "describe", lambda copy: None)


@pytest.mark.usefixtures("without_notes")
def test_a_copy_follows_the_study_and_what_is_done_to_it_stays_there(searched: Study) -> None:
    before = Path("mine/study.db").read_bytes()
    copy = Copy(searched)
    study = optuna.load_study(study_name="mine", storage=copy.storage)
    records = {record.number: record for record in searched.trials()}
    states = {"trained": TrialState.COMPLETE, "infeasible": TrialState.COMPLETE, "repeated": TrialState.COMPLETE}
    assert {record.state for record in records.values()} >= {"trained", "infeasible"}
    for trial in study.trials:
        record = records[trial.number]
        assert trial.state is states[record.state] and len(trial.intermediate_values) == 2 * (record.state == "trained")
        assert (max(trial.system_attrs[CONSTRAINTS]) > 0) == (record.state == "infeasible")
    best = {trial.number for trial in study.best_trials}
    assert all(records[number].state != "infeasible" for number in best)
    assert study.metric_names == ["validation accuracy", "FLOPs"]
    assert copy.refresh() == 0
    study.set_user_attr("clicked", True)
    study.add_trial(create_trial(values=[0.5, 1.0]))
    assert Path("mine/study.db").read_bytes() == before, "the study is only read"


@pytest.mark.usefixtures("without_notes")
def test_a_copy_takes_over_what_is_new_and_what_was_going_on(searched: Study) -> None:
    copy = Copy(searched)
    optunas = searched.optuna(optuna.samplers.RandomSampler(seed=0))
    asked = optunas.ask()
    assert copy.refresh() == 1 and copy.refresh() == 1, "a trial that has not ended is looked at again"
    study = optuna.load_study(study_name="mine", storage=copy.storage)
    assert study.trials[6].state is TrialState.RUNNING and study.trials[6].params == {}
    asked.suggest_float("width", 0.5, 2.0, step=0.25)
    optunas.tell(asked, [0.5, 1e6])
    assert copy.refresh() == 1 and copy.refresh() == 0
    ended = study.get_trials()[6]
    assert ended.state is TrialState.COMPLETE and ended.values == [0.5, 1e6] and "width" in ended.params


@pytest.mark.usefixtures("without_notes")
def test_a_copy_that_was_deleted_is_made_anew(searched: Study) -> None:
    copy = Copy(searched)
    optuna.delete_study(study_name="mine", storage=copy.storage)
    assert copy.refresh() == 6
    assert len(optuna.load_study(study_name="mine", storage=copy.storage).trials) == 6


def test_a_database_that_is_away_is_told_once_and_asked_again() -> None:
    class Away:
        answers = iter([None, "locked", "locked", None, "locked", "gone"])

        def refresh(self) -> int:
            answer = next(self.answers, "end")
            if answer == "end":
                raise KeyboardInterrupt
            if answer is not None:
                raise StudyError(answer)
            return 0

    notes: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        Serving(Away(), "").follow(seconds=0.0, note=notes.append)  # type: ignore[arg-type]
    assert notes == ["locked", "locked", "gone"]


@pytest.mark.usefixtures("without_notes")
def test_a_study_that_optuna_does_not_know_yet_is_not_begun_by_looking(searched: Study) -> None:
    optuna.delete_study(study_name="mine", storage=searched.database.optunas)
    copy = Copy(searched)
    assert copy.storage.get_n_trials(copy.storage.get_study_id_from_name("mine")) == 0
    with pytest.raises(KeyError):
        optuna.load_study(study_name="mine", storage=searched.database.optunas)


def test_a_missing_extra_is_one_line(nas_command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.extras.find_spec", lambda module: None)
    outcome = nas_command("dashboard", finished)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        "nas: nas dashboard needs optuna_dashboard, which is not installed: pip install 'nas-explorer[dashboard]'\n"
    )


def get(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as response:
        return json.loads(response.read())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_dashboard_listens_here_alone_and_shows_infeasible_trials_as_such(searched: Study) -> None:
    pytest.importorskip("optuna_dashboard", reason="needs the extra dashboard")
    from nas.dashboard.serve import dashboard

    with dashboard(open_study(write_study()), port=0) as serving:
        assert serving.url.startswith("http://127.0.0.1:")
        (known,) = get(f"{serving.url}/api/studies")["study_summaries"]
        shown = get(f"{serving.url}/api/studies/{known['study_id']}")
        states = {record.number: record.state for record in searched.trials()}
        infeasible = {trial["number"] for trial in shown["trials"] if any(value > 0 for value in trial["constraints"])}
        assert infeasible == {number for number, state in states.items() if state == "infeasible"} != set()
        assert "gone when nas dashboard ends" in shown["note"]["body"] and shown["has_intermediate_values"]
        assert shown["user_attrs"][0]["key"] == "this page shows"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get(f"{serving.url}/api/studies", Host="elsewhere.example")
        port = int(serving.url.rpartition(":")[2])
        with socket.socket() as outside, pytest.raises(OSError):
            outside.settimeout(1)
            outside.connect(("127.0.0.2", port))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_busy_port_is_one_line(searched: Study, nas_command: Command) -> None:
    pytest.importorskip("optuna_dashboard", reason="needs the extra dashboard")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = nas_command("dashboard", "mine.yaml", "--port", port)
    assert (outcome.code, outcome.out) == (2, "") and outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"nas: --port {port} cannot be used: Address already in use; give another")
