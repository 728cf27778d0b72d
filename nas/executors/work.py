"""Do one task, wherever that is, and tell what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import torch

from nas.architecture.serialization import architecture_from_json
from nas.data.sources import Dataset
from nas.errors import StudyError, TrainingStopped
from nas.executors.carried import carrying
from nas.executors.faults import fault_of, is_fatal, reason_of
from nas.executors.task import Died, EpochDone, Failed, Measured, Stopped, Task, Tell, Told, ended_of
from nas.models.latency import time_inference
from nas.records import Epoch
from nas.training.job import Job, do_job
from nas.training.neighbours import NOBODY, Neighbours
from nas.training.recipe import Recipe
from nas.training.step import is_out_of_memory


class Unheard(BaseException):
    """What the listener raised: no fault of the training's, so that nothing here may catch it."""


class Crowded(Exception):
    """The device had not the memory for a training beside its neighbours; it goes on from its checkpoint, alone."""


def work(
    task: Task,
    dataset: Dataset,
    *,
    device: torch.device,
    tell: Tell,
    stop: Callable[[], bool],
    neighbours: Neighbours = NOBODY,
) -> bool:
    """Do a task, tell each epoch and the end, and return whether this process can do another.

    Args:
        task: What to do.
        dataset: Training and validation images.
        device: Where.
        tell: Called with all that is told.
        stop: Asked after each step whether to end here.
        neighbours: Other trainings of this process.

    Raises:
        Unheard: ``tell`` raised something, which is its cause.
        Crowded: There was not the memory for it beside its neighbours; nothing is told of its end.
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        with carrying(task, tell, stop) as (local, told, stopped):
            return _work(local, dataset, device=device, tell=told, stop=stopped, neighbours=neighbours)
    except StudyError as error:  # a checkpoint that lies elsewhere
        tell(Failed(task.key, "surroundings", reason_of(error)))
        return True


def _work(
    task: Task,
    dataset: Dataset,
    *,
    device: torch.device,
    tell: Tell,
    stop: Callable[[], bool],
    neighbours: Neighbours,
) -> bool:
    def heard(told: Told) -> bool:
        try:
            return tell(told)
        except Exception as error:
            raise Unheard from error

    architecture = architecture_from_json(task.architecture, source=f"network of task {task.key}")
    recipe = Recipe.model_validate_json(json.dumps(dict(task.recipe)))
    try:
        if task.timing is not None:
            backend, batch, threads = task.timing.backend, task.timing.batch, recipe.cpu_threads
            latency = time_inference(architecture, backend=backend, device=device, batch=batch, threads=threads)
            if not heard(Measured(task.key, latency)):
                heard(Stopped(task.key))
                return True
        checkpoint, weights = task.files
        goes_on = True

        def told(epoch: Epoch) -> None:
            nonlocal goes_on
            goes_on = heard(EpochDone(task.key, epoch, asks=epoch.epoch in task.rungs))

        done = do_job(
            Job(architecture, recipe, task.seed, checkpoint=checkpoint, weights=weights),
            dataset,
            device=device,
            on_epoch=told,
            go_on=lambda epoch: goes_on or epoch.epoch not in task.rungs,
            stop=stop,
            neighbours=neighbours,
        )
    except TrainingStopped:
        heard(Stopped(task.key))
    except Exception as error:
        if neighbours.crowded and is_out_of_memory(error):
            raise Crowded from None
        if is_fatal(error):
            if not neighbours.crowded:  # else it may be the fault of any of them
                heard(Died(task.key, reason_of(error)))
            return False
        heard(Failed(task.key, fault_of(error, recipe, dataset, device), reason_of(error)))
    else:
        heard(ended_of(done, task.key))
    return True
