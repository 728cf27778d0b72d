"""Commands of tables of trainings: build one, replay searches on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import (
    AsJson,
    Device,
    Storage,
    StudyArgument,
    command_line,
    print_json,
    refuse_typed,
    shown_search,
    split_names,
)
from nas.cli.output import say
from nas.errors import ConfigError
from nas.files import is_table, refuse_folder

if TYPE_CHECKING:
    from nas.analysis.replays import ReplaySummary
    from nas.config.search import Halving
    from nas.replay.problem import Problem

table = typer.Typer(name="table", help="Build a table of trainings, and replay searches on it.", no_args_is_help=True)


@table.command()
def build(
    study: StudyArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="CSV file; .gz compresses it.  [default: table.csv.gz in the study's folder]"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes that train at the same time.")] = 1,
    device: Device = "auto",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Run or continue a study, and write its trainings to a CSV file."""
    from nas.cli.progress import make_console

    if output is not None:
        refuse_folder(output)
    console = make_console(stderr=as_json)
    with console.status("loading"):
        from nas.models.device import describe_versions
        from nas.search.opening import find_study
        from nas.search.run.start import run_study
        from nas.search.tabled import table_of
        from nas.tables import write_table

        found = find_study(study, storage=storage)
        planned = found.missing_trials()
    with found:
        command = command_line("table", "build", study)
        with shown_search(console, found, planned=planned, command=command) as show:
            ran = run_study(found, workers=workers, device=device, on_event=show)
        images = {"train_images": len(ran.dataset.train), "val_images": len(ran.dataset.validation)}
        made = table_of(ran, **images, versions=describe_versions())
    path = output or ran.directory / "table.csv.gz"
    write_table(made, path)
    trainings = made.frame.groupby(["digest", "repeat"]).ngroups
    if as_json:
        print_json({"table": str(path), "networks": len(made.curves), "trainings": trainings})
        return
    say(f"{path}: {len(made.curves)} networks, {trainings} trainings")
    say(f"Next: {command_line('table', 'replay', path)}")


@table.command()
def replay(
    source: Annotated[str, typer.Argument(metavar="TABLE|STUDY", help="A table, or a study that has been run.")],
    samplers: Annotated[
        str,
        typer.Option(
            "--samplers",
            help="Samplers, separated by commas: pareto, pareto-thrift, random, tpe, tpe-multivariate, nsga2, nsga2-20,"
            " gp.",
        ),
    ] = "pareto,tpe-multivariate,random",
    halving: Annotated[str, typer.Option(help="Halving factors, separated by commas; off means none.")] = "off,3",
    trials: Annotated[
        int | None, typer.Option(min=1, help="Number of proposals.  [default: one for each network, at most 200]")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of simulated processes.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="Number of searches for each rule.")] = 5,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="HTML file to write the figures to.")] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Replay searches on finished trainings.

    The result shows which sampler and which early stopping would have saved the most.
    """
    from functools import partial

    from nas.cli.progress import make_console

    if output is not None:
        refuse_folder(output)
    console = make_console(stderr=as_json)
    with console.status("loading"):
        from nas.replay.rules import Rule, replay_rules
        from nas.replay.samplers import SAMPLERS

        names = split_names("--samplers", samplers, SAMPLERS, what="sampler")
        load = partial(_load, source, storage)
        problem = load()
        factors = [_halving(text, problem.epochs) for text in split_names("--halving", halving, None)]
    rules = [Rule(name, factor) for name in names for factor in factors]
    proposals = trials or min(200, len(problem.entries))
    with console.status("replaying") as status:
        done = 0

        def count(course: Any) -> None:
            nonlocal done
            done += 1
            status.update(f"replayed {done} of {len(rules) * seeds} searches")

        courses = replay_rules(load, rules, seeds=seeds, proposals=proposals, workers=workers, on_course=count)
    from nas.analysis.replays import replay_summaries
    from nas.plots.growth.replays import write_replays

    summaries = replay_summaries(problem, courses)
    if output is not None:
        write_replays(problem, courses, output, name=Path(source).stem)
    if as_json:
        print_json({"source": source, "networks": len(problem.entries), "rules": [_finite(s) for s in summaries]})
        return
    from nas.cli.tables.studies import replay_table

    title = f"{proposals} proposals on {len(problem.entries)} networks, medians over {seeds} seeds"
    console.print(replay_table(summaries, title=title, width=console.width))
    best = min(summaries, key=lambda summary: summary.compute)
    if best.compute < float("inf"):
        say(
            f"Least compute to reach 95 % of the hypervolume: {best.rule}, with {100 * best.compute:.1f} % of what"
            " training all networks takes"
        )
    if output is not None:
        say(f"Figures: {output}  (open it in a browser)")


def _finite(summary: ReplaySummary) -> dict[str, Any]:
    """Return a summary as JSON knows it: what was not reached is null."""
    return {key: None if value == float("inf") else value for key, value in summary._asdict().items()}


def _load(source: str, storage: str | None) -> Problem:
    """Return the problem of a table's file or a study."""
    from nas.replay.problem import problem_of
    from nas.search.opening import open_study
    from nas.search.tabled import table_of
    from nas.tables import read_table

    path = Path(source)
    if is_table(path):
        refuse_typed("--storage", unless=False, reason=f"{source} is a table")
        return problem_of(read_table(path))
    with open_study(source, storage=storage) as opened:
        return problem_of(table_of(opened))


def _halving(text: str, epochs: int) -> Halving | None:
    from nas.config.search import Halving

    if text == "off":
        return None
    if not text.isdecimal() or int(text) < 2:
        raise ConfigError(f"--halving: {text!r} is neither off nor a whole number above one; write for example off,3")
    halving = Halving(factor=int(text))
    if not halving.rungs(epochs):
        least = 2 * halving.first
        raise ConfigError(f"--halving: trainings of {epochs} epochs are too short; at least {least} are needed")
    return halving
