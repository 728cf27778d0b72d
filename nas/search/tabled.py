"""A study's trainings as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from nas.architecture.space import DIMENSIONS
from nas.errors import StudyError
from nas.fronts.noise import over_seeds
from nas.records import Epoch, TrialRecord
from nas.search.study import Study
from nas.tables import EPOCH, NETWORK, TRAINING, ImageKind, Table


def table_of(study: Study, **facts: Any) -> Table:
    """Return the trainings of a study that has been run; those of halving's stopped trials are left out.

    Args:
        study: A study.
        **facts: What to keep with the table.

    Raises:
        StudyError: Nothing was trained yet.
    """
    curves, repeats = study.curves(), study.repeats()
    digests = {trial.number: trial.digest for trial in study.trials()}
    networks = {trial.digest: trial for trial in over_seeds(study.trials(), ())}  # each once, whoever trained it too
    if not networks:
        raise StudyError(f"study {study.name!r} has no trained network yet: run it with nas search")
    trained = sorted(networks.values(), key=lambda trial: trial.number)
    architecture = study.architecture(trained[0])
    rows = [row for trial in trained for row in _rows(trial, 0, trial.seed or 0, curves[trial.number])]
    for repeat in repeats:
        if repeat.state == "trained":
            rows += _rows(networks[digests[repeat.number]], repeat.repeat, repeat.seed, repeat.curve)
    kind = ImageKind(range(architecture.num_classes), architecture.in_channels)
    chosen = [name for name in DIMENSIONS if any(name in row for row in rows)]
    frame = pd.DataFrame(rows, columns=[*NETWORK, *chosen, *TRAINING, *EPOCH])
    return Table(study.config, kind, frame, {"device": trained[-1].device, **facts})


def _rows(trial: TrialRecord, repeat: int, seed: int, curve: Sequence[Epoch]) -> Iterator[dict[str, Any]]:
    network = {name: getattr(trial, name) for name in NETWORK} | dict(trial.choices)
    for epoch in curve:
        yield {**network, "repeat": repeat, "seed": seed, **asdict(epoch)}
