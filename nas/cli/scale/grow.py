"""nas scale grow and nas scale data: the network for a larger budget, and whether more images would bring more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from nas.cli.options import AsJson, Device, Storage, StudyArgument, command_line, parsed, print_json
from nas.cli.output import say
from nas.cli.scale.running import Baseline, Depth, Resolution, Seeds, Source_, Space, Width, Workers, make_run
from nas.errors import StudyError

if TYPE_CHECKING:
    from nas.scaling.costs import CostKind
    from nas.search.lab.data import DataAnswer
    from nas.search.lab.grow import GrownNetwork
    from nas.search.lab.source import Source


class Budget(NamedTuple):
    """A budget as it was typed: so many times the dearest trained network, FLOPs, or seconds of training."""

    amount: float
    unit: Literal["times", "flops", "seconds"]


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

    budget = parsed("--to", to, parse_budget)
    if output is not None:
        refuse_folder(output)
    console = make_console(stderr=as_json)
    with console.status("asking the trainings"):
        from nas.search.lab.grow import ask_growth, family_to_grow
        from nas.search.lab.source import open_source

        with open_source(source, storage=storage) as opened:
            family = family_to_grow(opened, space)
            kind = _kind(opened, budget)
            amount = budget.amount * max(n.flops for n in family.networks) if budget.unit == "times" else budget.amount
            found = ask_growth(opened, family, amount, kind=kind)
    if output is not None:
        from nas.architecture.serialization import architecture_to_json
        from nas.files import write_whole

        write_whole(output, lambda: architecture_to_json(found.network.architecture).encode())
    if as_json:
        print_json(_document(found, kind))
        return
    for line in told(found, kind):
        say(line)
    if output is not None:
        say(f"Network: {output}  ({command_line('train', output, '--study', source)})")


def data(
    study: StudyArgument,
    networks: Annotated[int, typer.Option(min=3, help="Number of networks, spread over the cost.")] = 5,
    parts: Annotated[
        str, typer.Option(help="Shares of the training images, such as 0.125,0.25,0.5,1.")
    ] = "0.125,0.25,0.5,1",
    baseline: Baseline = None,
    space: Space = None,
    width: Width = None,
    depth: Depth = None,
    resolution: Resolution = None,
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
    from nas.cli.scale.running import chosen_baseline
    from nas.cli.tables.shapes import parts_table
    from nas.search.lab.data import ask_data
    from nas.search.lab.source import open_source

    shares = parsed("--parts", parts, parse_parts)
    console = make_console(stderr=as_json)
    with open_source(study, storage=storage) as opened:
        named = [value for value in (baseline, space, width, depth, resolution) if value is not None]
        grows = (
            chosen_baseline(opened, baseline=baseline, space=space, width=width, depth=depth, resolution=resolution)
            if named
            else None
        )
        run = make_run(console, workers=workers, device=device, command=command_line("scale", "data", study))
        found = ask_data(opened, baseline=grows, networks=networks, parts=shares, seeds=seeds, run=run)
    if as_json:
        print_json(_data_document(found))
        return
    say(found.sentence()[:1].upper() + found.sentence()[1:] + ".")
    console.print(parts_table(found, width=console.width))


def parse_budget(text: str) -> Budget:
    """Read a budget such as ``4x``, ``20M`` or ``8h``.

    Raises:
        ValueError: It is none.
    """
    from nas.units import parse_count, parse_seconds

    word = text.strip()
    try:
        if word.endswith(("x", "×")):
            times = float(word[:-1])
            if not 0 < times < 1e9:
                raise ValueError
            return Budget(times, "times")
        if word.endswith(("s", "m", "h")):
            return Budget(parse_seconds(word), "seconds")
        flops = parse_count(word)
    except ValueError:
        flops = 0
    if not flops:
        raise ValueError(f"{text!r} is no budget; write for example 4x (times the FLOPs), 20M (FLOPs) or 8h (training)")
    return Budget(float(flops), "flops")


def parse_parts(text: str) -> tuple[float, ...]:
    """Read shares such as ``0.25,0.5,1``.

    Raises:
        ValueError: They are none, or fewer than three.
    """
    try:
        parts = tuple(sorted({float(word) for word in text.split(",")}))
    except ValueError:
        parts = ()
    if len(parts) < 3 or not 0 < parts[0] <= parts[-1] <= 1:
        raise ValueError(f"{text!r} must be three or more shares of the images, such as 0.25,0.5,1")
    return parts


def _kind(source: Source, budget: Budget) -> CostKind:
    from nas.scaling.costs import FLOPS, train_seconds
    from nas.search.seconds import seconds_law

    if budget.unit != "seconds":
        return FLOPS
    law = seconds_law(source.opened)
    if law is None:
        raise StudyError(
            f"--to: nothing tells yet how long networks of {source.name} train; run nas check, or give FLOPs"
        )
    return train_seconds(
        lambda cost: law.predict(cost.flops, cost.activations),  # type: ignore[arg-type, return-value]
        flops=law.flops,
        activations=law.activations,
    )


def told(found: GrownNetwork, kind: CostKind) -> list[str]:
    """Return what was found, sentence by sentence."""
    from nas.units import format_count, format_seconds

    point, cost = found.network.point, found.network.cost
    shown = f"{format_seconds(found.network.amount)} of training, " if kind.name == "train_seconds" else ""
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


def _document(found: GrownNetwork, kind: CostKind) -> dict[str, Any]:
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
        "cost": kind.name,
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
