"""nas latency: the front of a finished study on the device."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nas.cli.options import (
    AsJson,
    Device,
    Storage,
    StudyArgument,
    Threads,
    complain,
    known_backends,
    latency_document,
    print_json,
)
from nas.errors import ConfigError


def latency(
    study: StudyArgument,
    device: Device = "auto",
    backend: Annotated[str, typer.Option(help="Backend: eager, compile, onnxruntime or onnxruntime-int8.")] = "eager",
    batch: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 1,
    threads: Threads = 1,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Measure and rank the latency of a study's front.

    The report then shows it too.
    """
    from nas.cli.progress import make_console
    from nas.cli.tables.latency import busy_warning, disagreement_lines, front_latency_table

    chosen, *others = known_backends(backend)
    if others:
        raise ConfigError(f"--backend: give one backend, not {backend!r}")
    progress = make_console(stderr=True)
    with progress.status("loading") as status:
        from nas.analysis.latency import measure_front
        from nas.search.opening import open_study

        with open_study(study, storage=storage) as opened:
            found = measure_front(
                opened,
                device=device,
                backend=chosen,
                batch=batch,
                threads=threads,
                on_start=lambda trial: status.update(f"measuring trial {trial.number}: {trial.label}"),
            )
    if warning := busy_warning((entry.latency for entry in found.ranked), earlier=found.earlier):
        complain(warning, 0)
    if as_json:
        print_json(_document(found))
        return
    console = make_console()
    console.print(front_latency_table(found, width=console.width))
    lines = disagreement_lines(found.orders, setting=f"{backend}, batch {batch}")
    console.print("\n".join(lines), soft_wrap=True)


def _document(found: Any) -> dict[str, Any]:
    return {
        "study": found.study,
        "kendall_tau": found.orders.tau,
        "swapped": [pair._asdict() for pair in found.orders.swapped],
        "front": [
            {
                "trial": entry.trial.number,
                "accuracy": entry.accuracy,
                "flops": entry.trial.flops,
                "flops_rank": entry.flops_rank,
                "latency_rank": entry.latency_rank,
                "beaten_by": entry.beaten_by,
                "level_with": entry.level_with,
                "latency": latency_document(entry.latency),
            }
            for entry in found.ranked
        ],
    }
