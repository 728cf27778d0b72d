"""The Pareto front of accuracy against FLOPs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pandas as pd

from nas.architecture.space import DIMENSIONS
from nas.search.store import TrialRecord
from nas.search.study import Study


def pareto_front(study: Study) -> list[TrialRecord]:
    """Return the trained networks that no other beats: none is as accurate for fewer FLOPs; cheapest first."""
    return front_of(study.trials())


def front_of(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the front of any trials, cheapest first; those that were not trained take no part.

    Of several trials equal in both objectives the first stands for all.
    """
    trained = [(trial.flops, -trial.accuracy, trial) for trial in trials if trial.state == "trained" and trial.accuracy]
    front: list[TrialRecord] = []
    for _, _, trial in sorted(trained, key=lambda entry: (entry[0], entry[1], entry[2].number)):
        if not front or (trial.accuracy or 0) > (front[-1].accuracy or 0):
            front.append(trial)
    return front


def to_frame(trials: Iterable[TrialRecord]) -> pd.DataFrame:
    """Return trials as a table, one row each, columns named as the attributes of ``TrialRecord``.

    In place of ``choices`` stands a column for each dimension that some trial chose, named after it.
    """
    columns = [field.name for field in dataclasses.fields(TrialRecord) if field.name != "choices"]
    rows = [{**dataclasses.asdict(trial), **trial.choices} for trial in trials]
    chosen = [name for name in DIMENSIONS if any(name in row for row in rows)]
    frame = pd.DataFrame(rows, columns=[*columns, *chosen])
    whole = {name: "Int64" for name in ("kernel", "expansion", "cardinality") if name in chosen}
    return frame.astype(whole)
