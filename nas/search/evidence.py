"""The trainings that a study, its like in the same database, or a table has, as evidence for the scaling lab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from nas.architecture.space import DIMENSIONS
from nas.errors import StudyError
from nas.files import is_table
from nas.fronts.noise import fewest_images
from nas.scaling.evidence import Evidence, TrainedNetwork, pooled
from nas.search.alike import alike, circumstances_of
from nas.search.opening import open_study
from nas.search.study import Study
from nas.search.tabled import table_of
from nas.tables import Table, read_table


def gather(source: str | Path | Study, *, storage: str | None = None) -> Evidence:
    """Return the trainings of a table's file, or of a study.

    Args:
        source: A file as ``nas table build`` writes it (``.csv`` or ``.csv.gz``), or a study that has been run.
        storage: URL of the study's database where it is not in its folder.

    Raises:
        StudyError: There is no such study or table, or nothing was trained yet.
        ConfigError: The study file is missing or wrong.
    """
    if isinstance(source, str | Path) and is_table(source):
        if storage is not None:
            raise StudyError(f"storage does not apply: {source} is a table")
        return evidence_of(read_table(Path(source)), source=Path(source).name)
    with open_study(source, storage=storage) as study:
        return evidence_for(study)


def evidence_for(study: Study) -> Evidence:
    """Return the trainings of an opened study and of its like in the same database.

    Raises:
        StudyError: Nothing was trained yet.
    """
    with study.database.errors():
        known = (study, *alike(study)) if study.was_run() else ()
    trained = [each for each in known if any(trial.state == "trained" for trial in each.trials())]
    if not trained:
        raise StudyError(f"study {study.name!r} has no trained network yet: run it with nas search")
    return pooled([evidence_of(table_of(each, val_images=each.val_images()), source=each.name) for each in trained])


def evidence_of(table: Table, *, source: str) -> Evidence:
    """Return the trainings of a table."""
    last = table.frame.loc[table.frame.groupby(["digest", "repeat"])["epoch"].idxmax()]
    seconds = table.frame.groupby(["digest", "repeat"])["seconds"].sum().groupby("digest").mean()
    networks = [_network(str(digest), rows, seconds=float(seconds[digest])) for digest, rows in last.groupby("digest")]
    return Evidence(
        source=source,
        networks=(),
        circumstances=circumstances_of(table.study),
        train_images=table.facts.get("train_images"),
        val_images=table.facts.get("val_images") or fewest_images(last["val_accuracy"]),
        epochs=table.study.recipe.epochs,
    ).only(networks)


def _network(digest: str, rows: pd.DataFrame, *, seconds: float) -> TrainedNetwork:
    first = rows.iloc[0]
    return TrainedNetwork(
        digest=digest,
        space=str(first["space"]),
        width=float(first["width"]),
        depth=float(first["depth"]),
        resolution=int(first["resolution"]),
        flops=int(first["flops"]),
        params=int(first["params"]),
        activations=int(first["activations"]),
        accuracies=dict(zip(map(int, rows["seed"]), map(float, rows["val_accuracy"]), strict=True)),
        seconds=seconds,
        choices={name: _plain(first[name]) for name in DIMENSIONS if name in rows.columns and pd.notna(first[name])},
    )


def _plain(value: Any) -> Any:
    """Return a value of a frame as Python has it."""
    return value.item() if hasattr(value, "item") else value
