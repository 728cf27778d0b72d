"""The command line. It parses, calls the library and prints; torch, Optuna and plotly load inside the commands.

Exit codes: 0 done, 2 the user's mistake (one line on stderr), 1 a failure of ours, 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.errors import ConfigError, NasError, UserError

if TYPE_CHECKING:
    from nas.architecture.spec import Architecture

app = typer.Typer(
    name="nas",
    help="Which network should I use, given my data and my compute budget, and how should it grow?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a shipped study.")]
Storage = Annotated[
    str | None, typer.Option(envvar="NAS_STORAGE", show_envvar=True, help="Database URL; else SQLite by the study.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        code = app(standalone_mode=False) or 0
    except UserError as error:
        code = _complain(str(error), 2)
    except NasError as error:
        code = _complain(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        code = _complain("interrupted", 130)
    except Exception as error:
        # usage errors of typer, whose classes moved between its versions; anything else keeps its traceback
        if not hasattr(error, "format_message"):
            raise
        code = _complain(f"{error.format_message()}{_given(error)}", 2)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"nas {installed('nas-explorer')}")
        raise typer.Exit


@app.command()
def cost(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A preset, a search space, or an architecture file.")
    ],
    width: Annotated[float | None, typer.Option(help="Width coefficient, of a search space.")] = None,
    depth: Annotated[float | None, typer.Option(help="Depth coefficient, of a search space.")] = None,
    resolution: Annotated[int | None, typer.Option(help="In pixels.")] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes.  [default: 1000]")] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the images.  [default: 3]")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also measure with fvcore, and fail on a difference.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a network costs, without building it."""
    from nas.architecture.cost import count_cost

    options = {"width": width, "depth": depth, "resolution": resolution, "classes": classes, "channels": channels}
    architecture = _architecture(name, {key: value for key, value in options.items() if value is not None})
    counted = count_cost(architecture)
    if verify:
        from nas.models.build import build_model
        from nas.models.measure import measure_cost

        measured = measure_cost(build_model(architecture), architecture)
        if measured != counted:
            raise NasError(f"fvcore measures {measured}, but the closed form gives {counted}")
    if as_json:
        _print_json(
            {
                "name": architecture.name,
                "digest": architecture.digest,
                "resolution": architecture.resolution,
                "flops": counted.flops,
                "multiply_adds": counted.multiply_adds,
                "params": counted.params,
                "activations": counted.activations,
                "flops_by_operator": counted.flops_by_operator,
                "activations_by_operator": counted.activations_by_operator,
                "verified": verify,
            }
        )
        return
    from nas.console import cost_table, make_console

    title = f"{architecture.name} at {architecture.resolution} px, {architecture.num_classes} classes"
    console = make_console()
    console.print(cost_table(counted, title=title))
    console.print(f"{counted.params:,} parameters; one multiply-add is one FLOP, as fvcore counts", highlight=False)
    if verify:
        console.print("fvcore measures the same, operator by operator", highlight=False)


@app.command()
def check(study: StudyArgument, device: Device = "auto", as_json: AsJson = False) -> None:
    """Say before any training what a search will meet: budget, costs, networks, time."""
    from dataclasses import asdict

    from nas.search.check import check_study
    from nas.units import format_count

    report = check_study(study, device=device)
    if as_json:
        _print_json(asdict(report))
        return
    typer.echo(f"{report.study}: the budget can be met")
    typer.echo(f"  {100 * report.feasible_share:.1f} % of {report.proposals} random proposals meet it")
    typer.echo(f"  at least {report.networks} distinct networks do")
    for metric, spread in report.costs.items():
        values = [format_count(value) for value in (spread.smallest, spread.median, spread.largest)]
        typer.echo(f"  {metric:<12} {values[0]} (smallest)  {values[1]} (median)  {values[2]} (largest)")
    times = ", ".join(f"{seconds:.1f} s" for seconds in report.trial_seconds)
    typer.echo(f"  training the cheapest, median and dearest takes about {times} on {report.device}")
    typer.echo(f"  the whole study: about {report.total_seconds / 60:.1f} min with one worker")


@app.command()
def search(
    study: StudyArgument,
    trials: Annotated[int | None, typer.Option(min=0, help="Further trials; else those the study still lacks.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes side by side.")] = 1,
    device: Device = "auto",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Run a study, or continue it."""
    from nas.config import load_study_config
    from nas.console import SearchProgress, front_table, make_console

    config, _ = load_study_config(study)
    console = make_console(stderr=as_json)
    with console.status("loading"):
        from nas.analysis.pareto import pareto_front
        from nas.search.study import planned_trials, run_study

        planned = planned_trials(study, storage=storage) if trials is None else trials
    if planned == 0:
        console.print(f"{config.name} has all its trials; nas search {study} --trials N runs N more", highlight=False)
    try:
        with SearchProgress(console, total=planned, epochs=config.recipe.epochs) as progress:
            ran = run_study(study, trials=trials, workers=workers, device=device, storage=storage, on_event=progress)
    except KeyboardInterrupt:
        _complain(f"interrupted; finished trials are kept, and nas search {study} continues", 130)
        raise typer.Exit(130) from None
    front = pareto_front(ran)
    if as_json:
        _print_json(_front_document(ran.name, front))
        return
    console.print(front_table(front, title=f"Pareto front of {ran.name}"))
    console.print(f"Next: nas report {study}", markup=False)
    if front:
        console.print(f"      nas export {study} --trial {front[-1].number} -o my-network", markup=False)


@app.command()
def status(study: StudyArgument, storage: Storage = None, as_json: AsJson = False) -> None:
    """Count a study's trials by what became of them."""
    from collections import Counter

    from nas.search.store import without_password
    from nas.search.study import open_study

    opened = open_study(study, storage=storage)
    trials = opened.trials()
    counts = Counter(trial.state for trial in trials)
    best = max((trial.accuracy or 0 for trial in trials), default=0.0)
    seconds = sum(trial.train_seconds or 0 for trial in trials)
    document = {
        "study": opened.name,
        "storage": without_password(opened.storage),
        "trials": counts,
        "planned": opened.config.search.trials,
        "best_accuracy": best,
        "train_seconds": seconds,
    }
    if as_json:
        _print_json(document)
        return
    typer.echo(f"{opened.name} ({document['storage']})")
    typer.echo(f"  trials: {', '.join(f'{count} {state}' for state, count in counts.most_common()) or 'none'}")
    typer.echo(f"  best validation accuracy {100 * best:.2f} %; {seconds:.0f} s of training")


@app.command()
def front(
    study: StudyArgument,
    storage: Storage = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the front as CSV.")] = False,
) -> None:
    """Show the Pareto front of accuracy against FLOPs."""
    from nas.analysis.pareto import pareto_front, to_frame
    from nas.search.study import open_study

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other")
    opened = open_study(study, storage=storage)
    members = pareto_front(opened)
    if as_json:
        _print_json(_front_document(opened.name, members))
    elif as_csv:
        typer.echo(to_frame(members).to_csv(index=False), nl=False)
    else:
        from nas.console import front_table, make_console

        make_console().print(front_table(members, title=f"Pareto front of {opened.name}"))


@app.command()
def report(
    study: StudyArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML file; else in the study's folder.")
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Write one offline HTML file: the front, the curves, the table."""
    from nas.analysis.report import write_report
    from nas.search.study import open_study

    path = write_report(open_study(study, storage=storage), output)
    if as_json:
        _print_json({"report": str(path)})
    else:
        typer.echo(f"Report: {path}  (open it in a browser)")


@app.command()
def export(
    study: StudyArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    trial: Annotated[int | None, typer.Option(help="Number of the trial.")] = None,
    max_flops: Annotated[str | None, typer.Option(help="Or the most accurate network of at most 20M, say.")] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained network to a folder: description, weights, ONNX, how to load each."""
    from nas.search.study import open_study
    from nas.units import parse_count

    try:
        limit = None if max_flops is None else parse_count(max_flops)
    except ValueError as error:
        raise ConfigError(f"--max-flops: {error}") from None
    opened = open_study(study, storage=storage)
    from nas.export.bundle import choose_trial, export_network

    exported = export_network(opened, choose_trial(opened, number=trial, max_flops=limit), output)
    document = {
        "directory": str(exported.directory),
        "trial": exported.trial.number,
        "test_accuracy": exported.test_accuracy,
        "onnx_difference": exported.onnx_difference,
    }
    if as_json:
        _print_json(document)
        return
    typer.echo(f"Trial {exported.trial.number} ({exported.trial.label}) is in {exported.directory}")
    typer.echo(f"  test accuracy {100 * exported.test_accuracy:.2f} %")
    typer.echo(f"  onnxruntime agrees with the module; largest difference of a logit {exported.onnx_difference:.2g}")
    typer.echo(f"  how to load it: {exported.directory / 'README.md'}")


def _architecture(name: str, options: dict[str, Any]) -> Architecture:
    """Return the network that a name, a file and options of ``nas cost`` mean."""
    from nas.architecture.presets import PRESETS, preset
    from nas.architecture.serialization import load_architecture
    from nas.architecture.space import load_space
    from nas.files import did_you_mean, names_of

    if Path(name).suffix == ".json":
        _refuse(options, set(), f"{name} is an architecture file")
        return load_architecture(name)
    keywords = {"classes": "num_classes", "channels": "in_channels"}
    given = {keywords.get(key, key): value for key, value in options.items()}
    for key in ("num_classes", "in_channels", "resolution"):
        if given.get(key, 1) < 1:
            raise ConfigError(f"{key} must be at least 1, but is {given[key]}")
    if name in PRESETS:
        _refuse(options, {"resolution", "classes", "channels"}, f"{name} is a preset")
        return preset(name, **given)
    spaces = names_of("search_spaces")
    if name not in spaces and Path(name).suffix not in {".yaml", ".yml"}:
        raise ConfigError(f"unknown preset or space {name!r}{did_you_mean(name, [*PRESETS, *spaces])}")
    space = load_space(name)
    return space.architecture(**{"num_classes": 1000, "resolution": space.base_resolution, **given})


def _refuse(options: dict[str, Any], allowed: set[str], reason: str) -> None:
    for key in options.keys() - allowed:
        raise ConfigError(f"--{key} does not apply: {reason}; allowed: {', '.join(sorted(allowed)) or 'no options'}")


def _front_document(study: str, members: list[Any]) -> dict[str, Any]:
    from dataclasses import asdict

    return {"study": study, "front": [asdict(trial) for trial in members]}


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=1))


def _given(error: Exception) -> str:
    """Return the tail of a usage error that says what was given for the option it names, where it names one."""
    options = getattr(getattr(error, "param", None), "opts", ())
    pairs = zip(sys.argv, sys.argv[1:], strict=False)
    values = [value for option, value in pairs if option in options and error.__class__.__name__ == "BadParameter"]
    return f", but {values[0]!r} was given" if values else ""


def _complain(message: str, code: int) -> int:
    typer.echo(f"nas: {message}", err=True)
    return code
