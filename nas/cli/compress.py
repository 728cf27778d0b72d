"""nas compress: a smaller network out of a trained one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import AsJson, Device, Storage
from nas.cli.output import say
from nas.cli.teachers import trained_folder
from nas.cli.train import train
from nas.errors import ConfigError

if TYPE_CHECKING:
    from nas.compress.prune import Pruned
    from nas.training.teacher_folder import Teacher

START = "pruned"
"""Folder for the pruned network before it is trained."""


def compress(
    network: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE|FOLDER|STUDY#N", help="A trained network: an export, what nas train wrote, or a trial."
        ),
    ],
    prune: Annotated[float, typer.Option(help="Share of the FLOPs to remove, such as 0.5.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write, as nas train does.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Images, as for nas train.  [default: those of the trial's study]"),
    ] = None,
    criterion: Annotated[
        str, typer.Option(help="What channels are judged by: l1, l2, scale, share, share_times_channels or random.")
    ] = "l2",
    scope: Annotated[
        str, typer.Option(help="Remove the same share of every layer (uniform), or what matters least (global).")
    ] = "uniform",
    multiple: Annotated[int, typer.Option(min=1, help="Channels become multiples of this number.")] = 8,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images after pruning.")] = 3,
    seeds: Annotated[int, typer.Option(min=1, help="Number of trainings, each with its own seed.")] = 1,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUNDLE|FOLDER|STUDY#N",
            help="Network to learn from, such as the unpruned one. You can repeat this option.",
        ),
    ] = None,
    device: Device = "auto",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Remove channels of a trained network, and train on.

    The result is what nas train writes. (nas prune is something else: it deletes files of a study.)
    """
    from nas.training.checkpoint import write_tensors
    from nas.training.teacher_folder import read_teacher

    if not 0 < prune < 1:
        raise ConfigError(f"--prune must be a share of the FLOPs above 0 and below 1, but is {prune:g}")
    if (output / "result.json").exists():
        raise ConfigError(f"{output}: already holds a finished training; choose another folder with -o")
    if data is None and "#" not in network:
        raise ConfigError("--data is missing: give digits, folder=PATH, ... or a study")
    parent = read_teacher(Path(trained_folder(network, storage, output / "unpruned")))
    pruned = _pruned(parent, prune, criterion=criterion, scope=scope, multiple=multiple)
    start = output / START
    write_tensors(start / "weights.safetensors", pruned.state, what="the pruned network")
    _write_architecture(start / "architecture.json", pruned)
    if not as_json:
        say(_line(parent, pruned))
    train(
        str(start / "architecture.json"),
        data=network.rpartition("#")[0] if data is None else data,
        epochs=epochs,
        seeds=seeds,
        output=output,
        weights=str(start / "weights.safetensors"),
        teacher=teacher,
        device=device,
        storage=storage,
        as_json=as_json,
    )


def _pruned(parent: Teacher, prune: float, *, criterion: str, scope: str, multiple: int) -> Pruned:
    from nas.compress.prune import prune_network

    return prune_network(
        parent.architecture,
        parent.network.state_dict(),
        flops=round(1 - prune, 12),
        criterion=criterion,  # type: ignore[arg-type]  # a wrong one is refused there
        scope=scope,  # type: ignore[arg-type]
        multiple=multiple,
    )


def _write_architecture(path: Path, pruned: Pruned) -> None:
    from nas.architecture.serialization import architecture_to_json
    from nas.files import write_whole

    write_whole(path, lambda: architecture_to_json(pruned.architecture).encode())


def _line(parent: Teacher, pruned: Pruned) -> str:
    """Return one line that tells what was removed, in closed form."""
    from nas.architecture.cost import count_cost
    from nas.units import format_count

    before, after = count_cost(parent.architecture), count_cost(pruned.architecture)
    return (
        f"pruned from {format_count(before.flops)} to {format_count(after.flops)} FLOPs"
        f" ({100 * (1 - after.flops / before.flops):.0f} % removed), from {format_count(before.params)} to"
        f" {format_count(after.params)} parameters"
    )
