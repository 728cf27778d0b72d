"""nas scale grow and nas scale data: the network for a larger budget, and whether more images would bring more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import AsJson, Device, Storage, StudyArgument, command_line, parsed, print_json
from nas.cli.output import say
from nas.cli.scale.running import (
    Seeds,
    Source_,
    Workers,
    make_run,
    parse_numbers,
)
from nas.files import is_table

if TYPE_CHECKING:
    from nas.search.lab.data import DataAnswer
    from nas.search.lab.grow import GrownNetwork


def grow(
    source: Source_,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="4x|20M|8h",
            help="The budget: a multiple of the dearest trained network's FLOPs, FLOPs, or the time of one training.",
        ),
    ],
    space: Annotated[
        str | None, typer.Option(help="Family to grow.  [default: that of the most accurate network]")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="JSON file to write the network to, as nas train takes it.")
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Tell the network to take at a budget that was never tried, and what to expect of it. Trains nothing."""
    from nas.cli.progress import make_console
    from nas.files import refuse_folder
    from nas.search.lab.grow import ask_budget, parse_budget
    from nas.search.lab.source import open_source

    budget = parsed("--to", to, parse_budget)
    if output is not None:
        refuse_folder(output)
    console = make_console(stderr=as_json)
    with console.status("asking the trainings"), open_source(source, storage=storage) as opened:
        found = ask_budget(opened, budget, space=space)
    if output is not None:
        from nas.architecture.serialization import architecture_to_json
        from nas.files import write_whole

        write_whole(output, lambda: architecture_to_json(found.network.architecture).encode())
    if as_json:
        print_json(_document(found))
        return
    for line in told(found):
        say(line)
    if output is not None:
        data = () if is_table(source) else ("--data", source)
        say(f"Network: {output}  ({command_line('train', output, *data)})")


def data(
    study: StudyArgument,
    networks: Annotated[int, typer.Option(min=3, help="Number of networks, spread over the cost.")] = 5,
    parts: Annotated[
        str, typer.Option(help="Shares of the training images, such as 0.125,0.25,0.5,1.")
    ] = "0.125,0.25,0.5,1",
    space: Annotated[str | None, typer.Option(help="Family to train.  [default: that with most networks]")] = None,
    seeds: Seeds = 1,
    workers: Workers = 1,
    device: Device = "auto",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Find out whether more images or a larger network would bring more.

    The same networks are trained on nested parts of the images, as studies of their own: STUDY:data-500 and so on.
    """
    from nas.cli.progress import make_console
    from nas.cli.tables.shapes import parts_table
    from nas.search.lab.data import ask_data
    from nas.search.lab.source import open_source
    from nas.units import sentence

    shares = parsed("--parts", parts, _parts)
    console = make_console(stderr=as_json)
    with open_source(study, storage=storage) as opened:
        run = make_run(console, workers=workers, device=device)
        found = ask_data(opened, space=space, networks=networks, parts=shares, seeds=seeds, run=run)
    if as_json:
        print_json(_data_document(found))
        return
    say(sentence(found.sentence()))
    console.print(parts_table(found, width=console.width))


def _parts(text: str) -> tuple[float, ...]:
    return parse_numbers(text, fewest=3, most=1.0, what="shares of the images", example="0.25,0.5,1")


def told(found: GrownNetwork) -> list[str]:
    """Return what was found, sentence by sentence."""
    from nas.units import format_count, format_seconds

    point, cost = found.network.point, found.network.cost
    shown = f"{format_seconds(found.network.amount)} of training, " if found.cost == "train_seconds" else ""
    shown += f"{format_count(cost.flops)} FLOPs"
    off = 100 * (found.network.amount / found.target - 1)
    lines = [
        f"Take {point.space.name} width {point.width:.4g} depth {point.depth:.4g} resolution {point.resolution}:"
        f" {shown} ({off:+.1f} % from the budget), {found.times:.3g} times the dearest network that was trained."
    ]
    if found.error is None:
        lines.append(f"What accuracy to expect cannot be told: {found.why_not}.")
    else:
        accuracy = [100 * (1 - value) for value in (found.error.value, found.error.high, found.error.low)]
        lines.append(
            f"Expected accuracy {accuracy[0]:.1f} [{accuracy[1]:.1f}, {accuracy[2]:.1f}] %, by {found.by};"
            " the interval holds for the mean over seeds with a probability of 90 %."
        )
    if found.best is not None:
        lines.append(f"Its shape: {found.best.sentence}.")
    return [*lines, *(f"To be surer: {line}." for line in found.advice)]


def _document(found: GrownNetwork) -> dict[str, Any]:
    point, cost = found.network.point, found.network.cost
    return {
        "space": point.space.name,
        "width": point.width,
        "depth": point.depth,
        "resolution": point.resolution,
        "digest": found.network.digest,
        "flops": cost.flops,
        "params": cost.params,
        "activations": cost.activations,
        "cost": found.cost,
        "target": found.target,
        "amount": found.network.amount,
        "times_dearest": found.times,
        "expected_error": None if found.error is None else found.error._asdict(),
        "by": found.by,
        "cannot_tell": found.why_not,
        "shape": None if found.best is None else found.best.sentence,
        "advice": list(found.advice),
    }


def _data_document(found: DataAnswer) -> dict[str, Any]:
    return {
        "sentence": found.sentence(),
        "determined": found.law.determined,
        "reason": found.law.reason,
        "parameters": found.law.parameters,
        "intervals": found.law.intervals,
        "networks": [
            {
                "images": images,
                "digest": network.digest,
                "flops": network.flops,
                "accuracies": list(network.accuracies.values()),
            }
            for images, evidence in found.trained.items()
            for network in evidence.networks
        ],
    }
