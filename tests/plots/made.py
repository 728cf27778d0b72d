"""Studies made in an instant: nothing is trained, no database is opened, and what is true of them is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.config.study import StudyConfig
from nas.fronts.growth import Ended, recent_growth
from nas.fronts.judged import judge
from nas.models.backends import Latency
from nas.records import Epoch, Reference, Repeat, TrialRecord, Variant
from nas.search.storage.database import Database
from nas.search.study import Study

EPOCHS = 12
SPACES = ["resnet_small", "efficientnet_small"]
DOCUMENT: dict[str, Any] = {
    "name": "made",
    "data": {"digits": True},
    "budget": {"flops": {"max": "20M"}},
    "search": {
        "spaces": SPACES,
        "width": {"min": 0.25, "max": 2.0},
        "depth": {"min": 0.25, "max": 2.0},
        "resolution": {"min": 8, "max": 32},
        "kernel": [3, 5],
        "trials": 40,
        "halving": {"first": 2, "factor": 2},
    },
    "recipe": {"epochs": EPOCHS, "batch_size": 64},
}
NOISE = 0.004
DEEPER = 0.02
"""What a doubling of depth brings at equal FLOPs; of width it takes as much."""


def made_study(count: int = 40, *, seed: int = 0, seeds: int = 3, name: str = "made", **changes: Any) -> Study:
    """Return a study of so many trials: trained, stopped, infeasible, failed, some from several seeds."""
    generator = np.random.default_rng(seed)
    trials = [_trial(number, generator) for number in range(count)]
    trained = [trial for trial in trials if trial.state == "trained"]
    repeats = [
        _repeat(trial, repeat, generator) for trial in trained[: max(5, count // 40)] for repeat in range(1, seeds)
    ]
    return study_of(trials, repeats, name=name, **changes)


def study_of(
    trials: Sequence[TrialRecord],
    repeats: Sequence[Repeat] = (),
    *,
    name: str = "made",
    references: Sequence[Reference] = (),
    variants: Sequence[Variant] = (),
    latencies: dict[str, list[Latency]] | None = None,
    document: dict[str, Any] | None = None,
) -> Study:
    """Return a study that has these trials."""
    config = StudyConfig.model_validate({**DOCUMENT, **(document or {}), "name": name})
    study = Study(config, Path(name), Database("sqlite:///nowhere.db"))
    ended = [_ended(trial) for trial in trials if trial.epochs]
    curves = {trial.number: _curve(trial) for trial in trials if trial.epochs}
    answers: dict[str, Any] = {
        "trials": list(trials),
        "repeats": list(repeats),
        "ended": ended,
        "judgement": judge(trials, repeats, val_images=2000),
        "growth": recent_growth(ended, startup_trials=4, noise=NOISE) if ended else None,
        "references": list(references),
        "variants": list(variants),
        "test_looks": [],
        "scaling_names": [],
    }
    for question, answer in answers.items():
        study.__dict__[question] = lambda answer=answer: answer
    study.__dict__["curves"] = lambda numbers=None: curves if numbers is None else {n: curves[n] for n in numbers}
    study.__dict__["latencies"] = lambda *, purpose="front": (latencies or {}) if purpose == "front" else {}
    return study


def only(state: str, count: int = 6) -> Study:
    """Return a study all of whose trials have come to the same."""
    trials = [trial for trial in made_study(60 * count).trials() if trial.state == state][:count]
    return study_of([replace(trial, number=number) for number, trial in enumerate(trials)])


def all_equal(count: int = 8) -> Study:
    """Return a study of different networks that are the same in all that is measured."""
    first = next(trial for trial in made_study().trials() if trial.state == "trained")
    return study_of([replace(first, number=number, digest=f"equal{number}") for number in range(count)])


DEGENERATE = {
    "never run": lambda: study_of([]),
    "one trial": lambda: only("trained", 1),
    "two trials": lambda: only("trained", 2),
    "all infeasible": lambda: only("infeasible"),
    "all stopped": lambda: only("stopped"),
    "all failed": lambda: only("failed"),
    "all equal": all_equal,
    "one seed": lambda: made_study(seeds=1),
}


def latency(trial: TrialRecord) -> Latency:
    """Return a latency that grows with the FLOPs, but not quite."""
    median = trial.flops / 4e6 + (3.0 if trial.number % 3 == 0 else 0.5)
    return Latency("eager", "a CPU", 1, 1, median, 0.96 * median, 1.07 * median, 50, None, "torch 2")


def measured_study() -> Study:
    """Return a study whose networks all have a latency."""
    study = made_study()
    return study_of(
        study.trials(), study.repeats(), latencies={trial.digest: [latency(trial)] for trial in study.trials()}
    )


def _trial(number: int, generator: np.random.Generator) -> TrialRecord:
    width, depth = (float(value) for value in 2 ** generator.uniform(-2, 1, 2))
    resolution, space = int(generator.integers(2, 9)) * 4, SPACES[int(generator.integers(2))]
    flops = int(3e6 * width**2 * depth * (resolution / 16) ** 2 * (0.5 if space == SPACES[1] else 1)) + number
    merit = DEEPER * (np.log2(depth) - np.log2(width)) * 0.5
    truth = 0.85 + 0.025 * np.log2(flops / 3e6) + merit + (0.01 if space == SPACES[1] else 0)
    draw = generator.random()
    state = "infeasible" if flops > 20e6 else "failed" if draw < 0.04 else "diverged" if draw < 0.07 else "trained"
    if state == "trained" and draw > 0.75:
        state = "stopped"
    epochs = {"diverged": 3, "stopped": 2 if draw > 0.85 else 4, "trained": EPOCHS}.get(state)
    reached = None if epochs is None else float(np.clip(truth + NOISE * generator.normal(), 0.05, 0.999))
    errors = {"infeasible": f"flops {flops / 1e6:.0f}M", "failed": "out of <memory>", "diverged": "the loss was nan"}
    return TrialRecord(
        number=number,
        space=space,
        width=width,
        depth=depth,
        resolution=resolution,
        digest=f"network{number}",
        flops=flops,
        params=int(2e5 * width**2 * depth),
        activations=flops // 20,
        state=state,
        seed=number,
        device="a CPU",
        accuracy=reached if state in ("trained", "stopped") else None,
        train_seconds=None if epochs is None else 1e-6 * flops * epochs / EPOCHS * float(2 ** generator.normal(0, 0.2)),
        choices={"kernel": int(generator.choice([3, 5]))},
        epochs=epochs,
        error=errors.get(state),
    )


def _repeat(trial: TrialRecord, repeat: int, generator: np.random.Generator) -> Repeat:
    accuracy = float(np.clip((trial.accuracy or 0) + 1.4 * NOISE * generator.normal(), 0, 1))
    return Repeat(trial.number, repeat, "trained", repeat, "a CPU", accuracy, trial.train_seconds)


def _curve(trial: TrialRecord) -> list[Epoch]:
    last = trial.accuracy or 0.3
    shares = [1 - 0.5 * 0.6**epoch for epoch in range(1, (trial.epochs or 0) + 1)]
    seconds = (trial.train_seconds or 0) / EPOCHS
    return [Epoch(n, 1.0, last * s, 1.0, last * s / shares[-1], seconds) for n, s in enumerate(shares, 1)]


def _ended(trial: TrialRecord) -> Ended:
    accuracy = trial.accuracy if trial.state == "trained" else None
    return Ended(trial.number, trial.flops, trial.epochs or 0, trial.train_seconds or 0.0, accuracy)
