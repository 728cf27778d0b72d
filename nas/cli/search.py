"""Commands that run a study: check, which tries what it would take, and search."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from nas.cli.front import front_document, seen_front, show_front
from nas.cli.options import (
    AsJson,
    Device,
    Storage,
    StudyArgument,
    both,
    command_line,
    parsed,
    print_json,
    refuse_typed,
    shown_search,
    tracked,
)
from nas.cli.output import say
from nas.cli.study import held_up, plural
from nas.errors import ConfigError

ShareGpu = Annotated[
    bool, typer.Option("--share-gpu", help="Let the workers of a GPU share one process, which does their work at once.")
]


def check(
    study: StudyArgument,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Also try so many trainings at the same time: how long does it take?")
    ] = None,
    hours: Annotated[
        float | None, typer.Option(help="Also say how many of the study's trainings end within so many hours.")
    ] = None,
    share_gpu: ShareGpu = False,
    device: Device = "auto",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Check a study before you run it: budget, networks, costs, time."""
    from dataclasses import asdict

    from nas.config.budget import write_metric
    from nas.search.check import WORTH_SAYING, check_study
    from nas.units import format_seconds, format_share

    if hours is not None and not 0 < hours < math.inf:
        raise ConfigError(f"--hours must be a number above 0, but is {hours:g}")
    refuse_typed("--share-gpu", unless=workers is not None, reason="it says how --workers train")
    report = check_study(study, device=device, workers=workers, share_gpu=share_gpu, storage=storage)
    within = None if hours is None else report.trainings_within(3600 * hours)
    if as_json:
        print_json({**asdict(report), "hours": hours, "trainings_in_hours": within})
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
    say(f"  they give {'' if report.exact else 'at least '}{plural(report.networks, 'distinct network')}")
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
    if (error := report.seconds_error) is not None:
        say(
            f"  FLOPs and activations tell times to within {format_share(error.median)} (median) or"
            f" {format_share(error.largest)} (worst), each network by the others{'; kept with the study' * report.kept}"
        )
    share = f"{100 * report.data_share:.1f} %"
    say(f"  preparing batches takes {share} of the step time{held_up(report.data_share)}")
    say(
        f"  the whole study: about {plural(round(report.trainings), 'training')} and"
        f" {format_seconds(report.total_seconds)} with one worker{', if all are fast enough' if timed else ''}"
    )
    if report.workers_seconds is not None:
        with_ = plural(report.workers, "worker")
        say(f"  with {with_}: about {format_seconds(report.workers_seconds)}, their start included, as tried just now")
    if within is not None:
        whole = within == report.trainings
        say(f"  within {hours:g} h: {'all of them' if whole else f'about {math.floor(within):,} of them'}")
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


def search(
    study: StudyArgument,
    trials: Annotated[
        int | None, typer.Option(min=0, help="Number of further trials.  [default: as many as the study still needs]")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of networks to train at the same time.")] = 1,
    share_gpu: ShareGpu = False,
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
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRACKER[:PROJECT]",
            help="Also tell trackio, wandb or mlflow of each training; may be given more than once.  [default: none]",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only what went wrong, and the end.")] = False,
    device: Device = "auto",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Run a study, or continue it."""
    from nas.cli.progress import make_console

    console = make_console(stderr=as_json)
    with console.status("loading"):
        from nas.search.opening import find_study
        from nas.search.run.start import run_study
        from nas.units import parse_seconds

        seconds = parsed("--patience", patience, parse_seconds)
        found = find_study(study, storage=storage)
        planned = trials if trials is not None or until else found.missing_trials()
    with found:
        command = command_line("search", study)
        with (
            tracked(found, track or []) as tell,
            shown_search(console, found, planned=planned, command=command, quiet=quiet) as show,
        ):
            ran = run_study(
                found,
                trials=trials,
                workers=workers,
                share_gpu=share_gpu,
                device=device,
                until=until,  # type: ignore[arg-type]  # another word is refused there
                max_hours=max_hours,
                max_gpu_hours=max_gpu_hours,
                address=address,
                checkpoints=checkpoints,
                executor=executor,  # type: ignore[arg-type]  # another word is refused there
                patience=seconds,
                on_event=both(show, tell),
            )
        seen = seen_front(ran)
    if planned == 0:
        console.print(f"{found.name} has all its trials. To run N more: {command} --trials N")
    if as_json:
        print_json(front_document(seen))
        return
    show_front(console, seen)
    console.print(f"Next: {command_line('report', study)}", soft_wrap=True)
    if seen.answer is not None:
        exporting = command_line("export", study, "--trial", seen.answer.best.trial.number, "-o", "my-network")
        console.print(f"      {exporting}", soft_wrap=True)
