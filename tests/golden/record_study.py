"""Record a study and how it goes on, for a test that continues it under later code.

Writes beside this script ``study.sql.gz``, the database of a study that was begun, interrupted and continued, as SQL,
and ``study.json``: the study's definition, the versions it was recorded with, what the study then tells (``begun``) and
what it tells after some more trials (``continued``). Weights and checkpoints are not kept: a paused training whose
checkpoint is lost begins again and comes to the same end.

Recorded with the code before studies were opened, run and stored in rooms of their own (commit 68e9dff), torch 2.13.0
(CPU), optuna 5.0.0 and Python 3.11. Its learning rate is low, so that digests and accuracies are the same whether
oneDNN and ATen are held to SSE4.1, AVX2 or AVX-512 (``ONEDNN_MAX_CPU_ISA``, ``ATEN_CPU_CAPABILITY``). To record anew,
with a checkout of the code that a study is to be continued from::

    PYTHONPATH=path/to/checkout python tests/golden/record_study.py
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas import Study

DATABASE = Path(__file__).with_name("study.sql.gz")
RECORD = Path(__file__).with_name("study.json")
FURTHER = 6
"""Trials by which it is continued."""

DEFINITION: dict[str, Any] = {
    "name": "begun",
    "data": {"digits": True, "limit": 400},
    "budget": {"flops": {"max": "300k"}},
    "search": {
        "spaces": ["resnet_small", "efficientnet_small"],
        "width": {"min": 0.25, "max": 1.0, "step": 0.125},
        "depth": {"min": 0.25, "max": 1.0, "step": 0.25},
        "resolution": 8,
        "squeeze_excitation": [True, False],
        "trials": 12,
        "startup_trials": 4,
        "sampler": "pareto",
        "halving": {"first": 1, "factor": 2},
        "replicates": {"seeds": 2, "of": "front", "networks": 2},
        "seed": 7,
    },
    "recipe": {"epochs": 4, "batch_size": 16, "learning_rate": 0.02},
}
KEPT = (
    *("number", "state", "digest", "space", "width", "depth", "choices", "flops", "params"),
    *("seed", "accuracy", "epochs", "repeat_of"),
)


def told(study: Study) -> dict[str, Any]:
    """Return what a study tells that no time and no device has a part in, as JSON gives it back."""
    from nas import pareto_front

    curves = study.curves()
    trials = [
        {key: value for key, value in asdict(trial).items() if key in KEPT}
        | {"curve": [[epoch.val_loss, epoch.val_accuracy] for epoch in curves.get(trial.number, [])]}
        for trial in study.trials()
    ]
    repeats = [
        {key: getattr(repeat, key) for key in ("number", "repeat", "state", "seed", "accuracy")}
        | {"curve": [[epoch.val_loss, epoch.val_accuracy] for epoch in repeat.curve]}
        for repeat in study.repeats()
    ]
    front = [trial.digest for trial in pareto_front(study)]
    return json.loads(json.dumps({"trials": trials, "repeats": repeats, "front": front}))


def unpack(folder: Path) -> Path:
    """Lay the recorded study into a folder and return its study file."""
    (folder / "begun").mkdir()
    with closing(sqlite3.connect(folder / "begun" / "study.db")) as database:
        database.executescript(gzip.decompress(DATABASE.read_bytes()).decode())
    path = folder / "begun.yaml"
    path.write_text(json.dumps(DEFINITION))  # which is YAML too
    return path


def begin(path: Path) -> Study:
    """Run the study's first trials, one of them interrupted."""
    from nas import run_study

    def interrupt(event: Any) -> None:
        if getattr(event, "epoch", None) is not None and event.trial.number == 2:
            raise KeyboardInterrupt

    try:
        run_study(path, trials=6, on_event=interrupt)
    except KeyboardInterrupt:
        return run_study(path, trials=4)
    raise AssertionError("nothing was interrupted")


def main() -> None:
    """Record it."""
    import optuna
    import torch

    from nas import run_study

    torch.set_num_threads(1)
    socket.gethostname = lambda: "recorder"  # trials note whose process they are of
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        path = Path("begun.yaml")
        path.write_text(json.dumps(DEFINITION))
        begun = told(begin(path))
        with closing(sqlite3.connect("begun/study.db")) as database:
            DATABASE.write_bytes(gzip.compress("\n".join(database.iterdump()).encode(), mtime=0))
        Path("again").mkdir()
        continued = told(run_study(unpack(Path("again")), trials=FURTHER))
    versions = {"torch": torch.__version__, "optuna": optuna.__version__}
    document = {"versions": versions, "definition": DEFINITION, "begun": begun, "continued": continued}
    RECORD.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
