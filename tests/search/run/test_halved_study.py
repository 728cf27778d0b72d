"""Studies whose trainings pause at rungs: what is kept, what Optuna is told, and that interruptions change nothing."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from conftest import Outcome, scaled
from halved import EPOCHS, FACTOR, RUNGS, document, essence, halved, told

from nas.analysis.pareto import pareto_front
from nas.config.study import StudyConfig
from nas.errors import StudyError, TrainingDiverged
from nas.export.bundle import choose_trial
from nas.fronts.halving import Reached, promotable
from nas.plots.studies.curves import curves, curves_info
from nas.records import Epoch, TrialRecord
from nas.report.page import render_report
from nas.search.disk import CHECKPOINTS, FilesOnDisk
from nas.search.opening import find_study, open_study
from nas.search.run import proposing
from nas.search.run.events import EpochFinished, Event, TrialFinished
from nas.search.run.start import run_study
from nas.search.storage.claims import Claim, Outdated
from nas.search.storage.coordinators import Coordinators
from nas.search.storage.database import Database
from nas.search.storage.optuna_study import PROMOTED
from nas.search.storage.trainings import NotLeading, Trainings
from nas.search.study import Study
from nas.training import job

Done = optuna.trial.TrialState


def copies(study: Study) -> list[int]:
    trials = study.optuna().trials
    return [trial.user_attrs[PROMOTED] for trial in trials if PROMOTED in trial.user_attrs]


@pytest.fixture(scope="module", params=["pareto", "tpe"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Return a halved study that was run at one go."""
    path = tmp_path_factory.mktemp(request.param) / "whole.yaml"
    path.write_text(yaml.safe_dump(document("whole", request.param)))
    return run_study(path)


def test_answers_are_those_of_whole_trainings(whole: Study) -> None:
    labels, trained = whole.dataset.validation.labels, {t.number: t for t in whole.trials() if t.state == "trained"}
    assert {number for number, _ in whole.answers()} == set(trained)
    for (number, _), given in whole.answers().items():
        assert float((given == labels).mean()) == trained[number].accuracy


@pytest.fixture(scope="module")
def by_chance(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Return the same by random proposals, which take the least time."""
    path = tmp_path_factory.mktemp("random") / "whole.yaml"
    path.write_text(yaml.safe_dump(document("whole", "random")))
    return run_study(path)


def test_trainings_pause_at_rungs_and_few_are_trained_to_the_end(whole: Study) -> None:
    trials, curves = whole.trials(), whole.curves()
    known = [trial for trial in trials if trial.state in ("trained", "stopped")]
    counts = Counter(trial.state for trial in known)
    assert len(trials) == 10 and len({trial.digest for trial in known}) == len(known)
    assert counts["trained"] >= len(known) // FACTOR**2 > 0 and counts["stopped"] >= len(known) // 2
    for trial in known:
        curve = curves[trial.number]
        assert [epoch.epoch for epoch in curve] == list(range(1, len(curve) + 1))
        assert len(curve) in (RUNGS if trial.state == "stopped" else (EPOCHS,))
        assert (trial.epochs, trial.accuracy) == (len(curve), curve[-1].val_accuracy)
        assert trial.train_seconds == pytest.approx(sum(epoch.seconds for epoch in curve))
        assert whole.weights(trial).exists() == (trial.state == "trained")
        assert checkpoint(whole, trial).exists() == (trial.state == "stopped")
    store = whole.store
    reached = store.reached(RUNGS)
    assert promotable(reached, factor=FACTOR) is None
    assert {r.number: r.accuracies for r in reached} == {
        t.number: tuple(curves[t.number][rung - 1].val_accuracy for rung in RUNGS if rung <= len(curves[t.number]))
        for t in known
    }
    records = {trial.number: trial for trial in trials}
    assert all(t.accuracy == records[t.repeat_of].accuracy for t in trials if t.repeat_of is not None)
    assert copies(whole)  # some were promoted later


def checkpoint(study: Study, trial: TrialRecord) -> Path:
    return study.weights_folder() / CHECKPOINTS / f"{trial.digest}.safetensors"


def test_optuna_knows_paused_trials_as_pruned_and_promoted_ones_as_complete_copies(whole: Study) -> None:
    study, records = whole.optuna(), {t.number: t for t in whole.trials()}
    originals = [trial for trial in study.trials if PROMOTED not in trial.user_attrs]
    assert [trial.number for trial in originals] == list(records)
    for trial in originals:
        record = records[trial.number]
        complete = record.state == "trained" and record.number not in copies(whole)
        of = record if record.repeat_of is None else records[record.repeat_of]
        assert complete or record.repeat_of is not None or trial.state is Done.PRUNED
        if trial.state is Done.COMPLETE:
            assert of.state == "trained" and trial.values == [of.accuracy, of.flops]
    for trial in study.trials:
        if PROMOTED in trial.user_attrs:
            record, original = records[trial.user_attrs[PROMOTED]], study.trials[trial.user_attrs[PROMOTED]]
            assert record.state == "trained" and trial.values == [record.accuracy, record.flops]
            assert (trial.params, trial.constraints) == (original.params, original.constraints)
    assert len(copies(whole)) == len(set(copies(whole)))
    assert whole.missing_trials() == 0
    best = {tuple(trial.values) for trial in study.best_trials}
    assert best == {(trial.accuracy, trial.flops) for trial in pareto_front(whole)}
    assert all(trial.state == "trained" for trial in pareto_front(whole))


def test_some_and_some_more_are_the_same_as_all_at_once(whole: Study) -> None:
    parts = halved("parts", whole.config.search.sampler)
    run_study(parts, trials=3)
    assert find_study(parts).missing_trials() == 7
    run_study(parts, trials=4)
    study = run_study(parts)
    assert essence(study) == essence(whole) and told(study) == told(whole)
    assert find_study(parts).missing_trials() == 0
    before = study.trials()
    assert run_study(parts).trials() == before  # nothing waits that should have gone on


def interrupted_runs(config: StudyConfig, *, every: int) -> tuple[Study, set[str]]:
    """Run a study that Ctrl-C ends at every so many moments of each kind, until it is through; tell their kinds."""
    passed, kinds = set[object](), Counter[str]()

    def listen(event: Event) -> None:
        if isinstance(event, EpochFinished):
            moment: object = (event.trial.digest, event.epoch.epoch)
            kind = ("promoted" if event.trial.epochs else "new") + ", at a rung" * (event.epoch.epoch in RUNGS)
        elif isinstance(event, TrialFinished):
            moment, kind = (event.trial.label, event.trial.epochs), "between"
        else:
            return
        if moment not in passed:
            passed.add(moment)
            kinds[kind] += 1
            if kinds[kind] % every == 1 % every:
                raise KeyboardInterrupt

    for _ in range(100):
        try:
            return run_study(config, on_event=listen), set(kinds)
        except KeyboardInterrupt:
            assert "running" not in {trial.state for trial in open_study(config).trials()}
    raise AssertionError("it never came through")


@pytest.mark.endurance
def test_ctrl_c_after_epochs_and_trials_of_every_kind_changes_nothing(by_chance: Study) -> None:
    study, where = interrupted_runs(halved("cut"), every=scaled(20, 1))
    assert where == {"new", "new, at a rung", "promoted", "promoted, at a rung", "between"}
    assert essence(study) == essence(by_chance) and told(study) == told(by_chance)


def test_ctrl_c_changes_nothing_for_samplers_that_learn(whole: Study) -> None:
    study, where = interrupted_runs(halved("cut", whole.config.search.sampler), every=24)
    assert where > {"new, at a rung", "between"}
    assert essence(study) == essence(whole) and told(study) == told(whole)


def test_workers_share_rungs_and_leave_nothing_that_should_go_on(tmp_path: Path, by_chance: Study) -> None:
    path = tmp_path / "shared.yaml"
    path.write_text(yaml.safe_dump(document("shared", "random")))
    finished = Counter[bool]()
    epochs = Counter[tuple[int, int]]()

    def note(event: Event) -> None:
        if isinstance(event, TrialFinished):
            finished[event.went_on] += 1
        elif isinstance(event, EpochFinished):
            epochs[event.trial.number, event.epoch.epoch] += 1

    study = run_study(path, workers=2, on_event=note)
    trials, curves = study.trials(), study.curves()
    assert finished[False] == len(trials) == 10 and finished[True] > 0
    assert {trial.state for trial in trials} <= {"trained", "stopped", "repeated", "infeasible"}
    assert set(epochs.values()) == {1} and epochs.keys() == {(n, e.epoch) for n, c in curves.items() for e in c}
    assert promotable(study.store.reached(RUNGS), factor=FACTOR) is None
    assert sorted(copies(study)) == sorted(set(copies(study)))
    figures = {t.digest: [e.val_accuracy for e in by_chance.curves().get(t.number, [])] for t in by_chance.trials()}
    for trial in trials:  # the same proposals, and as far as both went the same curves
        ours, theirs = [e.val_accuracy for e in curves.get(trial.number, [])], figures[trial.digest]
        assert all(a == b for a, b in zip(ours, theirs, strict=False))


def test_of_many_that_take_a_promoted_trial_one_gets_it(by_chance: Study, tmp_path: Path) -> None:
    copy = copied(by_chance, tmp_path)
    number = next(trial.number for trial in copy.trials() if trial.state == "stopped")
    assert Coordinators(copy.database.engine, copy.name).lead("h/0/0", after=None)
    assert Trainings(copy.database.engine, copy.name, owner="h/0/0").promote(number)
    with pytest.raises(NotLeading):
        Trainings(copy.database.engine, copy.name, owner="h/1/0").promote(number)
    assert copy.store.reached(RUNGS) == [r._replace(paused=r.paused and r.number != number) for r in reached(by_chance)]

    def take(owner: int) -> Claim | None:
        with Database(copy.storage) as own:
            return Trainings(own.engine, copy.name, owner=f"h/{owner}/0").take()

    with ThreadPoolExecutor(8) as pool:
        (claim,) = filter(None, pool.map(take, range(16)))
    assert (claim.number, claim.source, claim.attempt) == (number, "promoted", 2)
    assert copy.store.owners() == {number: claim.owner}
    other = Trainings(copy.database.engine, copy.name, owner="h/99/0")
    for outdated in (replace(claim, owner="h/99/0"), replace(claim, attempt=0)):
        with pytest.raises(Outdated):
            other.leave(outdated)
        with pytest.raises(Outdated):
            other.end_trial(outdated, copy.store.trial(number))
        with pytest.raises(Outdated):
            other.add_epoch(outdated, Epoch(9, 1.0, 1.0, 1.0, 1.0, 1.0))
    assert copy.store.trial(number).state == "running" and len(copy.curves()[number]) < 9
    assert other.release(claim.owner) == 1
    assert copy.store.trial(number).state == "interrupted"  # and goes on first
    again = other.take()
    assert again is not None and (again.number, again.attempt) == (number, 3)


def reached(study: Study) -> list[Reached]:
    return study.store.reached(RUNGS)


def copied(study: Study, folder: Path) -> Study:
    """Return a study with a copy of its database in another folder."""
    shutil.copy(study.directory / "study.db", folder / "study.db")
    return Study(study.config, folder, Database.in_folder(folder))


class Broken:
    """Stands for ``train``, and fails where a paused training would go on, from the ``count``-th on."""

    def __init__(self, error: Exception, *, spare: int = 0) -> None:
        self.error, self.spare, self.train = error, spare, job.train

    def __call__(self, *arguments: Any, checkpoint: Path, **keywords: Any) -> Any:
        if checkpoint.exists():
            self.spare -= 1
            if self.spare < 0:
                raise self.error
        return self.train(*arguments, checkpoint=checkpoint, **keywords)


@pytest.mark.parametrize(
    ("error", "state"), [(TrainingDiverged("the loss is nan"), "diverged"), (RuntimeError("no kernel"), "failed")]
)
def test_a_promoted_training_that_fails_is_kept_as_that_and_the_search_goes_on(
    error: Exception, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "train", Broken(error))
    study = run_study(halved("broken"))
    trials = study.trials()
    broken = [trial for trial in trials if trial.state == state and trial.epochs]  # others propose such a network again
    assert len(trials) == 10 and broken
    for trial in broken:
        assert str(error) in str(trial.error) and trial.accuracy is None
        assert len(study.curves()[trial.number]) in RUNGS
    optunas = study.optuna()
    assert {optunas.trials[trial.number].state for trial in broken} == {Done.PRUNED} and not copies(study)
    waiting = {trial.digest for trial in trials if trial.state == "stopped"}
    kept = {path.stem for path in checkpoint(study, broken[0]).parent.glob("*")}
    assert kept == waiting  # nobody goes on from those that failed
    assert all(checkpoint(study, trial).exists() for trial in trials if trial.state == "stopped")


def test_a_full_disk_leaves_a_promoted_training_waiting(by_chance: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    config = halved("full")
    with monkeypatch.context() as patch:
        patch.setattr(job, "train", Broken(StudyError("the checkpoint cannot be written"), spare=1))
        with pytest.raises(StudyError, match="the checkpoint cannot be written"):
            run_study(config)
    trials = open_study(config).trials()
    assert [trial.state for trial in trials].count("interrupted") == 1 and len(trials) < 10
    study = run_study(config)
    assert essence(study) == essence(by_chance) and told(study) == told(by_chance)


def test_a_lost_checkpoint_costs_time_and_nothing_else(by_chance: Study) -> None:
    config = halved("lost")

    def lose(event: Event) -> None:
        if isinstance(event, TrialFinished):
            shutil.rmtree(open_study(config).weights_folder() / CHECKPOINTS, ignore_errors=True)

    study = run_study(config, on_event=lose)
    assert essence(study) == essence(by_chance) and told(study) == told(by_chance)


def test_the_sampler_is_told_of_accuracies_on_the_way(
    tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    make = proposing.make_sampler
    monkeypatch.setattr(
        proposing, "make_sampler", lambda *a, partial: given.append(partial) or make(*a, partial=partial)
    )
    study = run_study(halved("mine"))
    run_study(tiny_config, trials=0)
    partial, none = given
    assert none is None
    assert partial() == {
        number: {epoch.epoch / EPOCHS: epoch.val_accuracy for epoch in curve if epoch.epoch in (*RUNGS, EPOCHS)}
        for number, curve in study.curves().items()
    }


def test_looking_at_a_halved_study(nas_command: Callable[..., Outcome], whole: Study) -> None:
    path, trials = whole.directory.with_suffix(".yaml"), whole.trials()
    counts = Counter(trial.state for trial in trials)
    best = max(one.network.shrunk for one in whole.judgement().networks)
    status = json.loads(nas_command("status", path, "--json").out)
    assert (status["trials"], status["best_accuracy"]) == (counts, best)
    assert f"{counts['stopped']} stopped" in nas_command("status", path).out
    front = json.loads(nas_command("front", path, "--json").out)["front"]
    assert [entry["number"] for entry in front] == [trial.number for trial in pareto_front(whole)]
    assert {entry["state"] for entry in front} == {"trained"}
    text = re.sub(r"<script.*?</script>", "", render_report(whole), flags=re.DOTALL)
    assert f"{counts['stopped']} stopped early" in text and f"{100 * best:.2f} ±" in text
    info = curves_info(whole)
    assert len(info.front) + len(info.others) == counts["stopped"] + counts["trained"]
    (stops,) = (trace for trace in curves(whole).data if trace.name.startswith("stopped by halving"))
    assert len(stops.x) == counts["stopped"] and any("stopped after epoch 1" in row[2] for row in stops.customdata)


def test_a_stopped_trial_cannot_be_exported(nas_command: Callable[..., Outcome], whole: Study) -> None:
    stopped = next(trial for trial in whole.trials() if trial.state == "stopped")
    path = whole.directory.with_suffix(".yaml")
    outcome = nas_command("export", path, "--trial", stopped.number, "-o", "out")
    reason = f"trial {stopped.number} of 'whole' was stopped after epoch {stopped.epochs} and has no weights; the front"
    assert outcome.code == 2 and outcome.err.startswith(f"nas: {reason} has trials ") and outcome.err.count("\n") == 1
    alone = run_study(halved("alone"), trials=1)
    with pytest.raises(StudyError, match="was stopped after epoch 1 and has no weights; the front has no trial yet"):
        choose_trial(alone, number=0)
    assert "stopped early" in render_report(alone)


def test_pruning_keeps_what_may_go_on(nas_command: Callable[..., Outcome], whole: Study) -> None:
    stopped = [trial for trial in whole.trials() if trial.state == "stopped"]
    removed = json.loads(nas_command("prune", whole.directory.with_suffix(".yaml"), "--json").out)
    assert removed["checkpoints"] == asdict(FilesOnDisk(0, 0))
    assert all(checkpoint(whole, trial).exists() for trial in stopped)


def test_a_database_of_the_version_before_is_brought_up_to_date(tiny_config: StudyConfig) -> None:
    run_study(tiny_config, trials=2, storage="sqlite:///third.db")
    connection = sqlite3.connect("third.db")
    for column in ("epochs", "owner"):
        connection.execute(f"alter table nas_trial drop column {column}")
    connection.execute("drop table nas_repeat")
    connection.execute("update nas_schema set version = 3")
    connection.commit()
    connection.close()
    study = open_study(tiny_config, storage="sqlite:///third.db")
    assert [trial.epochs for trial in study.trials()] == [None] * 2 and study.repeats() == []
    trials = run_study(tiny_config, trials=1, storage="sqlite:///third.db").trials()
    assert len(trials) == 3 and trials[2].state in ("trained", "repeated", "infeasible")


def test_another_halving_is_another_study(tiny_config: StudyConfig) -> None:
    run_study(halved("mine"), trials=1)
    with pytest.raises(StudyError, match="search.halving.factor was 2, is 3"):
        run_study(halved("mine", halving={"first": 1, "factor": 3}))
