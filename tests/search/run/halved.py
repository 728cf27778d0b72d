"""A small study that halves, and what interruptions must not change of it."""

from __future__ import annotations

from typing import Any

import optuna
from conftest import TINY

from nas.config.study import StudyConfig
from nas.search.storage.optuna_study import PROMOTED
from nas.search.study import Study

RUNGS, EPOCHS, FACTOR = (1, 2), 5, 2


def document(name: str, sampler: str, **search: Any) -> dict[str, Any]:
    return {
        **TINY,
        "name": name,
        "data": {"digits": True, "limit": 150},
        "search": {
            **TINY["search"],
            "sampler": sampler,
            "trials": 10,
            "seed": 4,
            "halving": {"first": 1, "factor": FACTOR},
            **search,
        },
        "recipe": {**TINY["recipe"], "epochs": EPOCHS, "batch_size": 32},
    }


def halved(name: str, sampler: str = "random", **search: Any) -> StudyConfig:
    return StudyConfig.model_validate(document(name, sampler, **search))


def essence(study: Study) -> list[Any]:
    """Return what interruptions must not change: all but numbers and times."""
    curves, trials = study.curves(), [trial for trial in study.trials() if trial.state != "interrupted"]
    place = {trial.number: index for index, trial in enumerate(trials)}
    return [
        (
            *(trial.label, trial.digest, trial.flops, trial.state, trial.accuracy, trial.epochs, trial.seed),
            None if trial.repeat_of is None else place[trial.repeat_of],
            [(epoch.epoch, epoch.train_loss, epoch.val_accuracy) for epoch in curves.get(trial.number, [])],
        )
        for trial in trials
    ]


def told(study: Study) -> list[Any]:
    """Return what Optuna knows, likewise."""
    trials = study.optuna().trials
    return [
        (t.state, t.values, t.params, PROMOTED in t.user_attrs, sorted(t.constraints.values()))
        for t in trials
        if t.state is not optuna.trial.TrialState.FAIL
    ]


def all_of(study: Study) -> Any:
    """Return what kills must not change."""
    trials = [trial for trial in study.trials() if trial.state != "interrupted"]
    place = {trial.number: index for index, trial in enumerate(trials)}
    repeats = [
        (place[r.number], r.repeat, r.state, r.seed, r.accuracy, [epoch.val_loss for epoch in r.curve])
        for r in study.repeats()
    ]
    return essence(study), told(study), repeats
