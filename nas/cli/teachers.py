"""The teachers of nas train, and the twin that learns without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.cli.job import Job
from nas.cli.trial import named_trial
from nas.errors import ConfigError, StudyError

if TYPE_CHECKING:
    from nas.training.repeat import SeedResult

ALONE, EQUAL_COMPUTE = "alone", "alone_equal_compute"
"""Folders for the checkpoints of the twins while they are trained, and their keys in the results."""


class Wanted(NamedTuple):
    """What the command line says of teachers."""

    teachers: Sequence[str]
    temperature: float | None
    weight: float | None
    twin: bool


def with_teachers(job: Job, wanted: Wanted, *, storage: str | None, folder: Path) -> Job:
    """Return a job whose recipe has the teachers that the command line names.

    Args:
        job: Without them, or with those of its study, which the command line's replace.
        wanted: Names them.
        storage: URL of the database of studies that are named.
        folder: Takes teachers that are no bundle yet.

    Raises:
        ConfigError: An option has no teacher to apply to, or a value that is not allowed.
        WeightsError: A teacher cannot be read, or knows other classes.
    """
    from nas.schema import validate
    from nas.training.distillation import Distillation
    from nas.training.teacher_folder import digests_of
    from nas.training.teachers import asks_once, require_teachers

    named = {"--temperature": wanted.temperature, "--teacher-weight": wanted.weight}
    idle = [option for option, value in named.items() if value is not None]
    if not wanted.teachers:
        if idle:
            raise ConfigError(f"{idle[0]} needs a --teacher")
        if wanted.twin and job.recipe.distillation is None:
            raise ConfigError("--twin needs a --teacher: without one the network is trained alone anyway")
        return job
    folders = [trained_folder(text, storage, folder / f"teacher-{i}") for i, text in enumerate(wanted.teachers)]
    values = {"temperature": wanted.temperature, "weight": wanted.weight}
    given = {"teacher": folders, **{key: value for key, value in values.items() if value is not None}}
    section = digests_of(validate(Distillation, given, source="--teacher"))
    recipe = job.recipe.model_copy(update={"distillation": section})
    require_teachers(section, job.dataset)
    once = asks_once(recipe, job.dataset, job.architecture.resolution)
    when = "asked once for each image" if once else "asked in every step"
    text = f"{' and '.join(wanted.teachers)}, {when}; temperature {section.temperature:g}, weight {section.weight:g}"
    return job._replace(recipe=recipe, notes=(*job.notes, f"taught by {text}"))


def trained_folder(text: str, storage: str | None, target: Path) -> str:
    """Return the folder of a trained network; a trial, or what nas train wrote, is written to ``target``."""
    from safetensors.torch import load_file

    from nas.export.trained import is_training, trained_by_seeds
    from nas.training.teacher_folder import facts_of, write_teacher

    if is_training(text):
        trained = trained_by_seeds(Path(text))
        write_teacher(target, trained.architecture, trained.model.state_dict(), trained.preprocessing)
        return str(target)
    if "#" not in text or Path(text).exists():
        return text
    with named_trial(text, storage) as (study, trial):
        path = study.weights(trial)
        if not path.is_file():
            raise StudyError(
                f"{path}: no such file; the weights of {text} were pruned, or are on the machine that ran it"
            )
        write_teacher(target, study.architecture(trial), load_file(path), facts_of(study.verified()))
    return str(target)


def twins_of(job: Job) -> dict[str, Job]:
    """Return the same training without teachers: for as many epochs, and for as much compute."""
    from nas.training.compute import alone_for_equal_compute, training_compute

    compute = training_compute(job.architecture, job.recipe, job.dataset)
    return {
        ALONE: job._replace(recipe=job.recipe.model_copy(update={"distillation": None})),
        EQUAL_COMPUTE: job._replace(recipe=alone_for_equal_compute(job.recipe, compute)),
    }


def length_of(job: Job) -> dict[str, float]:
    """Return how long a training is, and the FLOPs that it takes."""
    from nas.training.compute import training_compute

    images = len(job.dataset.train)
    steps, steps_of_epoch = job.recipe.total_steps(images), images // job.recipe.step_images(images)
    compute = training_compute(job.architecture, job.recipe, job.dataset)
    return {"epochs": steps / steps_of_epoch, "training_flops": compute.total}


def twin_figures(job: Job, results: Sequence[SeedResult]) -> dict[str, Any]:
    """Return what a twin came to, as it is written beside the network's own figures."""
    from nas.training.repeat import mean_and_std

    figures = {
        "val_accuracy": [result.val_accuracy for result in results],
        "test_accuracy": [result.test.accuracy for result in results],
    }
    told = {name: {**mean_and_std(values)._asdict(), "values": values} for name, values in figures.items()}
    return {**told, **length_of(job)}
