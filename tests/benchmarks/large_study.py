"""Claim: with 10,000 trials, ``nas status`` and ``nas front`` take 2 s of a core and 400 MB, going on 3 s and 700 MB.

The study is made up: its networks are real, its accuracies are drawn. A command is a process of its own; its memory is
the largest that was resident. Beside them is what importing the modules alone takes.

    python tests/benchmarks/large_study.py [TRIALS] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import sqlalchemy as sa
import yaml
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models

from nas.architecture.cost import count_cost
from nas.architecture.serialization import architecture_to_json
from nas.search.opening import find_study
from nas.search.proposals import architecture_of, distributions
from nas.search.storage.earlier import adopt_trainings
from nas.search.storage.optuna_study import ENDED
from nas.search.storage.packing import pack
from nas.search.storage.schema import ANSWER, EPOCH, NETWORK, REPEAT, TRIAL
from nas.search.study import Study

RUNS = 3
SEEDS = 40
"""Networks with two further trainings each."""
EPOCHS = 5
DOCUMENT: dict[str, Any] = {
    "name": "large",
    "data": {"digits": True},
    "budget": {"flops": {"max": "150M"}},
    "search": {
        "spaces": ["resnet_small", "efficientnet_small"],
        "width": {"min": 0.25, "max": 2.0},
        "depth": {"min": 0.25, "max": 2.0},
        "resolution": {"min": 8, "max": 24},
        "kernel": [3, 5],
        "activation": ["relu", "silu", "gelu"],
        "squeeze_excitation": [True, False],
        "trials": 10_000,
    },
    "recipe": {"epochs": EPOCHS, "batch_size": 64, "learning_rate": 0.2},
}


class Used(NamedTuple):
    """Seconds of a core, and bytes."""

    seconds: float
    memory: int


class Claim(NamedTuple):
    """What a command may use."""

    arguments: tuple[str, ...]
    seconds: float
    memory: int


CLAIMS = {
    "nas status": Claim(("status",), 2.0, 400_000_000),
    "nas front": Claim(("front",), 2.0, 400_000_000),
    "nas search --trials 0": Claim(("search", "--trials", "0"), 3.0, 700_000_000),
    "nas report": Claim(("report",), float("inf"), sys.maxsize),
}
IMPORTS = {
    "imports of status": "import nas.search.study",
    "imports of front": "import nas.analysis.findings, nas.cli.tables.studies",
    "imports of search": "import nas.search.run.start, nas.analysis.findings, nas.cli.progress",
    "imports of report": "import nas.report.page, nas.report.chapter, plotly.graph_objects",
}


def main() -> int:
    """Make the study, measure, print the figures, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", type=int, nargs="?", default=10_000)
    parser.add_argument("--keep", type=Path, help="folder in which the study stays, and is used again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = (arguments.keep or Path(folder)) / "large.yaml"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make_study(path, arguments.trials)
        print(f"{arguments.trials:,} trials; medians of {RUNS} runs, each a process of its own")
        failed = False
        for name, source in IMPORTS.items():
            used = measured([sys.executable, "-c", source], path.parent)
            print(f"      {name:24} {used.seconds:6.2f} s {used.memory / 1e6:6.0f} MB")
        for name, claim in CLAIMS.items():
            command, *rest = claim.arguments
            used = measured([sys.executable, "-m", "nas", command, path.name, *rest], path.parent)
            missed = used.seconds > claim.seconds or used.memory > claim.memory
            failed |= missed
            what = "FAIL:" if missed else "PASS:" if claim.memory < sys.maxsize else "     "
            print(f"{what} {name:24} {used.seconds:6.2f} s {used.memory / 1e6:6.0f} MB")
    return int(failed)


_LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
"""
"""A process counts the memory of the one that started it as its own; this one is small."""


def measured(command: list[str], folder: Path) -> Used:
    """Return the median of what a command uses."""
    runs = list[Used]()
    for _ in range(RUNS):
        launched = [sys.executable, "-c", _LAUNCHER, *command]
        told = subprocess.run(launched, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
        status, seconds, memory = told.split()
        if status != "0":
            raise subprocess.CalledProcessError(int(status), command)
        runs.append(Used(float(seconds), int(memory)))
    return Used(*(statistics.median(values) for values in zip(*runs, strict=True)))


def make_study(path: Path, trials: int) -> Study:
    """Write a study of so many trials, as if it had been searched, and return it."""
    path.write_text(yaml.safe_dump({**DOCUMENT, "search": {**DOCUMENT["search"], "trials": trials}}))
    study = find_study(path)
    study.directory.mkdir()
    study.database.prepare()
    labels = study.dataset.validation.labels
    study.store.register(study.config, images=study.dataset.identity, val_labels=labels)
    trial_of_optuna = models.StudyModel.__table__
    optunas = study.optuna(optuna.samplers.RandomSampler())
    with study.database.engine.connect() as connection:
        study_id = connection.execute(sa.select(trial_of_optuna.c.study_id)).scalar_one()
    rows = dict[sa.Table, list[dict[str, Any]]]()
    for table, row in _rows(study, np.asarray(labels), trials, study_id):
        rows.setdefault(table, []).append(row)
    with study.database.engine.begin() as connection:
        for table, values in rows.items():
            connection.execute(table.insert(), values)
    adopt_trainings(study.database.engine, study.name)
    assert len(optunas.get_trials(deepcopy=False)) == trials
    return study


def _rows(study: Study, labels: Any, trials: int, study_id: int) -> Iterator[tuple[sa.Table, dict[str, Any]]]:
    """Yield the rows of all trials, ours and Optuna's."""
    generator, known, counted = np.random.default_rng(0), dict[str, int](), set[str]()
    ranges, limit = distributions(study.config.search), study.config.budget.flops
    assert limit is not None and limit.max is not None
    began, images = datetime(2026, 1, 1), len(labels)
    for number in range(trials):
        chosen = _draw(ranges, generator)
        network = architecture_of(study.config.search, chosen, study.dataset)
        cost, digest = count_cost(network), network.digest
        merit = 0.6 + 0.03 * np.log2(cost.flops / 1e5) + 0.02 * np.sin(int(digest[:6], 16))
        right = generator.random(images) < merit + 0.01 * generator.standard_normal()
        accuracy, ended = float(right.mean()), began + timedelta(seconds=40 * number + 30)
        state = "infeasible" if cost.flops > limit.max else "repeated" if digest in known else "trained"
        if digest not in counted:
            counted.add(digest)
            yield NETWORK, {"digest": digest, "architecture": architecture_to_json(network), **_costs(cost)}
        trained = state == "trained"
        yield (
            TRIAL,
            {
                "study": study.name,
                "number": number,
                "digest": digest,
                "space": chosen["space"],
                "state": state,
                **{key: chosen[key] for key in ("width", "depth", "resolution")},
                "choices": json.dumps({key: chosen[key] for key in ("kernel", "activation", "squeeze_excitation")}),
                "seed": number if trained else None,
                "device": "CPU" if trained else None,
                "accuracy": accuracy if trained else None,
                "train_seconds": 30.0 if trained else None,
                "repeat_of": known.get(digest) if state == "repeated" else None,
                "data_share": 0.01 if trained else None,
                "epochs": EPOCHS if trained else None,
            },
        )
        if trained:
            known[digest] = number
            yield (
                ANSWER,
                {"study": study.name, "number": number, "repeat": 0, "answers": pack(np.where(right, labels, 0))},
            )
            for epoch in range(1, EPOCHS + 1):
                yield EPOCH, _epoch(study.name, number, epoch, accuracy)
            if len(known) <= SEEDS:
                for repeat in (1, 2):
                    right = generator.random(images) < merit
                    further = {"study": study.name, "number": number, "repeat": repeat}
                    values = {
                        "state": "trained",
                        "seed": repeat,
                        "accuracy": float(right.mean()),
                        "train_seconds": 30.0,
                    }
                    yield REPEAT, {**further, **values}
                    yield ANSWER, {**further, "answers": pack(np.where(right, labels, 0))}
        yield from _optunas(study_id, number, chosen, ranges, ended, [accuracy, float(cost.flops)] if trained else None)


def _draw(ranges: Any, generator: np.random.Generator) -> dict[str, Any]:
    """Draw a proposal."""
    chosen = dict[str, Any]()
    for name, allowed in ranges.items():
        if hasattr(allowed, "choices"):
            chosen[name] = allowed.choices[generator.integers(len(allowed.choices))]
        elif name == "resolution":
            chosen[name] = int(generator.integers(allowed.low, allowed.high + 1))
        else:
            chosen[name] = float(generator.uniform(allowed.low, allowed.high))
    return chosen


def _costs(cost: Any) -> dict[str, int]:
    return {"flops": cost.flops, "params": cost.params, "activations": cost.activations}


def _epoch(study: str, number: int, epoch: int, accuracy: float) -> dict[str, Any]:
    share = epoch / EPOCHS
    losses = {"train_loss": 2.3 - share, "val_loss": 2.3 - share}
    accuracies = {"train_accuracy": accuracy * share, "val_accuracy": accuracy * share}
    return {"study": study, "number": number, "epoch": epoch, "seconds": 6.0, **losses, **accuracies}


def _optunas(
    study_id: int, number: int, chosen: dict[str, Any], ranges: Any, ended: datetime, values: list[float] | None
) -> Iterator[tuple[sa.Table, dict[str, Any]]]:
    """Yield Optuna's rows of a trial."""
    trial_id, tables = number + 1, models.BaseModel.metadata.tables
    times = {"datetime_start": ended - timedelta(seconds=30), "datetime_complete": ended}
    state = optuna.trial.TrialState.PRUNED if values is None else optuna.trial.TrialState.COMPLETE
    yield tables["trials"], {"trial_id": trial_id, "number": number, "study_id": study_id, "state": state, **times}
    for name, allowed in ranges.items():
        value = {
            "param_value": allowed.to_internal_repr(chosen[name]),
            "distribution_json": distribution_to_json(allowed),
        }
        yield tables["trial_params"], {"trial_id": trial_id, "param_name": name, **value}
    noted = {"key": ENDED, "value_json": repr(ended.timestamp())}
    yield tables["trial_user_attributes"], {"trial_id": trial_id, **noted}
    excess = "-0.1" if values is not None else "0.1"
    constraint = {"key": "constraints:flops_max", "value_json": excess}
    yield tables["trial_system_attributes"], {"trial_id": trial_id, **constraint}
    for objective, value in enumerate(values or []):
        finite = models.TrialValueModel.TrialValueType.FINITE
        yield (
            tables["trial_values"],
            {"trial_id": trial_id, "objective": objective, "value": value, "value_type": finite},
        )


if __name__ == "__main__":
    sys.exit(main())
