"""Studies that train some networks once more, from other seeds."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from nas.analysis.pareto import front_with_noise, pareto_front
from nas.config.search import Replicates
from nas.config.study import StudyConfig
from nas.errors import NasError, StudyError
from nas.fronts.noise import WORTH_REPEATING
from nas.records import Repeat
from nas.search.disk import CHECKPOINTS, prune_checkpoints
from nas.search.opening import find_study, open_study
from nas.search.run.events import EpochFinished, Event, RepeatFinished, TrialFinished
from nas.search.run.start import run_study
from nas.search.storage.claims import Outdated
from nas.search.storage.coordinators import Coordinators
from nas.search.storage.trainings import Trainings
from nas.search.study import Study
from nas.training import job
from nas.training.loop import trial_seed

TRIALS = {"flops": {"max": "300k"}}


def repeating(config: StudyConfig, name: str = "tiny", **replicates: Any) -> StudyConfig:
    """Return a study of cheap networks, two of which are trained from two seeds unless told otherwise."""
    asked = Replicates.model_validate({"seeds": 2, "of": "spread", "networks": 2, **replicates})
    search = {**config.model_dump()["search"], "sampler": "pareto", "trials": 4, "replicates": asked}
    return StudyConfig.model_validate({**config.model_dump(), "name": name, "search": search, "budget": TRIALS})


def outcomes(repeats: list[Repeat]) -> list[tuple[Any, ...]]:
    """Return what must not depend on interruptions."""
    return [(r.number, r.repeat, r.state, r.seed, r.accuracy, [e.val_loss for e in r.curve]) for r in repeats]


def test_networks_that_may_be_on_the_front_are_trained_once_more(tiny_config: StudyConfig) -> None:
    told: list[Event] = []
    config = repeating(tiny_config, of="front", seeds=3, networks=20)
    study = run_study(config, on_event=told.append)
    trials, repeats = study.trials(), study.repeats()
    assert repeats and {repeat.state for repeat in repeats} == {"trained"}
    for repeat in repeats:
        assert repeat.seed == trial_seed(config.search.seed, trials[repeat.number].digest, repeat.repeat)
        assert repeat.seed != trials[repeat.number].seed
        assert [epoch.epoch for epoch in repeat.curve] == [1, 2]
        assert repeat.curve[-1].val_accuracy == repeat.accuracy and (repeat.train_seconds or 0) > 0
    finished = [event for event in told if isinstance(event, RepeatFinished)]
    assert {(e.repeat.number, e.repeat.repeat) for e in finished} == {(r.number, r.repeat) for r in repeats}
    last_trial = max(place for place, event in enumerate(told) if isinstance(event, TrialFinished))
    assert last_trial < told.index(finished[0])  # all proposals come first
    front = front_with_noise(study)
    assert [point.trial for point in front.points] == pareto_front(study)
    likely = [p for p in (*front.points, *front.others) if p.front_probability >= WORTH_REPEATING]
    assert {point.seeds for point in likely} == {3}
    assert front.noise.further == len(repeats) and front.noise.val_images == 80
    assert len(list(study.weights_folder().glob("*.safetensors"))) == 4  # one for each network
    assert not list((study.weights_folder() / CHECKPOINTS).glob("*"))
    assert len(run_study(config).repeats()) == len(repeats)  # nothing is left to do


def test_the_answers_of_every_whole_training_are_kept(tiny_config: StudyConfig) -> None:
    study = run_study(repeating(tiny_config))
    labels, answers = study.dataset.validation.labels, study.answers()
    right = {training: float(np.mean(given == labels)) for training, given in answers.items()}
    trained = {(trial.number, 0): trial.accuracy for trial in study.trials() if trial.state == "trained"}
    repeated = {(repeat.number, repeat.repeat): repeat.accuracy for repeat in study.repeats()}
    assert len(trained) > 1 and len(repeated) > 1
    assert right == {**trained, **repeated}  # exactly
    assert {given.dtype for given in answers.values()} == {np.dtype(np.int64)}


def test_further_trainings_can_be_asked_for_later_and_are_no_part_of_the_definition(tiny_config: StudyConfig) -> None:
    config = repeating(tiny_config)
    silent = config.model_copy(update={"search": config.search.model_copy(update={"replicates": None})})
    before = run_study(silent)
    trials = before.trials()
    assert before.repeats() == []
    after = run_study(config)
    repeats = after.repeats()
    assert after.trials() == trials and find_study(config).missing_trials() == 0
    assert [repeat.repeat for repeat in repeats] == [1, 1]
    flops = sorted(trial.flops for trial in trials)
    assert sorted(trials[repeat.number].flops for repeat in repeats) == [flops[0], flops[-1]]
    more = run_study(repeating(tiny_config, seeds=3))
    assert [repeat.repeat for repeat in more.repeats()] == [1, 2, 1, 2]
    assert outcomes(more.repeats())[::2] == outcomes(repeats)
    assert run_study(silent).repeats() == more.repeats()


def test_an_interrupted_further_training_goes_on_to_the_same_end(tiny_config: StudyConfig) -> None:
    whole = run_study(repeating(tiny_config, "whole"))
    cut = repeating(tiny_config, "cut")

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.repeat:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(cut, on_event=interrupt)
    study = open_study(cut)
    assert [repeat.state for repeat in study.repeats()] == ["interrupted"]
    (checkpoint,) = (study.weights_folder() / CHECKPOINTS).glob("*")
    assert prune_checkpoints(study.weights_folder(), study.trials(), study.repeats()).count == 0
    epochs: list[int] = []
    again = run_study(cut, on_event=lambda e: epochs.append(e.epoch.epoch) if isinstance(e, EpochFinished) else None)
    assert outcomes(again.repeats()) == outcomes(whole.repeats())
    assert epochs == [1, 2, 1, 2] and not checkpoint.exists()


def test_the_further_training_of_a_process_that_is_no_more_is_made_again(tiny_config: StudyConfig) -> None:
    whole = run_study(repeating(tiny_config, "whole"))
    config = repeating(tiny_config, "left")
    silent = config.model_copy(update={"search": config.search.model_copy(update={"replicates": None})})
    study = run_study(silent)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (gone, *_), (trial, *_) = whole.repeats(), [t for t in study.trials() if t.number == whole.repeats()[0].number]
    left = led(study, f"{socket.gethostname()}/{dead.pid}/1")
    assert left.want_repeat(trial, 1, seed=gone.seed) and not left.want_repeat(trial, 1, seed=gone.seed)
    claim = left.take()
    assert claim is not None and study.repeats()[0].state == "running"
    names = [f"{trial.digest}.{repeat}.safetensors" for repeat in (1, 2)]
    folder = study.weights_folder() / CHECKPOINTS
    for name in names:
        (folder / name).write_bytes(b"12345")
    prune_checkpoints(study.weights_folder(), study.trials(), study.repeats())
    assert [path.name for path in folder.iterdir()] == names[:1]  # what runs may need its own
    assert outcomes(run_study(config).repeats()) == outcomes(whole.repeats())
    with pytest.raises(Outdated, match="was given to another"):
        left.end_repeat(claim, gone)


def led(study: Study, holder: str) -> Trainings:
    """Return the trainings of a study as one sees them who leads it."""
    assert Coordinators(study.database.engine, study.name).lead(holder, after=None)
    return Trainings(study.database.engine, study.name, owner=holder)


def test_workers_never_train_the_same_twice(tiny_config: StudyConfig) -> None:
    config = repeating(tiny_config, "shared", seeds=4, networks=3)
    begun: list[tuple[int, int]] = []
    done: list[tuple[int, int]] = []

    def note(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.repeat and event.epoch.epoch == 1:
            begun.append((event.trial.number, event.repeat))
        if isinstance(event, RepeatFinished):
            done.append((event.trial.number, event.repeat.repeat))

    repeats = run_study(config, workers=2, on_event=note).repeats()
    assert sorted(begun) == sorted(done) == [(r.number, r.repeat) for r in repeats]
    assert len(repeats) == 3 * 3 and {repeat.state for repeat in repeats} == {"trained"}
    alone = run_study(repeating(tiny_config, "alone", seeds=4, networks=3))
    digests = {study.name: {t.number: t.digest for t in study.trials()} for study in (open_study(config), alone)}
    expected = {(digests["alone"][r.number], r.repeat): r.curve[-1].val_loss for r in alone.repeats()}
    found = {(digests["shared"][r.number], r.repeat): r.curve[-1].val_loss for r in repeats}
    both = expected.keys() & found.keys()
    assert both and all(expected[key] == found[key] for key in both)


def test_a_further_training_that_fails_is_on_record_and_three_in_a_row_end_the_search(
    tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = repeating(tiny_config, seeds=6)
    silent = config.model_copy(update={"search": config.search.model_copy(update={"replicates": None})})
    run_study(silent)

    def fail(*arguments: object, **keywords: object) -> None:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(job, "train", fail)
    with pytest.raises(NasError, match="3 trainings in a row failed, the last with: RuntimeError: the device"):
        run_study(config)
    study = open_study(config)
    assert [repeat.state for repeat in study.repeats()] == ["failed"] * 3
    assert study.repeats()[0].error == "RuntimeError: the device is gone"
    assert front_with_noise(study).noise.further == 0

    def full(*arguments: object, **keywords: object) -> None:
        raise StudyError("the disk is full")

    monkeypatch.setattr(job, "train", full)
    with pytest.raises(StudyError, match="the disk is full"):
        run_study(config)
    assert [repeat.state for repeat in study.repeats()] == ["failed"] * 3 + ["interrupted"]  # it is no fault of its own


def test_validation_images_are_noted_and_told_from_accuracies_where_they_were_not(tiny_config: StudyConfig) -> None:
    study = run_study(repeating(tiny_config, "noted"))
    assert study.val_images() == 80
    _forget(study)
    assert 80 % study.val_images() == 0 and study.val_images() > 1
    run_study(study.config, trials=0)  # a search notes them
    assert study.val_images() == 80


def _forget(study: Study) -> None:
    connection = sqlite3.connect(study.directory / "study.db")
    connection.execute("update nas_study set val_images = null")
    connection.commit()
    connection.close()
