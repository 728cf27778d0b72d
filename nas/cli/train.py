"""nas train: one network to the end, over several seeds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.job import Job, initial_weights, make_job, named_study
from nas.cli.options import AsJson, Device, Storage, command_line, print_json, refuse_typed
from nas.cli.seeds import SeedsTrained, remarks, train_seeds
from nas.cli.teachers import ALONE, EQUAL_COMPUTE, Wanted, length_of, twin_figures, twins_of, with_teachers
from nas.errors import ConfigError, Interrupted, StudyError

if TYPE_CHECKING:
    from rich.console import Console

_ALONE = {ALONE: "alone, for as many epochs", EQUAL_COMPUTE: "alone, for as much compute"}


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
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUNDLE|FOLDER|STUDY#N",
            help="Trained network to learn from besides the labels: an export, what nas train wrote, or a trial. You"
            " can repeat this option; several are followed in the mean of their probabilities.",
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of the teacher's and the network's logits.  [default: 4]")
    ] = None,
    teacher_weight: Annotated[
        float | None, typer.Option(help="Share of the teacher in the loss, at most 1.  [default: 0.9]")
    ] = None,
    twin: Annotated[
        bool,
        typer.Option("--twin", help="Also train it without its teacher: for as many epochs, and for as much compute."),
    ] = False,
    width: Annotated[float | None, typer.Option(help="Width coefficient (search spaces only).")] = None,
    depth: Annotated[float | None, typer.Option(help="Depth coefficient (search spaces only).")] = None,
    resolution: Annotated[int | None, typer.Option(help="Resolution in pixels.")] = None,
    device: Device = "auto",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Train a network with several seeds. Each training looks at the test images once, at the end."""
    from nas.cli.live.lines import data_line
    from nas.cli.progress import make_console
    from nas.models.device import describe_device, describe_versions, resolve_device

    names_study = "#" in f"{network}{weights}" or named_study(data, storage) is not None
    refuse_typed("--storage", unless=names_study, reason="no trial of a study is named, and no study as data")
    chosen = resolve_device(device)
    console = make_console(stderr=as_json)
    with console.status("loading"):
        coefficients = {"width": width, "depth": depth, "resolution": resolution}
        job = make_job(
            network, data, {k: v for k, v in coefficients.items() if v is not None}, setting, epochs, storage
        )
        folder = output or Path("trained") / (job.architecture.name.replace(" ", "-") or "network")
        if (folder / "result.json").exists():
            raise ConfigError(f"{folder}: already holds a finished training; choose another folder with -o")
        initial = None if weights is None else initial_weights(weights, job.architecture, storage)
        wanted = Wanted(teacher or [], temperature, teacher_weight, twin)
        job = with_teachers(job, wanted, storage=storage, folder=folder)
    twins, alone = twins_of(job) if twin else {}, dict[str, dict[str, Any]]()
    planned = [f"its twin {_ALONE[key]}: {length_of(lonely)['epochs']:.4g} epochs" for key, lonely in twins.items()]
    for line in (data_line(job.dataset), *job.notes, *planned):
        console.print(line, soft_wrap=True)
    try:
        trained = train_seeds(job, console, seeds=seeds, device=chosen, initial=initial, folder=folder)
        for key, lonely in twins.items():
            console.print(f"{_ALONE[key]}:")
            found = train_seeds(lonely, console, seeds=seeds, device=chosen, initial=initial, folder=folder / key)
            alone[key] = twin_figures(lonely, found.results)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; progress is kept in {folder}. Continue with the same command") from None
    document = _document(job, trained, f"{describe_device(chosen)}; {describe_versions()}")
    document |= {**(length_of(job) if twin else {}), **alone}
    _write(folder, job, trained, document)
    for key in alone:
        shutil.rmtree(folder / key, ignore_errors=True)  # checkpoints, whose figures are in the document
    typed = {"data": data, "epochs": epochs, "seeds": seeds, "weights": weights, "set": setting, **coefficients}
    typed |= {"teacher": teacher, "temperature": temperature, "teacher-weight": teacher_weight}
    kept = job.keep_reference(
        [result.val_accuracy for result in trained.results],
        epochs=len(trained.results[0].curve),
        pretrained=initial is not None,
        command=_command(network, typed),
    )
    if as_json:
        print_json({**document, "reference": kept})
    else:
        _print_results(console, job, trained, folder, kept, document)


def _command(network: str, options: dict[str, Any]) -> str:
    """Return the command that trains a network as it was, without where it keeps things."""
    words = [
        (f"--{name}", value)
        for name, given in options.items()
        for value in (given if isinstance(given, list) else [given])
        if value is not None
    ]
    return command_line("train", network, *(word for pair in words for word in pair))


def _print_results(
    console: Console, job: Job, trained: SeedsTrained, folder: Path, kept: str | None, document: dict[str, Any]
) -> None:
    from nas.cli.tables.studies import seeds_table
    from nas.cli.tables.twins import twins_table

    title = f"{job.architecture.name} on {job.dataset.name}"
    console.print(seeds_table(trained.results, title=title, width=console.width))
    if ALONE in document:
        twins = {text: document[key] for key, text in _ALONE.items()}
        console.print(twins_table({"with its teacher": document, **twins}, width=console.width))
    warning = job.warn_of_looks()
    lines = [
        *remarks(job, trained),
        *([] if warning is None else [f"{warning[0].upper()}{warning[1:]}"]),
        *([] if kept is None else [kept]),
    ]
    for line in (*lines, f"Weights and results are in {folder}"):
        console.print(line, soft_wrap=True)


def _document(job: Job, trained: SeedsTrained, hardware: str) -> dict[str, Any]:
    from dataclasses import asdict

    from nas.architecture.cost import count_cost
    from nas.export.trained import preprocessing_of
    from nas.training.repeat import mean_and_std

    results = trained.results
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
        "preprocessing": preprocessing_of(job.dataset, job.architecture.resolution),
        "recipe": job.recipe.resolved(len(job.dataset.train)).model_dump(mode="json"),
        "hardware": hardware,
        "seeds": len(results),
        "repeats": [result.repeat for result in results],
        "diverged": {str(repeat): reason for repeat, reason in trained.diverged.items()},
        "search_val_accuracy": None if job.selecting is None else job.selecting.accuracy,
        **{name: {**mean_and_std(values)._asdict(), "values": values} for name, values in figures.items()},
        "micro_batch": [result.micro_batch for result in results],
        "test_accuracy_by_class": [result.test.by_class for result in results],
        "test_confusion": [result.test.confusion for result in results],
        "curves": [[asdict(epoch) for epoch in result.curve] for result in results],
    }


def _write(folder: Path, job: Job, trained: SeedsTrained, document: dict[str, Any]) -> None:
    """Write weights, description and figures; the figures last, so that a folder that has them is whole."""
    from nas.architecture.serialization import architecture_to_json
    from nas.training.checkpoint import save_weights
    from nas.training.repeat import UNFINISHED

    try:
        for result in trained.results:
            save_weights(result.model, folder / f"weights-{result.repeat}.safetensors")
        (folder / "architecture.json").write_text(architecture_to_json(job.architecture), encoding="utf-8")
        (folder / "result.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        (folder / "result.json").unlink(missing_ok=True)
        raise StudyError(
            f"{folder}: cannot be written: {error.strerror}; the checkpoints are kept, so running the same command"
            " again needs no training"
        ) from None
    for repeat in (*document["repeats"], *trained.diverged):
        (folder / UNFINISHED.format(repeat)).unlink(missing_ok=True)
