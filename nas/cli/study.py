"""Commands that work with a study: check, search, status, front, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import AsJson, Device, Storage, StudyArgument, command_line, parsed, print_json, shown_search
from nas.cli.output import say
from nas.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from nas.analysis.pareto import FrontPoint, NoisyFront
    from nas.fronts.growth import Growth
    from nas.search.study import Study


def check(
    study: StudyArgument,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Also try so many trainings at the same time: how long does it take?")
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Check a study before you run it: budget, networks, costs, time."""
    from dataclasses import asdict

    from nas.config.budget import write_metric
    from nas.search.check import WORTH_SAYING, check_study
    from nas.units import format_seconds

    report = check_study(study, device=device, workers=workers)
    if as_json:
        print_json(asdict(report))
        return
    timed = report.fast_enough is not None
    say(f"{report.study}: the budget{', latency aside,' if timed else ''} can be met")
    if report.skipped:
        say(f"  {report.skipped} broken images are left out")
    for line in report.notes:
        say(f"  {line}")
    share = f"{100 * report.feasible_share:.1f} %"
    if report.exact:
        say(f"  {report.feasible_points:,} of {report.points:,} coefficient points meet it ({share})")
    else:
        say(f"  {share} of {report.points:,} random proposals meet it; there are too many points to count them all")
    say(f"  they give {'' if report.exact else 'at least '}{_plural(report.networks, 'distinct network')}")
    for metric, spread in report.costs.items():
        values = [write_metric(metric)(value) for value in (spread.smallest, spread.median, spread.largest)]
        say(f"  {metric:<12} {values[0]} (smallest)  {values[1]} (median)  {values[2]} (largest)")
    three = "the networks with the fewest, median and most FLOPs"
    if report.latency_ms is not None:
        times = ", ".join(f"{milliseconds:.2f} ms" for milliseconds in report.latency_ms)
        say(f"  inference takes {times} on {report.device} ({three})")
        say(f"  {report.fast_enough} of these three networks meet budget.latency_ms")
    times = ", ".join(format_seconds(seconds) for seconds in report.trial_seconds)
    say(f"  training takes about {times} on {report.device} ({three})")
    share = f"{100 * report.data_share:.1f} %"
    say(f"  preparing batches takes {share} of the step time{_held_up(report.data_share)}")
    say(
        f"  the whole study: about {_plural(round(report.trainings), 'training')} and"
        f" {format_seconds(report.total_seconds)} with one worker{', if all are fast enough' if timed else ''}"
    )
    if report.workers_seconds is not None:
        with_ = _plural(report.workers, "worker")
        say(f"  with {with_}: about {format_seconds(report.workers_seconds)}, their start included, as tried just now")
    own, best = next(iter(report.speeds)), max(report.speeds, key=lambda key: report.speeds[key])
    say("  the median network trains at")
    for name, speed in report.speeds.items():
        say(f"    {speed:>9,.0f} images/s  {name}{' (the recipe)' if name == own else ''}")
    if report.speeds[best] > WORTH_SAYING * report.speeds[own]:
        precision, layout = best.split(", ")
        say(
            f"  {report.speeds[best] / report.speeds[own]:.2f} times as fast with recipe.precision: {precision},"
            f" recipe.channels_last: {'true' if layout == 'channels last' else 'false'}"
        )


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _held_up(data_share: float) -> str:
    from nas.records import LARGE_DATA_SHARE

    return ": augmentation or reading slows training down" if data_share > LARGE_DATA_SHARE else ""


def search(
    study: StudyArgument,
    trials: Annotated[
        int | None, typer.Option(min=0, help="Number of further trials.  [default: as many as the study still needs]")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of networks to train at the same time.")] = 1,
    executor: Annotated[
        str | None,
        typer.Option(
            help="Where to train: processes, each in one of its own; inline, in this one, for debugging; or ray, on a"
            " cluster.  [default: processes]"
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of the Ray cluster: auto, HOST:PORT or ray://HOST:PORT.  [default: auto]"),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Where trainings keep their checkpoints: a folder that all machines share, or a URL such as"
            " s3://bucket/folder.  [default: the study's folder]",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="stagnant", help="Go on, past the study's trials, until the front stops improving."),
    ] = None,
    max_hours: Annotated[
        float | None, typer.Option(help="Start nothing that is likely to end after this many hours.")
    ] = None,
    max_gpu_hours: Annotated[
        float | None, typer.Option(help="The same for the hours that all trainings of this run take together.")
    ] = None,
    patience: Annotated[
        str, typer.Option(help="How long to wait for a database that does not answer, such as 90s, 10m or 1h.")
    ] = "1h",
    device: Device = "auto",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Run a study, or continue it."""
    from nas.cli.progress import make_console

    console = make_console(stderr=as_json)
    with console.status("loading"):
        from nas.analysis.findings import findings
        from nas.analysis.pareto import front_with_noise
        from nas.search.run.start import run_study
        from nas.search.study import find_study
        from nas.units import parse_seconds

        seconds = parsed("--patience", patience, parse_seconds)
        found = find_study(study, storage=storage)
        planned = trials if trials is not None or until else found.missing_trials()
    with found:
        epochs, command = found.config.recipe.epochs, command_line("search", study)
        with shown_search(console, epochs=epochs, planned=planned, command=command) as show:
            ran = run_study(
                found,
                trials=trials,
                workers=workers,
                device=device,
                until=until,  # type: ignore[arg-type]  # another word is refused there
                max_hours=max_hours,
                max_gpu_hours=max_gpu_hours,
                address=address,
                checkpoints=checkpoints,
                executor=executor,  # type: ignore[arg-type]  # another word is refused there
                patience=seconds,
                on_event=show,
            )
        front = front_with_noise(ran)
        advice = findings(ran, front)
    if planned == 0:
        console.print(f"{found.name} has all its trials. To run N more: {command} --trials N")
    if as_json:
        print_json(_front_document(ran.name, front, advice))
        return
    _show_front(console, ran, front, advice)
    console.print(f"Next: {command_line('report', study)}", soft_wrap=True)
    if front.points:
        number = front.points[-1].trial.number
        exporting = command_line("export", study, "--trial", number, "-o", "my-network")
        console.print(f"      {exporting}", soft_wrap=True)


def status(study: StudyArgument, storage: Storage = None, as_json: AsJson = False) -> None:
    """Show how a study's trials ended, and the disk space it uses."""
    from nas.search.study import open_study

    with open_study(study, storage=storage) as opened:
        growth = opened.growth()
        document = _status_document(opened, growth)
    if as_json:
        print_json(document)
        return
    say(f"{document['study']} ({document['storage']})")
    for name, states in (("trials", document["trials"]), ("further trainings", document["further_trainings"])):
        if states or name == "trials":
            say(f"  {name}: {', '.join(f'{count} {state}' for state, count in states.most_common()) or 'none'}")
    best, seconds = document["best_accuracy"], document["train_seconds"]
    shown = "nothing trained yet" if best is None else f"best expected {document['metric']} {100 * best:.2f} %"
    say(f"  {shown}; {seconds:.0f} s of training")
    if growth is not None:
        say(f"  {growth}: {'stagnant' if growth.stagnant else 'worth going on'}")
    if (share := document["data_share"]) is not None:
        say(f"  preparing batches took {100 * share:.1f} % of the step time (median trial){_held_up(share)}")
    for one in document["searches"]:
        say(f"  {_search_line(one)}")
    if halved := document["trials_in_micro_batches"]:
        say(f"  {halved} trained in micro-batches because there was not enough memory")
    for name, files in document["disk"].items():
        say(f"  {name}: {_files(**files)}")


def _search_line(search: dict[str, Any]) -> str:
    """Return who works on a study, or did last."""
    from nas.units import format_share

    hands = _plural(search["workers"], "worker")
    waited = (
        "" if search["waited_share"] is None else f", which waited {format_share(search['waited_share'])} of the time"
    )
    doing = "searching now" if search["running"] else "last search"
    leads = ", leads" if search["leads"] else ""
    return f"{doing}: {search['process']} since {search['since']}{leads}, with {hands}{waited}"


def _status_document(opened: Study, growth: Growth | None) -> dict[str, Any]:
    """Return what ``nas status --json`` prints."""
    from collections import Counter
    from dataclasses import asdict
    from datetime import datetime
    from statistics import median

    from nas.processes.owners import name_of
    from nas.records import metric_name
    from nas.search.disk import disk_use

    searches, leader = opened.searches()
    trials, repeats = opened.trials(), opened.repeats()
    seconds = [trial.train_seconds or 0 for trial in trials] + [repeat.train_seconds or 0 for repeat in repeats]
    shares = [trial.data_share for trial in trials if trial.data_share is not None]
    return {
        "study": opened.name,
        "storage": str(opened.database),
        "trials": Counter(trial.state for trial in trials),
        "planned": opened.config.search.trials,
        "further_trainings": Counter(repeat.state for repeat in repeats),
        "metric": metric_name(opened.config.recipe.metric),
        "best_accuracy": opened.best_expected(),
        "train_seconds": sum(seconds),
        "growth": None if growth is None else {**asdict(growth), "stagnant": growth.stagnant},
        "data_share": median(shares) if shares else None,
        "searches": [
            {
                "process": name_of(one.holder),
                "since": datetime.fromtimestamp(one.since).astimezone().isoformat(sep=" ", timespec="seconds"),
                "running": not one.left and not one.gone and one.lapsed < 0,
                "leads": one.holder == leader,
                "workers": one.hands,
                "waited_share": one.waited,
            }
            for one in searches
        ],
        "trials_in_micro_batches": sum(trial.micro_batch is not None for trial in trials),
        "disk": asdict(disk_use(opened.weights_folder())),
    }


def prune(
    study: StudyArgument,
    weights: Annotated[
        bool, typer.Option("--weights", help="Also remove the weights of networks off the front.")
    ] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Remove checkpoints that no training needs any more."""
    from dataclasses import asdict

    from nas.analysis.pareto import pareto_front
    from nas.search.disk import prune_checkpoints, prune_weights
    from nas.search.study import open_study

    with open_study(study, storage=storage) as opened:
        folder, trials = opened.weights_folder(), opened.trials()
        removed = {"checkpoints": prune_checkpoints(folder, trials, opened.repeats())}
        if weights:
            trained = {trial.digest for trial in trials if trial.state == "trained"}
            off_front = trained - {trial.digest for trial in pareto_front(opened)}
            removed["weights"] = prune_weights(folder, off_front)
    document = {name: asdict(files) for name, files in removed.items()}
    if as_json:
        print_json(document)
        return
    for name, files in document.items():
        say(f"Removed {name}: {_files(**files)}")


def _files(count: int, bytes: int) -> str:
    from nas.units import format_bytes

    return f"{_plural(count, 'file')}, {format_bytes(bytes)}"


def front(
    study: StudyArgument,
    storage: Storage = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the front as CSV.")] = False,
) -> None:
    """Show the Pareto front of accuracy against FLOPs."""
    from nas.analysis.findings import findings
    from nas.analysis.pareto import front_with_noise, points_to_frame
    from nas.cli.progress import make_console
    from nas.search.study import open_study

    if as_json and as_csv:
        raise ConfigError("--json and --csv cannot be used together")
    with open_study(study, storage=storage) as opened:
        found = front_with_noise(opened)
        advice = findings(opened, found)
    if as_json:
        print_json(_front_document(opened.name, found, advice))
    elif as_csv:
        say(points_to_frame(found.points).to_csv(index=False), end="")
    else:
        _show_front(make_console(), opened, found, advice)


def report(
    study: StudyArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="HTML file to write.  [default: report.html in the study's folder]"),
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Write a report of a study: one HTML file that works offline."""
    from nas.analysis.report import write_report
    from nas.search.study import open_study

    with open_study(study, storage=storage) as opened:
        path = write_report(opened, output)
    if as_json:
        print_json({"report": str(path)})
    else:
        say(f"Report: {path}  (open it in a browser)")


def _show_front(console: Console, study: Study, front: NoisyFront, found: list[str]) -> None:
    from nas.cli.tables.studies import front_notes, front_table
    from nas.records import metric_name

    by = f" by {metric_name(study.config.recipe.metric)}"
    console.print(front_table(front, title=f"Pareto front of {study.name}{by}", width=console.width))
    for note in (*front_notes(front), *found):
        console.print(note, soft_wrap=True)


def _front_document(study: str, front: NoisyFront, found: list[str]) -> dict[str, Any]:
    from dataclasses import asdict

    def rows(points: tuple[FrontPoint, ...]) -> list[dict[str, Any]]:
        return [{**asdict(point.trial), **point.facts()} for point in points]

    return {
        "study": study,
        "noise": {**asdict(front.noise), "assumed": front.noise.assumed},
        "front": rows(front.points),
        "contenders": rows(front.contenders),
        "findings": found,
    }
