"""nas train: one network to the end, over several seeds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from nas.cli.cost import architecture_of
from nas.cli.options import AsJson, Device, Storage, print_json
from nas.errors import ConfigError, Interrupted, StudyError
from nas.processes.interrupts import interruptible

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from nas.architecture.spec import Architecture
    from nas.data.sources import DataConfig, Dataset
    from nas.data.types import ImageSet
    from nas.records import Epoch, TrialRecord
    from nas.search.study import Study
    from nas.training.recipe import Recipe
    from nas.training.repeat import SeedResult
    from nas.training.result import StepDone


class _Job(NamedTuple):
    """What is to be trained on what, and how."""

    architecture: Architecture
    dataset: Dataset
    test: ImageSet
    recipe: Recipe


def train(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE|STUDY#N", help="A preset, a search space, an architecture file, or a trial of a study."
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Images: digits, folder=PATH, cifar=PATH, idx=PATH, npz=PATH, hf=NAME, shapes=N, or a study's.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training images.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of trainings, each with its own seed.")] = 3,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to write.  [default: ./trained/NAME]")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe. You can repeat this option."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|STUDY#N",
            help="Weights to start from: of an export, of a trial, or torchvision's for a preset.",
        ),
    ] = None,
    width: Annotated[float | None, typer.Option(help="Width coefficient (search spaces only).")] = None,
    depth: Annotated[float | None, typer.Option(help="Depth coefficient (search spaces only).")] = None,
    resolution: Annotated[int | None, typer.Option(help="Resolution in pixels.")] = None,
    device: Device = "auto",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Train a network with several seeds. Each training looks at the test images once, at the end."""
    from nas.cli.progress import data_line, make_console
    from nas.models.device import describe_device, describe_versions, resolve_device

    chosen = resolve_device(device)
    console = make_console(stderr=as_json)
    with console.status("loading"):
        coefficients = {"width": width, "depth": depth, "resolution": resolution}
        job = _job(network, data, {k: v for k, v in coefficients.items() if v is not None}, setting, epochs, storage)
        folder = output or Path("trained") / (job.architecture.name.replace(" ", "-") or "network")
        if (folder / "result.json").exists():
            raise ConfigError(f"{folder}: already holds a finished training; choose another folder with -o")
        initial = None if weights is None else _initial_weights(weights, job.architecture, storage)
    for line in (data_line(job.dataset), *job.dataset.notes):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    try:
        results = _train(job, console, seeds=seeds, device=chosen, initial=initial, folder=folder)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; progress is kept in {folder}. Continue with the same command") from None
    document = _document(job, results, f"{describe_device(chosen)}; {describe_versions()}")
    _write(folder, job, results, document)
    if as_json:
        print_json(document)
    else:
        _print_results(console, job, results, folder)


def _train(
    job: _Job,
    console: Console,
    *,
    seeds: int,
    device: torch.device,
    initial: dict[str, torch.Tensor] | None,
    folder: Path,
) -> list[SeedResult]:
    """Train from every seed and show how far it is.

    Raises:
        KeyboardInterrupt: What was trained until then is in the folder.
    """
    from nas.cli.progress import TrainingProgress
    from nas.training.repeat import train_repeatedly

    progress = TrainingProgress(console, job.recipe, images=len(job.dataset.train), seeds=seeds)
    with interruptible() as check, progress:

        def show(repeat: int, epoch: Epoch) -> None:
            check()
            progress.epoch(repeat, epoch)

        def step(repeat: int, done: StepDone) -> None:
            check()
            progress.step(repeat, done)

        return train_repeatedly(
            job.architecture,
            job.dataset,
            job.test,
            job.recipe,
            repeats=seeds,
            device=device,
            initial=initial,
            folder=folder,
            on_epoch=show,
            on_step=step,
            on_result=progress.result,
        )


def _print_results(console: Console, job: _Job, results: list[SeedResult], folder: Path) -> None:
    from nas.cli.tables.studies import seeds_table

    console.print(seeds_table(results, title=f"{job.architecture.name} on {job.dataset.name}", width=console.width))
    for line in (*_remarks(results), f"Weights and results are in {folder}"):
        console.print(line, markup=False, highlight=False)


def _remarks(results: list[SeedResult]) -> list[str]:
    """Return what held the training up."""
    from nas.training.clock import TOO_LARGE

    lines = []
    share = max(result.data_share for result in results)
    if share > TOO_LARGE:
        text = f"Preparing batches took {100 * share:.0f} % of the step time"
        lines.append(f"{text}: augmentation or reading slows training down")
    sizes = [result.micro_batch for result in results if result.micro_batch is not None]
    if sizes:
        lines.append(f"There was not enough memory for whole batches: steps took at most {min(sizes)} images at once")
    return lines


def _job(
    network: str,
    data: str | None,
    coefficients: dict[str, Any],
    settings: list[str] | None,
    epochs: int | None,
    storage: str | None,
) -> _Job:
    from nas.data.sources import load_data, load_test
    from nas.training.recipe import Recipe

    source, recipe = (None, Recipe()) if data is None else _data_and_recipe(data, storage)
    architecture, dataset = None, None
    if "#" in network:
        if coefficients:
            raise ConfigError(f"--{next(iter(coefficients))} does not apply: {network} is a trial of a study")
        with _trial(network, storage) as (opened, trial):
            architecture = opened.architecture(trial)
            dataset = opened.verified() if source is None else None
        source, recipe = (opened.config.data, opened.config.recipe) if source is None else (source, recipe)
    if source is None:
        raise ConfigError("--data is missing: give digits, folder=PATH, ... or a study")
    dataset = load_data(source) if dataset is None else dataset
    recipe = _changed(recipe.reopened(len(dataset.train)), settings or [], epochs)
    if architecture is None:
        given = {**coefficients, "classes": len(dataset.classes), "channels": dataset.channels}
        is_file = Path(network).suffix == ".json"
        architecture = architecture_of(network, coefficients if is_file else given)
    fits = (architecture.num_classes, architecture.in_channels) == (len(dataset.classes), dataset.channels)
    if not fits:
        raise StudyError(
            f"{network} has {architecture.num_classes} classes and {architecture.in_channels} channels, but"
            f" {dataset.name} has {len(dataset.classes)} and {dataset.channels}"
        )
    return _Job(architecture, dataset, load_test(source), recipe)


@contextmanager
def _trial(text: str, storage: str | None) -> Iterator[tuple[Study, TrialRecord]]:
    """Open the study that ``STUDY#N`` names, and give it and the trial."""
    from nas.export.bundle import choose_trial
    from nas.search.study import open_study

    study, _, number = text.rpartition("#")
    if not number.isdecimal():
        raise ConfigError(f"{text}: write STUDY#N with the number of a trial, for example digits#3")
    with open_study(study, storage=storage) as opened:
        yield opened, choose_trial(opened, number=int(number))


def _initial_weights(text: str, architecture: Architecture, storage: str | None) -> dict[str, torch.Tensor]:
    """Read what ``--weights`` names: a file, or that of a trial."""
    from nas.training.repeat import read_initial_weights

    if "#" not in text or Path(text).exists():
        return read_initial_weights(Path(text), architecture)
    with _trial(text, storage) as (opened, trial):
        path = opened.weights(trial)
    if not path.is_file():
        raise StudyError(f"{path}: no such file; the weights of {text} were pruned, or are on the machine that ran it")
    return read_initial_weights(path, architecture)


def _data_and_recipe(text: str, storage: str | None) -> tuple[DataConfig, Recipe]:
    """Return the images that ``--data`` names, and how to train on them: as the study says, or by default."""
    from nas.data.sources import SOURCES, DataConfig
    from nas.schema import did_you_mean, validate
    from nas.search.study import find_study
    from nas.training.recipe import Recipe

    key, equals, value = text.partition("=")
    if equals:
        if key not in SOURCES:
            raise ConfigError(f"--data: unknown source {key!r}{did_you_mean(key, SOURCES)}; or give a study")
        return validate(DataConfig, {key: value}, source="--data"), Recipe()
    if text == "digits":
        return DataConfig(digits=True), Recipe()
    with find_study(text, storage=storage) as study:
        return study.as_begun().config.data, study.config.recipe


def _changed(recipe: Recipe, settings: list[str], epochs: int | None) -> Recipe:
    """Return a recipe with the fields that ``--set`` and ``--epochs`` name."""
    import yaml

    from nas.schema import validate

    changes: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set: {text!r} must be KEY=VALUE, for example optimizer=adamw")
        try:
            changes[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--set {key}: {value!r} is not a valid value") from None
    document = recipe.model_dump()
    lengths = {"epochs", "steps", "images"}
    if lengths & changes.keys():
        document = {key: value for key, value in document.items() if key not in lengths}
    return validate(type(recipe), {**document, **changes}, source="--set")


def _document(job: _Job, results: list[SeedResult], hardware: str) -> dict[str, Any]:
    from dataclasses import asdict

    from nas.architecture.cost import count_cost
    from nas.training.repeat import mean_and_std

    figures = {
        "val_accuracy": [result.val_accuracy for result in results],
        "test_accuracy": [result.test.accuracy for result in results],
        "test_top5": [result.test.top5 for result in results],
        "train_seconds": [result.train_seconds for result in results],
        "images_per_second": [result.images_per_second for result in results],
        "data_share": [result.data_share for result in results],
    }
    return {
        "network": job.architecture.name,
        "digest": job.architecture.digest,
        "flops": count_cost(job.architecture).flops,
        "data": job.dataset.name,
        "images": {"train": len(job.dataset.train), "validation": len(job.dataset.validation)},
        "classes": job.dataset.classes,
        "recipe": job.recipe.resolved(len(job.dataset.train)).model_dump(mode="json"),
        "hardware": hardware,
        "seeds": len(results),
        **{name: {**mean_and_std(values)._asdict(), "values": values} for name, values in figures.items()},
        "micro_batch": [result.micro_batch for result in results],
        "test_accuracy_by_class": [result.test.by_class for result in results],
        "test_confusion": [result.test.confusion for result in results],
        "curves": [[asdict(epoch) for epoch in result.curve] for result in results],
    }


def _write(folder: Path, job: _Job, results: list[SeedResult], document: dict[str, Any]) -> None:
    """Write weights, description and figures; the figures last, so that a folder that has them is whole."""
    from nas.architecture.serialization import architecture_to_json
    from nas.training.checkpoint import save_weights
    from nas.training.repeat import UNFINISHED

    try:
        for result in results:
            save_weights(result.model, folder / f"weights-{result.repeat}.safetensors")
        (folder / "architecture.json").write_text(architecture_to_json(job.architecture), encoding="utf-8")
        (folder / "result.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        (folder / "result.json").unlink(missing_ok=True)
        raise StudyError(
            f"{folder}: cannot be written: {error.strerror}; the checkpoints are kept, so running the same command"
            " again needs no training"
        ) from None
    for result in results:
        (folder / UNFINISHED.format(result.repeat)).unlink(missing_ok=True)
