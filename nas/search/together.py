"""How much faster several workers are than one, tried on this machine before a study is run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from nas.architecture.serialization import architecture_to_json
from nas.architecture.spec import Architecture
from nas.config.study import StudyConfig
from nas.data.sources import Dataset
from nas.errors import MeasurementError
from nas.executors.processes import Processes
from nas.executors.sharing import Sharing
from nas.executors.task import Died, Ended, EpochDone, Failed, Task, Told

_SECONDS = 4.0
"""That a trial training should take, at least, if it is to tell something."""


@dataclass(frozen=True, slots=True)
class Together:
    """What was tried.

    Attributes:
        workers: Trainings at the same time.
        start: Seconds until the first of their processes had trained something, their epoch left out.
        slowdown: How many times as long a training takes beside the others as alone.
    """

    workers: int
    start: float
    slowdown: float

    def seconds(self, alone: float, *, trainings: float) -> float:
        """Return how long a study takes.

        Args:
            alone: Seconds of all its trainings, one after another.
            trainings: How many there are.
        """
        each = alone / max(1.0, trainings) * self.slowdown
        rounds = max(1.0, trainings / self.workers)
        return self.start + each * rounds


def try_together(
    config: StudyConfig,
    dataset: Dataset,
    architecture: Architecture,
    *,
    devices: Sequence[torch.device],
    sharing: Sharing | None = None,
) -> Together:
    """Train a network for some seconds alone and then on all devices at the same time, in shared processes or not.

    Raises:
        MeasurementError: A training failed or its process died.
    """
    hands = Processes(config.data, lambda: dataset, devices=[str(device) for device in devices], sharing=sharing)
    with tempfile.TemporaryDirectory() as folder:
        try:
            began = time.monotonic()
            hands.prepare(len(devices))
            first = _train(hands, config, architecture, folder=folder, epochs=1, times=len(devices))
            start = time.monotonic() - began - max(first)
            epochs = max(2, round(_SECONDS / statistics.mean(first)))
            alone = _train(hands, config, architecture, folder=folder, epochs=epochs, times=1)
            beside = _train(hands, config, architecture, folder=folder, epochs=epochs, times=len(devices))
        finally:
            hands.close()
    return Together(len(devices), max(0.0, start), statistics.mean(beside) / alone[0])


def _train(
    hands: Processes, config: StudyConfig, architecture: Architecture, *, folder: str, epochs: int, times: int
) -> list[float]:
    """Return the seconds of the same training, made so many times at once."""
    length = {"epochs": epochs, "steps": None, "images": None, "early_stopping": None}
    recipe = config.recipe.model_copy(update=length).model_dump(mode="json")
    seconds = list[float]()

    def tell(told: Told) -> bool:
        if isinstance(told, Died | Failed):
            reason = told.how if isinstance(told, Died) else told.reason
            raise MeasurementError(f"trying {times} workers: a training {'process ' * isinstance(told, Died)}{reason}")
        if isinstance(told, Ended):
            seconds.append(told.train_seconds)
        return isinstance(told, EpochDone)

    network = architecture_to_json(architecture)
    for place in range(times):
        hands.start(
            Task(f"{epochs}.{place}", network, recipe, place, str(Path(folder) / f"{epochs}.{place}.safetensors"))
        )
    while hands.running:
        hands.wait(tell, seconds=1.0)
    return seconds
