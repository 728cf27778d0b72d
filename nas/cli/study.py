"""Commands that look at a study: status, report; and prune, which tidies it up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import AsJson, Storage, StudyArgument, parsed, print_json, refuse_typed
from nas.cli.output import say
from nas.errors import ConfigError

if TYPE_CHECKING:
    from nas.fronts.growth import Growth
    from nas.search.study import Study


def plural(count: int, what: str) -> str:
    """Return a count and what is counted, such as ``2 trainings``."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def held_up(data_share: float) -> str:
    """Say so where batches hold training up, given their share of the time."""
    from nas.records import LARGE_DATA_SHARE

    return ": augmentation or reading slows training down" if data_share > LARGE_DATA_SHARE else ""


def status(
    study: StudyArgument,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show how a search goes that runs elsewhere, until it ends or Ctrl-C.")
    ] = False,
    every: Annotated[
        str, typer.Option(metavar="TIME", help="With --watch, how often to look, such as 5s or 1m.")
    ] = "2s",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Show how a study's trials ended, and the disk space it uses."""
    from nas.search.opening import open_study

    refuse_typed("--every", unless=watch, reason="it says how often --watch looks")
    if watch and as_json:
        raise ConfigError("--json and --watch cannot be used together")
    if watch:
        _watch(study, storage=storage, every=every)
        return
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
        say(f"  preparing batches took {100 * share:.1f} % of the step time (median trial){held_up(share)}")
    for one in document["searches"]:
        say(f"  {_search_line(one)}")
    for name, states in document["scaling_studies"].items():
        counted = ", ".join(f"{count} {state}" for state, count in states.most_common())
        say(f"  scaling study {study}:{name}: {counted or 'none'}")
    if halved := document["trials_in_micro_batches"]:
        say(f"  {halved} trained in micro-batches because there was not enough memory")
    for name, files in document["disk"].items():
        say(f"  {name}: {_files(**files)}")


def _watch(study: str, *, storage: str | None, every: str) -> None:
    """Show a search that runs elsewhere; Ctrl-C is a way out and no interruption of anything."""
    from contextlib import suppress

    from nas.cli.live.watch import watch
    from nas.cli.progress import make_console
    from nas.search.opening import open_study
    from nas.units import parse_seconds

    seconds = parsed("--every", every, parse_seconds)
    with open_study(study, storage=storage) as opened, suppress(KeyboardInterrupt):
        watch(make_console(), opened, seconds=seconds)


def _search_line(search: dict[str, Any]) -> str:
    """Return who works on a study, or did last."""
    from nas.units import format_share

    hands = plural(search["workers"], "worker")
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
        "scaling_studies": {
            name: Counter(trial.state for trial in opened.scaling(name).trials()) for name in opened.scaling_names()
        },
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
    from nas.search.opening import open_study

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

    return f"{plural(count, 'file')}, {format_bytes(bytes)}"


def report(
    studies: Annotated[
        list[str],
        typer.Argument(metavar="STUDY...", help="Study files or names of shipped studies, of the same images."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="HTML file to write.  [default: report.html in the study's folder]"),
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Write a report: one HTML file that works offline."""
    from contextlib import ExitStack

    from nas.report.page import write_report
    from nas.search.opening import open_study

    with ExitStack() as opened:
        path = write_report([opened.enter_context(open_study(name, storage=storage)) for name in studies], output)
    if as_json:
        print_json({"report": str(path)})
    else:
        say(f"Report: {path}  (open it in a browser)")
