"""nas export --retrain: a network of a study is trained to the end first, from several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.cli.job import Job, make_job
from nas.cli.options import command_line
from nas.cli.seeds import SeedsTrained, remarks, train_seeds
from nas.errors import Interrupted

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from nas.export.bundle import ExportedNetwork, Options
    from nas.export.trained import Trained
    from nas.models.backends import Latency
    from nas.records import TrialRecord

UNFINISHED_FOLDER = "{}.training"
"""Name of the folder beside the output that keeps half-done trainings until the bundle stands."""


class Retraining(NamedTuple):
    """A trial's network, and how it is to be trained.

    Attributes:
        study: As it is typed: a name or a file.
        name: Of the study.
        trial: Whose network it is.
        latency: Of the network, if the study measured it.
        storage: URL of the study's database.
        epochs: Default: as in the study.
        seeds: Number of trainings.
        device: Where.
    """

    study: str
    name: str
    trial: TrialRecord
    latency: Latency | None
    storage: str | None
    epochs: int | None
    seeds: int
    device: torch.device


class Retrained(NamedTuple):
    """What came of it.

    Attributes:
        exported: The bundle.
        figures: Of all seeds, as plain JSON data.
        warning: What to say of how often the test images were looked at, if anything.
    """

    exported: ExportedNetwork
    figures: dict[str, Any]
    warning: str | None


def export_retrained(wanted: Retraining, output: Path, options: Options, console: Console) -> Retrained:
    """Train a network from several seeds and export the best on the validation images.

    Half-done trainings are kept beside the output until the bundle stands, so that the same command goes on.

    Raises:
        Interrupted: Ctrl-C was pressed; what was trained is kept.
        TrainingDiverged: All trainings diverged.
        ExportError: As ``export_network`` does; a folder that cannot be written is refused before the training.
    """
    from nas.export.bundle import export_trained

    folder = output.resolve().with_name(UNFINISHED_FOLDER.format(output.resolve().name))
    told = list[tuple[dict[str, Any], str | None]]()

    def load() -> Trained:
        with console.status("loading"):
            job = make_job(f"{wanted.study}#{wanted.trial.number}", None, {}, None, wanted.epochs, wanted.storage)
        _announce(wanted, job, console)
        found = train_seeds(job, console, seeds=wanted.seeds, device=wanted.device, initial=None, folder=folder)
        _tell(job, found, console)
        told.append((_figures(job, found), job.warn_of_looks()))
        return _best(wanted, job, found)

    try:
        exported = export_trained(load, output, options)
    except KeyboardInterrupt:
        if not folder.is_dir():
            raise
        raise Interrupted(f"interrupted; progress is kept in {folder}. Continue with the same command") from None
    _remove(folder)
    return Retrained(exported, *told[0])


def _announce(wanted: Retraining, job: Job, console: Console) -> None:
    """Say what is trained on what, and for how long."""
    from nas.cli.live.lines import data_line

    epochs = job.recipe.total_epochs(len(job.dataset.train))
    length = "as in the study; --epochs N trains longer" if wanted.epochs is None else "as --epochs says"
    text = f"training trial {wanted.trial.number} anew: {epochs} epochs ({length}), seeds: {wanted.seeds}"
    for line in (data_line(job.dataset), *job.notes, text):
        console.print(line, soft_wrap=True)


def _tell(job: Job, found: SeedsTrained, console: Console) -> None:
    """Show what each seed came to."""
    from nas.cli.tables.studies import seeds_table

    title = f"{job.architecture.name} on {job.dataset.name}"
    console.print(seeds_table(found.results, title=title, width=console.width))
    for line in remarks(job, found):
        console.print(line, soft_wrap=True)


def _figures(job: Job, found: SeedsTrained) -> dict[str, Any]:
    """Return the figures of all seeds as plain JSON data."""
    from nas.training.repeat import mean_and_std

    figures = {
        "val_accuracy": [result.val_accuracy for result in found.results],
        "test_accuracy": [result.test.accuracy for result in found.results],
    }
    return {
        "epochs": job.recipe.total_epochs(len(job.dataset.train)),
        "seeds": len(found.results),
        "diverged": {str(repeat): reason for repeat, reason in found.diverged.items()},
        **{name: {**mean_and_std(values)._asdict(), "values": values} for name, values in figures.items()},
    }


def _best(wanted: Retraining, job: Job, found: SeedsTrained) -> Trained:
    from nas.export.origin import images_of_study
    from nas.export.retrained import trained_anew
    from nas.search.opening import open_study

    with open_study(wanted.study, storage=wanted.storage) as opened:
        images_of = images_of_study(opened, job.dataset)
    number, study = wanted.trial.number, wanted.name
    length = [] if wanted.epochs is None else ["--epochs", wanted.epochs]
    return trained_anew(
        job.architecture,
        job.dataset,
        job.recipe,
        found.results,
        origin=f"in the study `{study}` (trial {number})",
        command=command_line("export", f"{study}#{number}", "--retrain", *length, "--seeds", wanted.seeds),
        trial=wanted.trial,
        latency=wanted.latency,
        images_of=images_of,
    )


def _remove(folder: Path) -> None:
    """Remove checkpoints, and their folder unless it holds something else."""
    from nas.training.repeat import UNFINISHED

    for path in folder.glob(UNFINISHED.format("*")):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
