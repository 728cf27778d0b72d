"""nas scale shape and nas scale search: how width, depth and resolution should share a larger budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import AsJson, Device, Storage, parsed, print_json, refuse_typed
from nas.cli.output import say
from nas.cli.scale.running import (
    TRAINING,
    Baseline,
    Depth,
    Resolution,
    Seeds,
    Source_,
    Space,
    Train,
    Width,
    Workers,
    chosen_baseline,
    make_run,
    parse_numbers,
)
from nas.files import refuse_folder

if TYPE_CHECKING:
    from nas.scaling.simplex import Simplex
    from nas.scaling.star import StarPlan
    from nas.search.lab.shape import ShapeAnswer


SHOWN = 3
"""Places of a star without a network that are named one by one."""


def shape(
    source: Source_,
    baseline: Baseline = None,
    space: Space = None,
    width: Width = None,
    depth: Depth = None,
    resolution: Resolution = None,
    levels: Annotated[
        str | None,
        typer.Option(
            help="Multiples of the network's cost at which shapes are compared.  [default: 1,2,4, or what was tried]"
        ),
    ] = None,
    cost: Annotated[str, typer.Option(help="What doubles: flops, params or activations.")] = "flops",
    seeds: Seeds = 1,
    workers: Workers = 1,
    device: Device = "auto",
    train: Train = True,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="HTML file to write the figure to.")] = None,
    rule: Annotated[
        Path | None, typer.Option("--write-rule", help="JSON file to write the rule to, for --rule of other commands.")
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Find out how a network should grow: the best width, depth and resolution at several costs.

    Trains about 35 networks around the one that grows, as a study of its own: STUDY:shape.
    """
    from nas.cli.progress import make_console
    from nas.scaling.costs import cost_kind
    from nas.search.lab.shape import ask_shape
    from nas.search.lab.source import open_source
    from nas.search.run.lab import prepared

    for path in (output, rule):
        if path is not None:
            refuse_folder(path)
    multiples = () if levels is None else parsed("--levels", levels, _levels)
    kind = cost_kind(cost)
    console = make_console(stderr=as_json)
    with open_source(source, storage=storage) as opened:
        grows = chosen_baseline(
            opened, console, baseline=baseline, space=space, width=width, depth=depth, resolution=resolution
        )
        refuse_typed(*TRAINING, unless=train and opened.table is None, reason="nothing is trained")
        run = make_run(console, workers=workers, device=device)
        opened, trains = prepared(opened, run, train=train, device=device)
        answer = ask_shape(opened, grows, levels=multiples, seeds=seeds, kind=kind, run=trains)
    if output is not None:
        from nas import plots
        from nas.plots.pages import write_figures

        write_figures([plots.shape(answer.best, answer.evidence)], output, title=f"{source}: the best shape")
    if rule is not None:
        _write_rule(answer, rule)
    if as_json:
        print_json(_document(answer))
        return
    _print(answer, console.width)
    if rule is not None:
        say(f"Rule: {rule}  (nas scale family SPACE --rule {rule})")
    if output is not None:
        say(f"Figure: {output}  (open it in a browser)")


def search(
    source: Source_,
    networks: Annotated[int, typer.Option(min=8, help="Number of networks of twice the cost to train.")] = 30,
    baseline: Baseline = None,
    space: Space = None,
    width: Width = None,
    depth: Depth = None,
    resolution: Resolution = None,
    seeds: Seeds = 1,
    workers: Workers = 1,
    device: Device = "auto",
    train: Train = True,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="HTML file to write the figure to.")] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Search EfficientNet's alpha, beta and gamma: the best shares of twice the FLOPs.

    They are spread over the shares, and trained as a study of their own: STUDY:search.
    """
    from nas.cli.progress import make_console
    from nas.search.lab.shape import ask_doubling, known_rules
    from nas.search.lab.source import open_source
    from nas.search.run.lab import prepared
    from nas.units import sentence

    if output is not None:
        refuse_folder(output)
    console = make_console(stderr=as_json)
    with open_source(source, storage=storage) as opened:
        grows = chosen_baseline(
            opened, console, baseline=baseline, space=space, width=width, depth=depth, resolution=resolution
        )
        refuse_typed("--networks", *TRAINING, unless=train and opened.table is None, reason="nothing is trained")
        run = make_run(console, workers=workers, device=device)
        opened, trains = prepared(opened, run, train=train, device=device)
        answer = ask_doubling(opened, grows, networks=networks, seeds=seeds, run=trains)
    if output is not None:
        from nas import plots
        from nas.plots.pages import write_figures

        write_figures([plots.simplex(answer, known_rules())], output, title=f"{source}: shares of twice the FLOPs")
    if as_json:
        print_json(_shares_document(answer))
        return
    say(sentence(answer.sentence))
    least, most = (
        2 ** (float(end) - answer.log2_cost) for end in (answer.surface.costs.min(), answer.surface.costs.max())
    )
    say(
        f"  by {len(answer.surface.places)} networks of {least:.2f} to {most:.2f} times that cost; intervals hold with"
        " a probability of 90 %"
    )
    for rule, place in _placed(answer).items():
        shares = [f"{name} {100 * share:.0f} %" for name, share in zip(answer.best, place.shares, strict=True)]
        value, low, high = (f"{100 * points:+.1f}" for points in place.penalty)
        where = "among the likely best" if place.likely else "not among the likely best"
        say(f"  {rule}: {', '.join(shares)}; {where}, {value} [{low}, {high}] points of error")
    if output is not None:
        say(f"Figure: {output}  (open it in a browser)")


def _levels(text: str) -> tuple[float, ...]:
    return parse_numbers(text, fewest=2, most=1e6, what="multiples of the cost", example="1,2,4")


def _placed(answer: Simplex) -> dict[str, Any]:
    from nas.search.lab.shape import known_rules

    return {name: answer.place(rule) for name, rule in known_rules().items()}


def _shares_document(answer: Simplex) -> dict[str, Any]:
    return {
        "sentence": answer.sentence,
        "times": answer.times,
        "shares": {name: interval._asdict() for name, interval in answer.best.items()},
        "factors": {name: interval._asdict() for name, interval in answer.factors.items()},
        "cannot_tell": dict(answer.reasons),
        "rules": {
            name: {"shares": place.shares, "likely": place.likely, "penalty": place.penalty._asdict()}
            for name, place in _placed(answer).items()
        },
        "networks": len(answer.surface.places),
    }


def _document(answer: ShapeAnswer) -> dict[str, Any]:
    from nas.search.lab.shape import TIMES, known_rules

    best = answer.best
    penalties = {name: best.penalty(rule, times=TIMES) for name, rule in known_rules().items()}
    return {
        "sentence": answer.sentence,
        "cost": best.surface.cost.name,
        "baseline": answer.baseline.architecture().name,
        "factors": {name: interval._asdict() for name, interval in best.factors.items()},
        "determined": dict(best.determined),
        "cannot_tell": dict(best.reasons),
        "levels": [
            {"cost": level, **{name: values[index]._asdict() for name, values in best.best.items()}}
            for index, level in enumerate(best.levels)
        ],
        "rules": {
            name: {
                "times": TIMES,
                "points": None if penalty.points is None else penalty.points._asdict(),
                "reason": penalty.reason,
            }
            for name, penalty in penalties.items()
        },
        "networks": len(answer.evidence.networks),
        "trainings": int(answer.evidence.trainings.sum()),
        "missing": [] if answer.plan is None else list(answer.plan.missing),
    }


def _print(answer: ShapeAnswer, width: int) -> None:
    from nas.cli.progress import make_console
    from nas.cli.tables.shapes import shape_table
    from nas.units import sentence

    say(sentence(answer.sentence))
    make_console().print(shape_table(answer.best, width=width))
    noise = answer.evidence.noise
    say(
        f"By {len(answer.evidence.networks)} networks and {int(answer.evidence.trainings.sum())} trainings;"
        f" intervals hold with a probability of 90 %. {noise}"
    )
    if answer.plan is not None:
        _print_plan(answer.plan)


def _print_plan(plan: StarPlan) -> None:
    """Say what of a star is not as it was meant."""
    if off := sum(not point.near for point in plan.points):
        say(f"  {off} of {len(plan.points)} networks are 5 to 20 % off the cost of their level")
    for line in plan.missing[:SHOWN]:
        say(f"  not tried: {line}")
    if len(plan.missing) > SHOWN:
        say(f"  and {len(plan.missing) - SHOWN} places more for which the space has no network")


def _write_rule(answer: ShapeAnswer, path: Path) -> None:
    from nas.errors import StudyError
    from nas.files import write_whole
    from nas.scaling.rules import Rule, rule_to_json

    if answer.best.reasons:
        raise StudyError(f"{path} was not written: {answer.best.reason}")
    width, depth, resolution = (interval.value for interval in answer.best.factors.values())
    source = f"nas scale shape {answer.evidence.source}"
    found = Rule("found", width, depth, resolution, cost=answer.best.surface.cost.name, source=source)
    write_whole(path, lambda: rule_to_json(found).encode())
