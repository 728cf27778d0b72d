"""nas compress: a smaller or faster network out of a trained one, in one command."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from nas.cli.job import Job, changed_recipe, data_and_recipe, named_study
from nas.cli.options import AsJson, Device, Storage, command_line, print_json
from nas.cli.teachers import Wanted, with_teachers
from nas.cli.trial import named_trial
from nas.errors import ConfigError, Interrupted
from nas.processes.interrupts import interruptible

if TYPE_CHECKING:
    from rich.console import Console

    from nas.compress.finetune import Watch
    from nas.compress.parent import Images, Parent
    from nas.compress.workshop import Plan, Workshop
    from nas.export.formats import Parity
    from nas.records import Epoch, Variant
    from nas.training.recipe import Recipe
    from nas.training.result import StepDone

_ONLY_BITS = "without images only --weight-bits 8 or 4 is possible, and accuracy is not measured"


def compress(
    network: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE|FOLDER|STUDY#N", help="A trained network: an export, what nas train wrote, or a trial."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write, as nas export does.")],
    prune: Annotated[
        float | None, typer.Option(help="Share of the FLOPs to remove, such as 0.5; then the network is trained on.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Add model-int8.onnx: weights and feature maps of 8 bits, for speed.")
    ] = False,
    weight_bits: Annotated[
        int | None, typer.Option(help="Add an ONNX file whose weights have 8 or 4 bits, for size. Needs no images.")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY", help="Study whose images to use.  [default: the trial's, or what the bundle names]"
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="SOURCE", help="Images instead, as for nas train.")] = None,
    max_drop: Annotated[
        float, typer.Option(help="Most points of validation accuracy that may be lost; otherwise nothing is written.")
    ] = 1.0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Write it, marked, although it loses more or is no faster.")
    ] = False,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUNDLE|FOLDER|STUDY#N",
            help="Network to learn from, such as the unpruned one. You can repeat this option.",
        ),
    ] = None,
    criterion: Annotated[
        str, typer.Option(help="What channels are judged by: l1, l2, scale, share, share_times_channels or random.")
    ] = "l2",
    scope: Annotated[
        str, typer.Option(help="Remove the same share of every layer (uniform), or what matters least (global).")
    ] = "uniform",
    multiple: Annotated[int, typer.Option(min=1, help="Channels become multiples of this number.")] = 8,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes over the training images.  [default: 3 after pruning or with a teacher]"),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Number of trainings; the best on the validation images is taken.")
    ] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier bundle.")] = False,
    device: Device = "auto",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Prune a trained network, train it on, and quantise it; each step is optional.

    The result is a bundle, as nas export writes it. It is refused if it loses accuracy or is no faster on this machine.
    (nas prune is something else: it deletes files of a study.)
    """
    from nas.cli.progress import make_console
    from nas.compress.chain import expectations
    from nas.compress.workshop import Plan, Workshop, require_steps
    from nas.export.bundle import Options, require_writable
    from nas.models.device import resolve_device
    from nas.training.recipe import Recipe

    if study is not None and data is not None:
        raise ConfigError("--study and --data cannot be used together")
    if weight_bits not in (None, 4, 8):
        raise ConfigError(f"--weight-bits must be 8 or 4, but is {weight_bits}")
    trains = prune is not None or bool(teacher) or epochs is not None
    plan = Plan(
        prune=prune,
        criterion=criterion,  # type: ignore[arg-type]  # a wrong one is refused where channels are chosen
        scope=scope,  # type: ignore[arg-type]
        multiple=multiple,
        recipe=Recipe() if trains else None,
        seeds=seeds,
        int8=int8,
        weight_bits=weight_bits,  # type: ignore[arg-type]  # one of them, as was asked above
        max_drop=max_drop,
        keep=keep,
    )
    require_steps(plan)
    require_writable(output, Options(force=force))
    chosen, console = resolve_device(device), make_console(stderr=as_json)
    place = output.resolve()
    work = place.with_name(f".{place.name}.unfinished")
    typed: dict[str, Any] = {"prune": prune, "teacher": teacher, "epochs": epochs, "int8": int8, "keep": keep}
    typed |= {"weight-bits": weight_bits, **{name.replace("_", "-"): getattr(plan, name) for name in plan.changed}}
    with ExitStack() as opened, _working(work):
        with console.status("loading"):
            parent, found = _parent_and_images(network, study or data, storage, opened)
            images, notes = _usable(parent, found, needed=trains or int8)
            if trains and images is not None:
                recipe, told = _recipe(parent, images, epochs, teacher or [], storage, work)
                plan, notes = plan._replace(recipe=recipe), [*notes, *told]
        for line in (*notes, *expectations(parent.architecture, plan)):
            console.print(line, soft_wrap=True)
        with _watched(console, plan, images) as watch:
            shop = Workshop(parent, images, plan, work, chosen, watch)
            made = _made(shop, output, command=_command(parent.typed, typed), force=force)
        _show(console, shop, made, output, as_json=as_json)


@contextmanager
def _working(folder: Path) -> Iterator[None]:
    """Give a folder for what is made on the way, which stays after Ctrl-C only: then the same command goes on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; nothing is written, and trainings are kept in {folder}. Continue with the same command"
        ) from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _parent_and_images(
    network: str, named: str | None, storage: str | None, opened: ExitStack
) -> tuple[Parent, Images | str]:
    """Return a network and its images, or why there are none; studies are closed with ``opened``."""
    from nas.compress.parent import found_images, images_of_opened, parent_of_folder, parent_of_trial

    images: Images | str | None = None if named is None else _named_images(named, storage)
    if "#" in network and not Path(network).exists():
        study, trial = opened.enter_context(named_trial(network, storage))
        parent = parent_of_trial(study, trial)
        images = images or images_of_opened(study)
    else:
        parent = parent_of_folder(Path(network))
        images = images or found_images(parent, storage=storage)
    if not isinstance(images, str) and images.study is not None:
        opened.callback(images.study.close)
    return parent, images


def _named_images(text: str, storage: str | None) -> Images:
    """Return the images that ``--study`` or ``--data`` names."""
    from nas.compress.parent import Images, images_of_opened
    from nas.data.sources import load_data
    from nas.export.origin import ImagesOf
    from nas.search.opening import find_study

    named = named_study(text, storage)
    if named is not None:
        study = find_study(named, storage=storage).as_begun()
        if study.was_run():
            return images_of_opened(study)
    data, recipe = data_and_recipe(text, named, storage)
    return Images(ImagesOf(load_data(data), data), recipe)


def _usable(parent: Parent, found: Images | str, *, needed: bool) -> tuple[Images | None, list[str]]:
    """Return images after making sure that they are the network's own, and what to say of them."""
    from nas.cli.live.lines import data_line
    from nas.compress.parent import require_own_images

    if isinstance(found, str):
        if needed:
            raise ConfigError(f"{found}; give --study or --data: {_ONLY_BITS}")
        return None, [f"{found}: accuracy is not measured"]
    note = require_own_images(parent, found)
    notes = [data_line(found.dataset), *found.dataset.notes, *([] if note is None else [note])]
    return found, notes


def _recipe(
    parent: Parent, images: Images, epochs: int | None, teachers: list[str], storage: str | None, work: Path
) -> tuple[Recipe, tuple[str, ...]]:
    """Return how the network is trained on, and what to say of it."""
    from nas.compress.chain import EPOCHS

    dataset = images.dataset
    recipe = changed_recipe(images.recipe.reopened(len(dataset.train)), [], epochs or EPOCHS)
    job = Job(parent.architecture, dataset, dataset.validation, recipe)  # the test images take no part
    job = with_teachers(job, Wanted(teachers, None, None, False), storage=storage, folder=work)
    return job.recipe, job.notes


@contextmanager
def _watched(console: Console, plan: Plan, images: Images | None) -> Iterator[Watch]:
    """Show trainings, and lines about them."""
    from nas.cli.progress import TrainingProgress
    from nas.compress.finetune import Watch

    def line(text: str) -> None:
        console.print(text, soft_wrap=True)

    with interruptible() as check, ExitStack() as shown:
        progress: TrainingProgress | None = None
        if plan.recipe is not None and images is not None:
            progress = TrainingProgress(console, plan.recipe, images=len(images.dataset.train), seeds=plan.seeds)
            shown.enter_context(progress)

        def epoch(seed: int, done: Epoch) -> None:
            check()
            if progress is not None:
                progress.epoch(seed, done)

        def step(seed: int, done: StepDone) -> None:
            check()
            if progress is not None:
                progress.step(seed, done)

        yield Watch(epoch, step, line)


class _Made(NamedTuple):
    """What was written."""

    variants: tuple[Variant, ...]
    formats: tuple[Parity, ...]


def _made(shop: Workshop, output: Path, *, command: str, force: bool) -> _Made:
    from nas.compress.chain import run_chain
    from nas.compress.written import made_variants, write_chain

    done = run_chain(shop)
    variants = made_variants(shop, done, command=command)
    return _Made(variants, write_chain(shop, done, variants, output, command=command, force=force))


def _command(name: str, options: dict[str, Any]) -> str:
    """Return the command that makes a bundle, without where things lie on this machine."""
    words = list[str]()
    for key, given in options.items():
        for value in given if isinstance(given, list) else [given]:
            if value is True:
                words.append(f"--{key}")
            elif value not in (None, False):
                path = isinstance(value, str) and Path(value).is_absolute()
                words += [f"--{key}", Path(value).name if path else str(value)]
    return command_line("compress", name, *words)


def _show(console: Console, shop: Workshop, made: _Made, output: Path, *, as_json: bool) -> None:
    from dataclasses import asdict

    from nas.analysis.looks import warn_of_test_looks
    from nas.cli.tables.variants import variant_notes, variants_table

    study = None if shop.images is None else shop.images.study
    warning = None if study is None else warn_of_test_looks(study)
    if as_json:
        print_json(
            {
                "directory": str(output),
                "variants": [asdict(variant) for variant in made.variants],
                "formats": [one._asdict() for one in made.formats],
                "study": None if study is None else study.name,
                "warning": warning,
            }
        )
        return
    console.print(variants_table(made.variants, title=f"Made of {shop.parent.name}", width=console.width))
    lines = [*variant_notes(made.variants), *([] if warning is None else [f"{warning[0].upper()}{warning[1:]}"])]
    kept = f"The bundle is in {output}; how to load it: {output / 'README.md'}"
    beside = [] if study is None else [f"Kept with the study: nas front {study.typed} --variants"]
    for line in (*lines, kept, *beside):
        console.print(line, soft_wrap=True)
