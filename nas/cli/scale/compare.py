"""nas scale compare and nas scale trust: rules at matched cost, and how far short trainings tell the order."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import AsJson, Device, Storage, StudyArgument, parsed, print_json, refuse_typed, split_integers
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
)
from nas.errors import ConfigError
from nas.files import refuse_folder

if TYPE_CHECKING:
    from nas.scaling.rules import Rule
    from nas.scaling.trust import Trust
    from nas.search.lab.compare import Comparison


def compare(
    source: Source_,
    rules: Annotated[
        str,
        typer.Option(
            metavar="RULE;RULE...",
            help="Rules to compare, separated by semicolons: names, rule files or factors, as in nas scale family.",
        ),
    ] = "width;depth;resolution;compound;fast",
    phi: Annotated[str, typer.Option(metavar="N,N...|FROM:TO", help="Numbers of doublings.")] = "1:3",
    baseline: Baseline = None,
    space: Space = None,
    width: Width = None,
    depth: Depth = None,
    resolution: Resolution = None,
    seeds: Seeds = 3,
    workers: Workers = 1,
    device: Device = "auto",
    train: Train = True,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="HTML file to write the figure to.")] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Compare scaling rules at matched measured cost, over several seeds.

    The networks are trained as a study of their own: STUDY:compare. Give the rule that you found as a rule file.
    """
    from nas.cli.progress import make_console
    from nas.cli.scale.family import parse_phis
    from nas.cli.tables.shapes import comparison_table
    from nas.search.lab.compare import ask_comparison
    from nas.search.lab.source import open_source
    from nas.search.run.lab import prepared

    phis = [value for value in parsed("--phi", phi, parse_phis) if value != 0]
    chosen = parse_rules(rules)
    if output is not None:
        refuse_folder(output)
    console = make_console(stderr=as_json)
    with open_source(source, storage=storage) as opened:
        grows = chosen_baseline(
            opened, console, baseline=baseline, space=space, width=width, depth=depth, resolution=resolution
        )
        refuse_typed(*TRAINING, unless=train and opened.table is None, reason="nothing is trained")
        run = make_run(console, workers=workers, device=device)
        opened, trains = prepared(opened, run, train=train, device=device)
        found = ask_comparison(opened, grows, chosen, phis, seeds=seeds, run=trains)
    if output is not None:
        from nas import plots
        from nas.plots.pages import write_figures

        write_figures([plots.comparison(found)], output, title=f"{source}: rules compared")
    if as_json:
        print_json(_comparison_document(found))
        return
    for line in found.verdicts:
        say(line)
    console.print(comparison_table(found.rows, width=console.width))
    say(f"Off is how far the cost is from the promised one; ! marks more than 10 %. {found.noise}")
    for line in found.left_out:
        say(f"  left out: {line}")
    if output is not None:
        say(f"Figure: {output}  (open it in a browser)")


def trust(
    study: StudyArgument,
    times: Annotated[str, typer.Option(help="Multiples of the study's epochs to train for, such as 2,4.")] = "2,4",
    networks: Annotated[int, typer.Option(min=8, help="Number of networks, spread over the cost.")] = 16,
    seeds: Seeds = 1,
    workers: Workers = 1,
    device: Device = "auto",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="HTML file to write the figures to.")] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Find out how far a study's short trainings put networks in the order of longer ones.

    A sample of its networks is trained longer, as studies of their own: STUDY:trust-2x and so on.
    """
    from nas.cli.progress import make_console
    from nas.cli.tables.shapes import trust_table
    from nas.search.lab.source import open_source
    from nas.search.lab.trust import ask_trust

    factors = split_integers("--times", times)
    if min(factors) < 2:
        raise ConfigError("--times: a multiple of the epochs must be at least 2, for example 2,4")
    if output is not None:
        refuse_folder(output)
    console = make_console(stderr=as_json)
    with open_source(study, storage=storage) as opened:
        run = make_run(console, workers=workers, device=device)
        answers = ask_trust(opened, times=factors, networks=networks, seeds=seeds, run=run)
    if output is not None:
        from nas import plots
        from nas.plots.pages import write_figures

        figures = [plots.trust(answer) for answer in answers if answer.bands]
        write_figures(figures, output, title=f"{study}: short trainings against long ones")
    if as_json:
        print_json([_trust_document(answer) for answer in answers])
        return
    for answer in answers:
        say(f"Against {answer.long}: {answer.sentence}.")
    if any(answer.bands for answer in answers):
        console.print(trust_table(answers, width=console.width))
    if output is not None:
        say(f"Figure: {output}  (open it in a browser)")


def parse_rules(text: str) -> list[Rule]:
    """Read rules that are separated by semicolons.

    Raises:
        ConfigError: One is none, or two have one name.
    """
    from dataclasses import replace

    from nas.scaling.rules import scaling_rule

    words = [word.strip() for word in text.split(";")]
    found = [replace(rule, name=word) if "=" in word else rule for word in words for rule in [scaling_rule(word)]]
    names = [rule.name for rule in found]
    if len(set(names)) < len(names):
        raise ConfigError(f"--rules: two rules have one name: {', '.join(names)}")
    return found


def _comparison_document(found: Comparison) -> dict[str, Any]:
    return {
        "baseline": found.baseline.architecture().name,
        "noise": found.noise.std,
        "noise_assumed": found.noise.assumed,
        "networks": [
            {
                "rule": one.rule,
                "phi": one.member.phi,
                "width": one.member.point.width,
                "depth": one.member.point.depth,
                "resolution": one.member.point.resolution,
                "digest": one.member.architecture.digest,
                "flops": one.member.cost.flops,
                "drift_percent": one.member.drift,
                "accuracies": [] if one.trained is None else list(one.trained.accuracies.values()),
                "best": one.best,
                "within_noise": one.within_noise,
            }
            for one in found.grown
        ],
        "left_out": list(found.left_out),
    }


def _trust_document(answer: Trust) -> dict[str, Any]:
    return {"sentence": answer.sentence, **asdict(answer), "bands": [band._asdict() for band in answer.bands]}
