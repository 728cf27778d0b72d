"""The teachers of a study: found by name, and written down by what they are."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from nas.config.study import StudyConfig
from nas.data.sources import Dataset
from nas.errors import ConfigError, StudyError, UserError
from nas.search.opening import open_study
from nas.search.storage.database import Database
from nas.search.study import Study
from nas.training.teacher_folder import digests_of, facts_of, write_teacher
from nas.training.teachers import require_teachers

FOLDER = "teachers"
"""Folder of a study for teachers that are trials of other studies, so that it does not depend on those."""


def with_teachers(config: StudyConfig, dataset: Dataset, database: Database, directory: Path) -> StudyConfig:
    """Return a definition that tells where its teachers lie, and the digests of their weights.

    Args:
        config: A definition; one that was written down before stays as it is.
        dataset: Whose classes the teachers must know.
        database: Of the study; a study that was not run in its own folder is looked for there.
        directory: Of the study.

    Raises:
        ConfigError: A teacher cannot be found or read, or knows other classes.
    """
    section = config.recipe.distillation
    if section is None:
        return config
    try:
        if not section.digests:
            shared = None if database.url == Database.in_folder(directory).url else database.url
            places = tuple(_place(name, shared, directory / FOLDER) for name in section.teacher)
            section = digests_of(section.model_copy(update={"folders": places}))
        require_teachers(section, dataset)
    except UserError as error:
        raise ConfigError(f"recipe.distillation: {error}") from None
    return config.model_copy(update={"recipe": config.recipe.model_copy(update={"distillation": section})})


def _place(name: str, shared: str | None, folder: Path) -> str:
    """Return the absolute folder of a teacher; a trial's is written below ``folder``."""
    study, hash_sign, number = name.rpartition("#")
    if not hash_sign or Path(name).exists():
        return str(Path(name).absolute())
    if not number.isdecimal():
        raise ConfigError(f"{name}: write STUDY#N with the number of a trial, for example digits#3")
    target = folder / f"{Path(study).name}-{number}"
    with _opened(study, shared) as opened:
        _write_trial(opened, int(number), target)
    return str(target.absolute())


def _opened(study: str, shared: str | None) -> Study:
    """Open a study: where it lies, else in the database that the new study is in."""
    try:
        return open_study(study)
    except UserError:
        if shared is None:
            raise
        return open_study(study, storage=shared)


def _write_trial(study: Study, number: int, target: Path) -> None:
    trial = next((trial for trial in study.trials() if trial.number == number), None)
    if trial is None or trial.state not in ("trained", "repeated"):
        raise StudyError(f"trial {number} of {study.name!r} {'does not exist' if trial is None else 'was not trained'}")
    path = study.weights(trial)
    try:
        weights = load_file(path)
    except (OSError, SafetensorError):
        raise StudyError(
            f"{path}: cannot be read; the weights of trial {number} were pruned, or are on the machine that ran it"
        ) from None
    write_teacher(target, study.architecture(trial), weights, facts_of(study.verified()))
