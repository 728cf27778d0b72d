"""Searches that end before their proposals are used up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nas.config.study import StudyConfig
from nas.data.batches import ImageBatches
from nas.errors import ConfigError
from nas.fronts.growth import front_history, recent_growth
from nas.fronts.halving import promotable
from nas.fronts.noise import over_seeds, seed_noise
from nas.models.device import describe_device
from nas.scaling.seconds import LeftOut, SecondsModel
from nas.search.opening import find_study
from nas.search.run import proposing
from nas.search.run.events import Event, RepeatFinished, Stagnant, TimeIsUp, TrialFinished
from nas.search.run.limits import Limits, make_limits
from nas.search.run.start import run_study
from nas.search.seconds import keep_seconds
from nas.search.storage.seconds import CheckedSeconds
from nas.search.storage.store import Store
from nas.training import job
from nas.training.result import TrainingResult, Validation


def changed(config: StudyConfig, **sections: Any) -> StudyConfig:
    document = config.model_dump()
    return StudyConfig.model_validate(document | {key: document[key] | values for key, values in sections.items()})


@pytest.fixture
def wide(tiny_config: StudyConfig) -> StudyConfig:
    """Return a study of a short training with more networks than its tests train."""
    search = {"sampler": "pareto", "startup_trials": 3, "width": {"min": 0.25, "max": 1.5, "step": 0.125}}
    return changed(tiny_config, search=search, recipe={"epochs": 1}, budget={"flops": {"max": "2M"}})


@pytest.fixture
def alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all networks equally accurate."""

    def train(*arguments: Any, **keywords: Any) -> TrainingResult:
        result = real(*arguments, **keywords)
        return replace(result, curve=tuple(replace(epoch, val_accuracy=0.75) for epoch in result.curve))

    real = job.train
    monkeypatch.setattr(job, "train", train)


@pytest.fixture
def halving(wide: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> StudyConfig:
    """Return a study that halves after one epoch of two, each validation a little worse than the one before."""
    accuracies = (0.9 - 0.01 * index for index in itertools.count())

    def evaluate(model: object, images: ImageBatches, **keywords: Any) -> Validation:
        return Validation(1.0, next(accuracies), torch.zeros(len(images), dtype=torch.int64))

    monkeypatch.setattr("nas.training.run.evaluate", evaluate)
    return changed(wide, search={"halving": {"first": 1, "factor": 2}}, recipe={"epochs": 2})


@pytest.mark.usefixtures("alike")
def test_a_search_ends_when_it_stagnates_and_another_run_does_not_begin_again(wide: StudyConfig) -> None:
    told: list[Event] = []
    ran = run_study(wide, until="stagnant", on_event=told.append)
    trials = ran.trials()
    assert 13 <= len(trials) < 40  # beyond the eight of the study, and not for ever
    assert isinstance(told[-1], Stagnant) and told[-1].reason == f"stagnant: {ran.growth()}"
    assert [moment.number for moment in front_history(ran.ended())] == [trial.number for trial in trials]
    noise = seed_noise(over_seeds(trials, []).values(), val_images=ran.val_images())
    one_less = recent_growth(ran.ended()[:-1], startup_trials=3, noise=noise.std)
    assert one_less is None or not one_less.stagnant
    again: list[Event] = []
    run_study(wide, until="stagnant", workers=2, on_event=again.append)
    assert again[1:] == [told[-1]]
    assert len(ran.trials()) == len(trials) and find_study(wide).missing_trials() == 0
    run_study(wide, trials=1)  # who insists is served
    assert len(ran.trials()) == len(trials) + 1


@pytest.mark.usefixtures("alike")
def test_a_number_of_trials_is_the_most_that_a_search_until_stagnation_makes(wide: StudyConfig) -> None:
    told: list[Event] = []
    assert len(run_study(wide, trials=2, until="stagnant", on_event=told.append).trials()) == 2
    assert not any(isinstance(event, Stagnant) for event in told)


def test_a_sampler_that_repeats_itself_does_not_run_for_ever(
    tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for home in ("nas.fronts.growth", "nas.search.storage.reading"):
        monkeypatch.setattr(f"{home}.IDLE_PROPOSALS", 12)
    narrow = changed(tiny_config, search={"width": 0.25, "depth": 0.25}, recipe={"epochs": 1})
    told: list[Event] = []
    states = [trial.state for trial in run_study(narrow, trials=40, until="stagnant", on_event=told.append).trials()]
    assert states[-12:] == ["repeated"] * 12 and states[-13] == "trained"
    assert told[-1] == Stagnant("stagnant: the last 12 proposals were outside the budget or already known")


def test_paused_trainings_that_deserve_it_go_on_before_a_stagnant_search_ends(
    wide: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[int | None] = []
    config = changed(wide, search={"halving": {"first": 1, "factor": 2}}, recipe={"epochs": 4})

    def stagnation(store: Store, *arguments: object, **keywords: object) -> str | None:
        waiting.append(promotable(store.reached((1, 2)), factor=2))
        return "enough" if len(waiting) > 7 else None

    monkeypatch.setattr(proposing, "stagnation", stagnation)
    ran = run_study(config, until="stagnant")
    assert waiting == [None] * 8
    states = [trial.state for trial in ran.trials()]
    assert len(states) == 7 and "stopped" in states and "trained" in states
    curves = ran.curves()
    ended = ran.ended()
    assert sum(t.epochs for t in ended) == sum(map(len, curves.values()))
    assert {t.number for t in ended if t.accuracy is not None} == {
        t.number for t in ran.trials() if t.state == "trained"
    }


def test_trainings_that_paused_stand_where_they_ended(halving: StudyConfig) -> None:
    ran = run_study(halving, trials=3)
    assert [trial.state for trial in ran.trials()] == ["trained", "stopped", "stopped"]
    assert [t.number for t in ran.ended()] == [1, 0, 3]  # the first went on once the second was worse


def clock(monkeypatch: pytest.MonkeyPatch, *, hours: float, at: type[Event]) -> Callable[[Event], None]:
    """Return a listener that lets so many hours pass with every event of a kind."""
    now = [0.0]
    monkeypatch.setattr("nas.search.run.limits.time", SimpleNamespace(monotonic=lambda: now[0]))

    def listen(event: Event) -> None:
        now[0] += 3600 * hours * isinstance(event, at)

    return listen


def test_nothing_new_begins_once_time_is_up(wide: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    pass_time, told = clock(monkeypatch, hours=0.4, at=TrialFinished), list[Event]()

    def listen(event: Event) -> None:
        pass_time(event)
        told.append(event)

    config = changed(wide, search={"replicates": {"seeds": 2, "networks": 1, "of": "spread"}})
    ran = run_study(config, max_hours=1, on_event=listen)
    assert [trial.state for trial in ran.trials()] == ["trained"] * 3  # the third began at 0.8 hours
    assert told[-1] == TimeIsUp("time is up after 1 h: nothing new is started")
    assert ran.repeats() == []
    told.clear()
    assert len(run_study(config, trials=1, max_hours=0.5, on_event=listen).repeats()) == 1  # each run has its own hours
    assert isinstance(told[-1], RepeatFinished)


def test_time_that_is_up_holds_paused_trainings_back(halving: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run_study(halving, trials=2, max_hours=1, on_event=clock(monkeypatch, hours=0.5, at=TrialFinished))
    assert [trial.state for trial in ran.trials()] == ["stopped", "stopped"]
    run_study(halving, trials=0)
    assert [trial.state for trial in ran.trials()] == ["trained", "stopped"]


def test_a_training_that_a_check_says_to_take_too_long_is_not_begun(wide: StudyConfig) -> None:
    begun = run_study(wide, trials=0)
    law = SecondsModel(math.log(7200.0), flops=0.0, activations=0.0)  # two hours for any network
    device = describe_device(torch.device("cpu"))
    assert keep_seconds(begun, CheckedSeconds(device, "float32", law, LeftOut(0.1, 0.2), networks=9, images=1.0))
    told: list[Event] = []
    run_study(wide, trials=2, max_hours=1.9, on_event=told.append)
    assert [trial.state for trial in begun.trials()] == ["interrupted"] and isinstance(told[-1], TimeIsUp)
    run_study(wide, trials=2, max_hours=2.1)  # and once one has ended, that tells
    run_study(wide, trials=1, max_hours=0.5)
    assert [trial.state for trial in begun.trials()] == ["trained"] * 3


def test_workers_begin_nothing_once_time_is_up(wide: StudyConfig) -> None:
    told: list[Event] = []
    ran = run_study(wide, max_hours=1e-9, workers=2, on_event=told.append)
    assert ran.trials() == []
    assert told[1:] == [TimeIsUp("time is up after 1e-09 h: nothing new is started")]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"until": "bored"}, "--until: unknown condition 'bored'; known: stagnant"),
        ({"max_hours": 0.0}, "--max-hours must be a number above 0, but is 0"),
        ({"max_hours": -2}, "--max-hours must be a number above 0, but is -2"),
        ({"max_hours": math.nan}, "--max-hours must be a number above 0, but is nan"),
        ({"max_hours": math.inf}, "--max-hours must be a number above 0, but is inf"),
    ],
)
def test_limits_that_make_no_sense_are_refused_before_anything_is_written(
    tiny_config: StudyConfig, limits: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_study(tiny_config, **limits)
    assert not Path("studies").exists()


def test_a_search_without_limits_has_none() -> None:
    assert make_limits(until=None, max_hours=None) == Limits()
    assert Limits().seconds_left(1e9) == math.inf and not Limits().are_hours
