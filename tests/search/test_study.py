"""Studies run, stop, continue and refuse, as their users would see it."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
import yaml
from conftest import TINY

from nas.architecture.cost import count_cost
from nas.architecture.space import SearchSpace, load_space
from nas.architecture.spec import Architecture
from nas.config.study import StudyConfig, load_study_config
from nas.data.sources import load_data
from nas.errors import BudgetError, DeviceError, NasError, StudyError, TrainingDiverged
from nas.executors import work
from nas.models.backends import Latency
from nas.models.build import build_model
from nas.models.device import Memory, describe_device, describe_versions
from nas.records import TrialRecord
from nas.search.bounds import measured_alike
from nas.search.check import check_study
from nas.search.disk import CHECKPOINTS, FilesOnDisk, disk_use, prune_checkpoints
from nas.search.opening import find_study, open_study
from nas.search.proposals import Networks
from nas.search.run.events import EpochFinished, Event, NothingLeft, TrialFinished
from nas.search.run.start import run_study
from nas.search.samplers import ReproducibleSampler, make_sampler
from nas.search.storage.database import Database
from nas.search.storage.schema import SCHEMA_VERSION
from nas.search.study import Study
from nas.training import job, loop, preparing

PARTS = ("space", "width", "depth", "resolution", "digest", "flops", "accuracy", "seed")


def changed(config: StudyConfig, section: str, **update: Any) -> StudyConfig:
    document = config.model_dump()
    return StudyConfig.model_validate({**document, section: {**document[section], **update}})


def essence(trials: list[TrialRecord]) -> list[tuple[Any, ...]]:
    """Return what must not depend on interruptions: everything but numbers, times and who trained first."""
    return [tuple(getattr(trial, part) for part in PARTS) for trial in trials if trial.state != "interrupted"]


def write_study(path: Path, **sections: Any) -> Path:
    document = {**TINY, **sections}
    path.write_text(yaml.safe_dump({**document, "name": path.stem}))
    return path


def test_a_search_trains_within_the_budget_and_keeps_every_curve(finished_study: Study) -> None:
    trials, curves = finished_study.trials(), finished_study.curves()
    assert [trial.number for trial in trials] == list(range(8))
    assert {trial.state for trial in trials} >= {"trained", "infeasible"}
    assert {trial.space for trial in trials} == {"resnet_small", "efficientnet_small"}
    for trial in trials:
        assert (trial.flops <= 1_000_000) == (trial.state != "infeasible")
        assert (trial.number in curves) == (trial.state == "trained")
        assert finished_study.weights(trial).exists() == (trial.state in ("trained", "repeated"))
        architecture = finished_study.architecture(trial)
        assert architecture.digest == trial.digest
        assert count_cost(architecture).flops == trial.flops
    for number, curve in curves.items():
        assert [epoch.epoch for epoch in curve] == [1, 2]
        assert curve[-1].val_accuracy == trials[number].accuracy


def test_optuna_knows_objectives_and_constraints(finished_study: Study) -> None:
    study = finished_study.optuna()
    for trial, record in zip(study.trials, finished_study.trials(), strict=True):
        constraint = _constraint(trial)
        assert constraint == pytest.approx(record.flops / 1_000_000 - 1)
        if record.state == "infeasible":
            assert trial.state is optuna.trial.TrialState.PRUNED and constraint > 0
        else:
            assert trial.values == [record.accuracy, record.flops] and constraint <= 0


def _constraint(trial: optuna.trial.FrozenTrial) -> float:
    (value,) = [value for key, value in trial.system_attrs.items() if key.endswith(":flops_max")]
    return float(value)


def test_infeasible_proposals_are_never_built(tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    monkeypatch.setattr("nas.training.preparing.build_model", lambda a: built.append(a.digest) or build_model(a))
    study = run_study(tiny_config)
    trials = study.trials()
    assert sorted(built) == sorted(trial.digest for trial in trials if trial.state == "trained")
    assert any(trial.state == "infeasible" for trial in trials)


def test_a_network_is_trained_once(tiny_config: StudyConfig) -> None:
    narrow = changed(tiny_config, "search", width={"min": 0.25, "max": 0.5, "step": 0.25}, depth=0.25, trials=12)
    trials = run_study(narrow).trials()
    trained = [trial.digest for trial in trials if trial.state == "trained"]
    repeated = [trial for trial in trials if trial.state == "repeated"]
    assert len(set(trained)) == len(trained) <= 4
    assert repeated
    for trial in repeated:
        first = trials[trial.repeat_of or 0]
        assert (first.digest, first.accuracy, first.state) == (trial.digest, trial.accuracy, "trained")


def test_some_trials_and_some_more_are_the_same_as_all_at_once(tiny_config: StudyConfig, finished_study: Study) -> None:
    parts = tiny_config.model_copy(update={"name": "parts"})
    assert find_study(parts).missing_trials() == 8
    run_study(parts, trials=3)
    assert find_study(parts).missing_trials() == 5
    continued = run_study(parts)
    assert essence(continued.trials()) == essence(finished_study.trials())
    assert [t.state for t in continued.trials()] == [t.state for t in finished_study.trials()]
    assert find_study(parts).missing_trials() == 0
    assert len(run_study(parts).trials()) == 8


def test_ctrl_c_keeps_what_is_finished_and_continues_the_same(tiny_config: StudyConfig, finished_study: Study) -> None:
    epochs = 0

    def interrupt(event: Event) -> None:
        nonlocal epochs
        epochs += isinstance(event, EpochFinished)
        if epochs == 3:
            epochs += 1
            raise KeyboardInterrupt

    cut = tiny_config.model_copy(update={"name": "cut"})
    with pytest.raises(KeyboardInterrupt):
        run_study(cut, on_event=interrupt)
    states = [trial.state for trial in open_study(cut).trials()]
    assert states.count("interrupted") == 1 and "trained" in states and "running" not in states
    assert essence(run_study(cut).trials()) == essence(finished_study.trials())


@pytest.mark.slow
def test_workers_share_the_trials_and_sum_up(tmp_path: Path, finished_study: Study) -> None:
    path = write_study(tmp_path / "shared.yaml")
    finished: list[int] = []

    def note(event: Event) -> None:
        if isinstance(event, TrialFinished):
            finished.append(event.trial.number)

    study = run_study(path, workers=2, on_event=note)
    assert sorted(finished) == list(range(8))
    trials = study.trials()
    assert {trial.state for trial in trials} <= {"trained", "repeated", "infeasible"}
    alone = {trial.digest: trial.accuracy for trial in finished_study.trials()}
    shared = {trial.digest: trial.accuracy for trial in trials}
    both = alone.keys() & shared.keys()
    assert both and all(alone[digest] == shared[digest] for digest in both)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: changed(c, "recipe", epochs=3), "recipe.epochs was 2, is 3"),
        (lambda c: changed(c, "budget", flops={"max": "2M"}), "budget.flops.max was 1000000, is 2000000"),
        (lambda c: changed(c, "search", seed=1), "search.seed was 0, is 1"),
        (lambda c: changed(c, "data", limit=399), "data.limit was 400, is 399"),
    ],
)
def test_a_changed_definition_is_refused_with_what_changed(
    finished: Path, edit: Callable[[StudyConfig], StudyConfig], message: str
) -> None:
    config, directory = load_study_config(finished)
    with pytest.raises(StudyError, match=message):
        run_study(edit(config), storage=f"sqlite:///{directory / 'study.db'}")
    assert len(open_study(finished).trials()) == 8


def test_other_images_are_refused(tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    run_study(tiny_config, trials=1)
    monkeypatch.setattr("nas.data.sources.Dataset.fingerprint", "0" * 16)
    with pytest.raises(StudyError, match="have changed since it was run: the images are the same, but their classes"):
        run_study(tiny_config)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"max": "1k"}, r"budget.flops.max 1k is below the cheapest network of the search, which has \d+\.?\d*k"),
        ({"min": "1G"}, "budget.flops.min 1G is above the most expensive network of the search"),
    ],
)
def test_a_budget_that_nothing_meets_is_refused_before_anything_is_written(
    tiny_config: StudyConfig, limit: dict[str, str], message: str
) -> None:
    with pytest.raises(BudgetError, match=message):
        run_study(changed(tiny_config, "budget", flops=limit))
    assert not Path("studies").exists()


def test_failed_trials_are_kept_with_their_reason_and_three_in_a_row_end_the_search(
    tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*arguments: object, **keywords: object) -> None:
        raise TrainingDiverged("the loss is inf")

    monkeypatch.setattr(job, "train", diverge)
    everything = changed(tiny_config, "budget", flops={"max": "1G"})
    with pytest.raises(NasError, match="3 trainings in a row failed, the last with: TrainingDiverged: the loss is inf"):
        run_study(everything)
    trials = open_study(everything).trials()
    assert [trial.state for trial in trials] == ["diverged"] * 3
    assert trials[0].error == "TrainingDiverged: the loss is inf"
    monkeypatch.undo()


def test_a_study_that_was_never_run_is_refused(tiny_config: StudyConfig, finished_study: Study) -> None:
    with pytest.raises(StudyError, match="study 'tiny' has not been run yet in sqlite:///studies/tiny/study.db"):
        open_study(tiny_config)
    assert not Path("studies").exists()
    with pytest.raises(StudyError, match="study 'other' has not been run yet"):
        open_study(tiny_config.model_copy(update={"name": "other"}), storage=finished_study.storage)


def test_foreign_and_later_databases_are_refused(tiny_config: StudyConfig) -> None:
    Path("text.db").write_text("this is no database, though it is long enough to look like one" * 20)
    with pytest.raises(StudyError, match="text.db: file is not a database"):
        run_study(tiny_config, storage="sqlite:///text.db")
    connection = sqlite3.connect("foreign.db")
    connection.execute("create table customers (id integer)")
    connection.commit()
    connection.close()
    with pytest.raises(StudyError, match=r"foreign.db: belongs to another program \(it has a table 'customers'\)"):
        run_study(tiny_config, storage="sqlite:///foreign.db")
    run_study(tiny_config, trials=1, storage="sqlite:///later.db")
    connection = sqlite3.connect("later.db")
    connection.execute("update nas_schema set version = ?", (SCHEMA_VERSION + 1,))
    connection.commit()
    connection.close()
    with pytest.raises(StudyError, match="later.db: was written by a later version of nas"):
        run_study(tiny_config, storage="sqlite:///later.db")
    with pytest.raises(StudyError, match="later version"):
        open_study(tiny_config, storage="sqlite:///later.db")


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("study.db", "storage is not a database URL"),
        ("nosuch://user:secret@host/db", "unknown kind of database"),
        ("mysql+nosuchdriver://user:secret@host/db", "nosuchdriver"),
        ("postgresql+psycopg://user:secret@127.0.0.1:1/db?connect_timeout=1", "."),
    ],
)
def test_databases_that_cannot_be_reached_are_refused_without_the_password(
    tiny_config: StudyConfig, storage: str, message: str
) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        run_study(tiny_config, storage=storage)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_password_is_not_shown_with_a_study(tiny_config: StudyConfig) -> None:
    assert "secret" not in repr(Study(tiny_config, Path(), Database("postgresql://user:secret@host/db")))


def test_two_studies_share_a_database(tiny_config: StudyConfig) -> None:
    storage = "sqlite:///both.db"
    first = run_study(tiny_config, trials=2, storage=storage)
    second = run_study(tiny_config.model_copy(update={"name": "second"}), trials=3, storage=storage)
    assert (len(first.trials()), len(second.trials())) == (2, 3)
    assert essence(second.trials())[:2] == essence(first.trials())
    assert asdict(first.trials()[0]).keys() == TrialRecord.__dataclass_fields__.keys()


WIDER: dict[str, Any] = {
    "spaces": ["resnext_small", "inception_small", "efficientnet_v2_small"],
    "width": {"min": 0.25, "max": 0.5, "step": 0.25},
    "depth": 0.25,
    "resolution": 8,
    "cardinality": [1, 8],
    "activation": ["relu", "gelu", "hardswish"],
    "squeeze_excitation": [True, False],
    "trials": 10,
    "startup_trials": 6,
}


def test_further_dimensions_are_searched_kept_and_continued(tiny_config: StudyConfig) -> None:
    document = {**tiny_config.model_dump(), "search": WIDER, "recipe": {**TINY["recipe"], "epochs": 1}}
    config = StudyConfig.model_validate({**document, "name": "whole"})
    study = run_study(config)
    trials = study.trials()
    assert {trial.state for trial in trials} <= {"trained", "repeated", "infeasible"}
    assert {trial.space for trial in trials} == set(WIDER["spaces"])
    for trial in trials:
        chosen = {"activation", "squeeze_excitation"} | ({"cardinality"} if trial.space == "resnext_small" else set())
        assert set(trial.choices) == chosen
        architecture = study.architecture(trial)
        assert architecture.digest == trial.digest
        assert architecture.stem[0].activation == trial.choices["activation"]
        assert trial.label.endswith(f"squeeze_excitation {trial.choices['squeeze_excitation']}")
    assert len({trial.choices["activation"] for trial in trials}) == 3
    parts = StudyConfig.model_validate({**document, "name": "parts"})
    run_study(parts, trials=7)
    assert essence(run_study(parts).trials()) == essence(trials)


def test_a_budget_looks_at_the_choices_too(tiny_config: StudyConfig) -> None:
    search = {**TINY["search"], "spaces": ["efficientnet_small"], "expansion": [6], "width": 0.25, "depth": 0.25}
    config = changed(changed(tiny_config, "budget", flops=None, params={"max": 5000}), "search", **search)
    with pytest.raises(BudgetError, match="budget.params.max 5k is below the cheapest network of the search"):
        run_study(config)
    assert run_study(changed(config, "search", **{**search, "expansion": [6, 1]}), trials=1).trials()


def test_a_latency_budget_is_measured_before_training_and_once_for_a_network(
    tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[str] = []

    def measure(architecture: Architecture, *, backend: Any, device: torch.device, batch: int, threads: int) -> Latency:
        timed.append(architecture.digest)
        flops = count_cost(architecture).flops
        facts = {"device": describe_device(device), "versions": describe_versions(), "repeats": 10, "peak_memory": None}
        return Latency(backend, threads=threads, batch=batch, median_ms=flops / 1e5, p10_ms=0.0, p90_ms=9.0, **facts)

    monkeypatch.setattr(work, "time_inference", measure)
    config = changed(tiny_config, "budget", latency_ms={"max": 4.0, "batch": 2})
    study = run_study(config)
    trials = study.trials()
    assert sorted(timed) == sorted({trial.digest for trial in trials if trial.flops <= 1_000_000})
    for trial in trials:
        assert (trial.state == "infeasible") == (trial.flops > 400_000)
        assert (trial.state == "trained") == bool(study.weights(trial).exists() and trial.repeat_of is None)
    slow = next(trial for trial in trials if 400_000 < trial.flops <= 1_000_000)
    (latency,) = study.latencies(purpose="budget")[slow.digest]
    assert study.latencies() == {}  # nobody has ranked the front
    assert (latency.batch, latency.backend, latency.threads) == (2, "eager", 1)
    stored = study.optuna().trials[slow.number]
    violation = next(value for key, value in stored.system_attrs.items() if key.endswith(":latency_ms_max"))
    assert stored.state is optuna.trial.TrialState.PRUNED and violation == pytest.approx(slow.flops / 4e5 - 1)


@pytest.mark.parametrize("noisy", [True, False])
def test_a_latency_of_a_busy_machine_is_measured_again(
    noisy: bool, tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming = [(9.0, noisy), (2.0, False)]

    def measure(architecture: Architecture, *, device: torch.device, **keywords: Any) -> Latency:
        median, marked = coming.pop(0)
        facts = {"device": describe_device(device), "versions": describe_versions(), "repeats": 10, "peak_memory": None}
        return Latency("eager", threads=1, batch=1, median_ms=median, p10_ms=1.0, p90_ms=9.0, noisy=marked, **facts)

    monkeypatch.setattr(work, "time_inference", measure)
    narrow = changed(tiny_config, "search", width=0.25, depth=0.25, spaces=["resnet_small"])
    study = run_study(changed(narrow, "budget", latency_ms={"max": 4.0}), trials=2)
    assert [trial.state for trial in study.trials()] == ["infeasible", "trained" if noisy else "infeasible"]
    kept = study.latencies(purpose="budget")[study.trials()[0].digest]
    assert [item.noisy for item in kept] == ([False, True] if noisy else [False])


def test_a_real_latency_decides(tiny_config: StudyConfig) -> None:
    fast = run_study(changed(tiny_config, "budget", latency_ms={"max": 1e-6}), trials=2)
    assert {trial.state for trial in fast.trials()} == {"infeasible"}
    assert all(latency.median_ms > 0 for latency in fast.latencies(purpose="budget")[fast.trials()[0].digest])


def test_another_devices_latency_and_a_later_one_of_the_front_decide_nothing(
    tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(architecture: Architecture, *, device: torch.device, threads: int, **keywords: Any) -> Latency:
        facts = {"device": describe_device(device), "versions": describe_versions(), "repeats": 10, "peak_memory": None}
        return Latency("eager", threads=threads, batch=1, median_ms=2.0, p10_ms=2.0, p90_ms=2.0, **facts)

    monkeypatch.setattr(work, "time_inference", measure)
    narrow = changed(tiny_config, "search", width=0.25, depth=0.25, spaces=["resnet_small"], trials=1)
    config = changed(narrow, "budget", latency_ms={"max": 4.0})
    study = run_study(config)
    (trial,) = study.trials()
    assert trial.state == "trained"
    slow = replace(study.latencies(purpose="budget")[trial.digest][0], median_ms=9.0)
    study.add_latency(trial, slow)
    assert run_study(config, trials=1).trials()[-1].state == "repeated"
    store = study.store
    store.add_latency(trial.digest, replace(slow, device="another"), purpose="budget")
    assert measured_alike(slow, config.budget.latency_ms, threads=1, device=torch.device("cpu"))
    for change in ({"device": "x"}, {"versions": "x"}, {"batch": 2}, {"threads": 2}, {"backend": "compile"}):
        other = replace(slow, **change)
        assert not measured_alike(other, config.budget.latency_ms, threads=1, device=torch.device("cpu"))


@pytest.mark.parametrize(("median", "state"), [(0.2, "infeasible"), (1.0, "trained"), (3.0, "infeasible")])
def test_a_latency_below_or_above_its_bounds_is_out(
    median: float, state: str, tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        work,
        "time_inference",
        lambda *a, **k: Latency("eager", "d", 1, 1, median, median, median, 10, None, "v"),
    )
    study = run_study(changed(tiny_config, "budget", latency_ms={"min": 0.5, "max": 2.0}, flops=None), trials=1)
    assert [trial.state for trial in study.trials()] == [state]


def test_a_database_of_the_first_version_is_brought_up_to_date(tiny_config: StudyConfig, finished_study: Study) -> None:
    run_study(tiny_config, trials=3, storage="sqlite:///first.db")
    connection = sqlite3.connect("first.db")
    for column in ("choices", "micro_batch", "data_share", "epochs", "owner"):
        connection.execute(f"alter table nas_trial drop column {column}")
    connection.execute("alter table nas_study drop column val_images")
    connection.execute("drop table nas_latency")
    connection.execute("update nas_schema set version = 1")
    connection.commit()
    connection.close()
    assert [trial.choices for trial in open_study(tiny_config, storage="sqlite:///first.db").trials()] == [{}] * 3
    continued = run_study(tiny_config, storage="sqlite:///first.db")
    assert essence(continued.trials()) == essence(finished_study.trials())


def test_a_column_that_another_process_has_just_added_is_no_error(
    tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(tiny_config, trials=1, storage="sqlite:///both.db")
    connection = sqlite3.connect("both.db")
    connection.execute("update nas_schema set version = 1")  # the column is there, the version not yet
    connection.commit()
    connection.close()
    assert len(open_study(tiny_config, storage="sqlite:///both.db").trials()) == 1
    connection = sqlite3.connect("both.db")
    assert connection.execute("select version from nas_schema").fetchone() == (SCHEMA_VERSION,)
    connection.close()


def test_trials_can_be_put_into_sets(finished_study: Study) -> None:
    trials = finished_study.trials()
    assert len(set(trials)) == len(trials)


def test_a_table_whose_channels_rise_and_fall_is_not_refused_for_its_ends(tiny_config: StudyConfig) -> None:
    document = load_space("inception_small").model_dump()
    document["stages"] = document["stages"][:1]
    row = document["stages"][0]
    row |= {"repeats": 3, "branches": [[{"layer": "conv", "kernel": 3, "channels": [8, 256, 8]}]]}
    space = SearchSpace.model_validate({**document, "depth": {"min": 0.3, "max": 1.0}})
    # one module takes the middle of the table and is the dearest of all; two leave it out
    search = {**TINY["search"], "spaces": [space.model_dump()], "depth": {"min": 0.3, "max": 1.0}, "width": 1.0}
    config = changed(changed(tiny_config, "search", **search), "budget", flops=None, params={"max": 12_000})
    assert run_study(config, trials=1).trials()


@pytest.mark.parametrize("group", [True, False])
def test_conditional_dimensions_are_modelled_apart(group: bool, tiny_config: StudyConfig) -> None:
    opened = {"cardinality": [1, 8]} if group else {"kernel": [3, 5]}
    spaces = ["resnext_small", "efficientnet_small"]
    search = StudyConfig.model_validate({**TINY, "search": {**TINY["search"], "spaces": spaces, **opened}}).search
    sampler = make_sampler(search, Networks(tiny_config, load_data(tiny_config.data)))
    assert isinstance(sampler, ReproducibleSampler)
    assert sampler._inner._group is group


def test_a_network_that_diverges_keeps_its_curve_and_leaves_no_checkpoint(tiny_config: StudyConfig) -> None:
    wild = {**TINY["recipe"], "epochs": 4, "learning_rate": 1e18, "warmup": 0.6}
    study_config = changed(changed(tiny_config, "budget", flops={"max": "1G"}), "recipe", **wild)
    with pytest.raises(NasError, match="3 trainings in a row failed, the last with: TrainingDiverged"):
        run_study(study_config)
    study = open_study(study_config)
    trials, curves = study.trials(), study.curves()
    assert {trial.state for trial in trials} == {"diverged"}
    assert all(len(curves.get(trial.number, [])) < 4 for trial in trials)
    assert not list(study.directory.rglob("*.safetensors"))


def test_a_study_that_asks_for_more_memory_than_there_is_is_refused(
    tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "device_memory", lambda device: Memory(10_000, 10_000))
    with pytest.raises(DeviceError, match="training .* at 8 px needs at least .* for 2 images at once, but cpu has 10"):
        run_study(tiny_config)
    assert not Path("studies").exists()


def test_micro_batches_are_on_record(tiny_config: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "fitting_batch", lambda architecture, batch, device: 32)
    trials = run_study(tiny_config, trials=2).trials()
    assert {trial.micro_batch for trial in trials if trial.state == "trained"} == {32}
    assert all(0 < (trial.data_share or 0) < 1 for trial in trials if trial.state == "trained")


def test_checkpoints_that_nobody_goes_on_from_are_removed(tiny_config: StudyConfig) -> None:
    study = run_study(tiny_config, trials=3)
    folder = study.weights_folder() / CHECKPOINTS
    trained = next(trial for trial in study.trials() if trial.state == "trained")
    waiting = replace(trained, digest="waiting", state="interrupted")
    others = [
        replace(trained, digest="runs", state="running"),
        replace(trained, digest="broken", state="interrupted"),
        replace(trained, digest="broken", state="failed"),
        replace(trained, state="interrupted"),
    ]
    names = (trained.digest, "waiting", "runs", "broken", "unknown")
    for name in (*(f"{name}.safetensors" for name in names), "a.1.partial", "b.2.partial"):
        (folder / name).write_bytes(b"12345")
    os.utime(folder / "a.1.partial", (0, 0))
    assert disk_use(study.weights_folder()).checkpoints == FilesOnDisk(7, 35)
    assert prune_checkpoints(study.weights_folder(), [*study.trials(), waiting, *others]) == FilesOnDisk(4, 20)
    assert sorted(path.name for path in folder.iterdir()) == ["b.2.partial", "runs.safetensors", "waiting.safetensors"]
    run_study(tiny_config, trials=0)  # a search prunes before it begins
    assert [path.name for path in folder.iterdir()] == ["b.2.partial"]


def test_a_recipe_that_is_left_open_is_settled_once(tiny_config: StudyConfig) -> None:
    document = tiny_config.model_dump()
    silent = StudyConfig.model_validate({**document, "recipe": {"epochs": 1}})
    study = run_study(silent, trials=1)
    recipe = open_study(silent).config.recipe
    assert (recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (32, 0.2, 5e-4)
    assert study.config.recipe == recipe
    early = StudyConfig.model_validate({**document, "name": "early", "recipe": {"epochs": 1, "batch_size": 50}})
    run_study(early, trials=1)  # as if another version had chosen 50
    later = early.model_copy(update={"recipe": silent.recipe})
    assert run_study(later, trials=1).config.recipe.batch_size == 50
    other = changed(early, "recipe", batch_size=60)
    with pytest.raises(StudyError, match="recipe.batch_size was 50, is 60"):
        run_study(other, trials=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_is_full_stops_the_search_and_costs_no_trial(
    tiny_config: StudyConfig, finished_study: Study, workers: int
) -> None:
    study = run_study(tiny_config, trials=1)
    blocked = study.weights_folder() / CHECKPOINTS
    shutil.rmtree(blocked, ignore_errors=True)
    blocked.write_text("no folder")  # as a full disk would, it lets no checkpoint be written
    with pytest.raises(StudyError, match="the checkpoint cannot be written"):
        run_study(tiny_config, trials=4, workers=workers)
    assert {trial.state for trial in study.trials()[1:]} <= {"interrupted", "waiting", "infeasible", "repeated"}
    blocked.unlink()
    continued = run_study(tiny_config)
    assert essence(continued.trials()) == essence(finished_study.trials())


def by_pareto(config: StudyConfig, **search: Any) -> StudyConfig:
    return changed(config, "search", sampler="pareto", **search)


def test_known_costs_are_not_searched_for(tiny_config: StudyConfig) -> None:
    told: list[Event] = []
    config = changed(by_pareto(tiny_config), "budget", flops={"max": 300_000})
    trials = run_study(config, trials=20, on_event=told.append).trials()
    assert {trial.state for trial in trials} == {"trained"}
    assert len({trial.digest for trial in trials}) == len(trials)
    assert all(trial.flops <= 300_000 for trial in trials)
    assert np.ptp(np.log([trial.flops for trial in trials[:4]])) > 0.7  # the first are spread over the cost
    assert told[-1] == NothingLeft(len(trials)) and 4 < len(trials) < 20  # and then there is no other network
    everything = check_study(config)
    assert len(trials) == everything.networks
    assert len(run_study(config, trials=2).trials()) == len(trials)


def test_ten_and_ten_are_twenty_by_pareto_too(tiny_config: StudyConfig) -> None:
    config = by_pareto(tiny_config)
    whole = run_study(config.model_copy(update={"name": "whole"}), trials=9)

    def stop(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.trial.number == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(config, on_event=stop)
    assert [trial.state for trial in open_study(config).trials()][-1] == "interrupted"
    continued = run_study(config, trials=4)
    assert essence(continued.trials()) == essence(whole.trials())


def test_dimensions_of_one_family_are_searched_by_pareto(tiny_config: StudyConfig) -> None:
    spaces = ["resnext_small", "efficientnet_small"]
    config = by_pareto(tiny_config, spaces=spaces, cardinality=[1, 8], kernel=[3, 5], startup_trials=4)
    trials = run_study(changed(config, "budget", flops={"max": "2M"}), trials=9).trials()
    assert len({trial.digest for trial in trials}) == 9
    assert all(("cardinality" in trial.choices) == (trial.space == "resnext_small") for trial in trials)


def test_workers_share_a_study_by_pareto(tiny_config: StudyConfig) -> None:
    study = run_study(by_pareto(tiny_config), trials=8, workers=2)
    trials = study.trials()
    assert len(trials) == 8 and {trial.state for trial in trials} <= {"trained", "repeated"}
    when = {trial.number: trial for trial in study.optuna().trials}
    for one, other in itertools.combinations(trials, 2):  # two may propose the same at the same moment, and only then
        if one.digest == other.digest:
            begun, ended = when[other.number].datetime_start, when[one.number].datetime_complete
            assert begun is not None and ended is not None and begun < ended


def test_a_study_keeps_the_sampler_it_began_with_where_the_file_names_none(tiny_config: StudyConfig) -> None:
    run_study(tiny_config, trials=2)  # by tpe
    document = tiny_config.model_dump()
    del document["search"]["sampler"]
    silent = StudyConfig.model_validate(document)
    assert silent.search.sampler == "pareto"
    assert run_study(silent, trials=1).config.search.sampler == "tpe"
    with pytest.raises(StudyError, match="search.sampler was tpe, is pareto"):
        run_study(by_pareto(tiny_config), trials=1)
