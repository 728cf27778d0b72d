"""A network trained from several seeds while one looks on, and what the figures do not show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nas.cli.job import Job
from nas.processes.interrupts import interruptible

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from nas.records import Epoch
    from nas.training.repeat import SeedResult
    from nas.training.result import StepDone


class SeedsTrained(NamedTuple):
    """What each seed came to: a result, or why its training diverged."""

    results: list[SeedResult]
    diverged: dict[int, str]


def train_seeds(
    job: Job,
    console: Console,
    *,
    seeds: int,
    device: torch.device,
    initial: dict[str, torch.Tensor] | None,
    folder: Path,
) -> SeedsTrained:
    """Train from every seed and show how far it is.

    Raises:
        KeyboardInterrupt: What was trained until then is in the folder.
        TrainingDiverged: All of them diverged.
    """
    from nas.cli.progress import TrainingProgress
    from nas.training.repeat import AFTER_SEARCHES, train_repeatedly

    diverged: dict[int, str] = {}
    progress = TrainingProgress(console, job.recipe, images=len(job.dataset.train), seeds=seeds)
    with interruptible() as check, progress:

        def show(repeat: int, epoch: Epoch) -> None:
            check()
            progress.epoch(repeat, epoch)

        def step(repeat: int, done: StepDone) -> None:
            check()
            progress.step(repeat, done)

        def finish(result: SeedResult) -> None:
            progress.result(result)
            job.keep_look(result.test.accuracy)

        def diverge(repeat: int, reason: str) -> None:
            diverged[repeat] = reason
            progress.diverged(repeat, reason)

        results = train_repeatedly(
            job.architecture,
            job.dataset,
            job.test,
            job.recipe,
            repeats=seeds,
            counted_from=0 if job.selecting is None else AFTER_SEARCHES,
            device=device,
            initial=initial,
            folder=folder,
            on_epoch=show,
            on_step=step,
            on_result=finish,
            on_diverged=diverge,
        )
        return SeedsTrained(results, diverged)


def remarks(job: Job, trained: SeedsTrained) -> list[str]:
    """Return what the figures do not show: what they leave out, and what held the training up."""
    from nas.records import LARGE_DATA_SHARE

    results, lines = trained.results, []
    if trained.diverged:
        count = len(results) + len(trained.diverged)
        lines.append(f"{len(results)} of {count} seeds; {len(trained.diverged)} diverged, not counted")
    if job.selecting is not None and job.selecting.accuracy is not None:
        lines.append(f"The search's own training: validation {100 * job.selecting.accuracy:.2f} %, not counted")
    share = max(result.data_share for result in results)
    if share > LARGE_DATA_SHARE:
        text = f"Preparing batches took {100 * share:.0f} % of the step time"
        lines.append(f"{text}: augmentation or reading slows training down")
    sizes = [result.micro_batch for result in results if result.micro_batch is not None]
    if sizes:
        lines.append(f"There was not enough memory for whole batches: steps took at most {min(sizes)} images at once")
    return lines
