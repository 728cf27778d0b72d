"""Train one architecture and keep its curve."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nas.architecture.cost import count_cost
from nas.architecture.spec import Architecture
from nas.data.batches import ImageBatches, Standardisation, standardisation, to_device
from nas.data.sources import Dataset
from nas.data.types import ImageSet
from nas.errors import DeviceError, TrainingDiverged
from nas.models.build import Network, build_model
from nas.models.device import device_memory
from nas.models.memory import estimate_training_memory
from nas.processes.threads import cpu_threads
from nas.records import Epoch
from nas.training.allocator import kept_memory
from nas.training.checkpoint import load_checkpoint, save_checkpoint
from nas.training.evaluate import LARGEST_BATCH
from nas.training.recipe import Recipe
from nas.training.result import StepDone, TrainingResult
from nas.training.run import Run
from nas.training.step import SMALLEST_BATCH, STEPS_BEFORE_REPLAY, clear_gradients
from nas.units import format_bytes

_WARM_UP = 2  # steps that are not timed on a CPU

_ROUND_ON_GPU = 20  # steps that are timed together: within a training nobody waits for each

_SHARE_OF_IMAGES = 0.5  # of a device's free memory, for each part of a data set


def trial_seed(study_seed: int, digest: str, repeat: int = 0) -> int:
    """Return the seed of a trial: the same for the same network, in whatever order, worker or resume it runs."""
    key = f"{study_seed}/{digest}/{repeat}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=7).digest(), "big")


def train(
    architecture: Architecture,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    keep_checkpoint: bool = False,
    initial: Mapping[str, Tensor] | None = None,
    on_step: Callable[[StepDone], None] | None = None,
    go_on: Callable[[Epoch], bool] | None = None,
) -> TrainingResult:
    """Train a network from scratch, or continue an interrupted training from its checkpoint.

    The same arguments give bit-identical results on the same CPU, whether the training was interrupted or not. Images
    that take up at most half of the device's free memory are kept there; others are streamed to it. The global random
    state and the number of threads are restored at the end.

    Args:
        architecture: The network. Images are resized to its resolution.
        dataset: Training and validation images.
        recipe: Optimiser, schedule and augmentation.
        seed: Random seed of initialisation, order, augmentation, dropout and stochastic depth.
        device: Device to train on.
        on_epoch: Called after each epoch with its figures. A continued training first repeats those of earlier epochs.
        checkpoint: File that is written after each epoch and removed at the end; default: none.
        checkpoint_seconds: How often the file is also written within an epoch, in seconds.
        keep_checkpoint: Keep the file at the end, so that the same training returns its result at once next time.
        initial: Parameters and buffers to start with; those that are missing are freshly initialised.
        on_step: Called after each step.
        go_on: Called after each epoch except the last, and with the last epoch of the checkpoint. If it returns false,
            training pauses and its checkpoint stays, so that the same training can continue from there.

    Raises:
        TrainingDiverged: The loss of an epoch is not finite.
        StudyError: The checkpoint cannot be written.
        DataError: The recipe needs an augmentation whose library is not installed.
        DeviceError: There is not enough memory for the smallest step.
    """
    key = _checkpoint_key(architecture, dataset, recipe, seed=seed, initial=initial or {})
    architecture = _regularised(architecture, recipe)
    with _own_state(device, seed=seed, threads=recipe.cpu_threads):
        run = _new_run(architecture, dataset, recipe, seed=seed, device=device, initial=initial or {})
        saver = _Saver(run, checkpoint, key=key, seconds=checkpoint_seconds)
        saver.restore()

        def after_step() -> None:
            saver.sometimes()
            if on_step is not None:
                on_step(StepDone(*run.steps, run.train_accuracy))

        images = _Images(dataset, recipe, device=device, resolution=architecture.resolution)
        paused = _train_epochs(run, images, saver, tell=on_epoch, after_step=after_step, go_on=go_on)
        if not (keep_checkpoint or paused):
            saver.discard()
    clear_gradients(run.model)
    return TrainingResult(
        run.best_model().eval(),
        tuple(run.curve),
        sum(epoch.seconds for epoch in run.curve),
        steps=run.steps[0],
        micro_batch=run.micro_batch,
        data_share=run.clock.share,
        paused=paused,
    )


def _new_run(
    architecture: Architecture,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    initial: Mapping[str, Tensor],
) -> Run:
    """Return a training that has taken no step yet."""
    images = len(dataset.train)
    micro_batch = fitting_batch(architecture, recipe.step_images(images), device)
    generator = torch.Generator(device).manual_seed(seed)
    model = _build_on(device, architecture, channels_last=recipe.channels_last)
    model.load_state_dict({**model.state_dict(), **initial})
    return Run(
        model,
        architecture,
        recipe,
        train_images=images,
        generator=generator,
        micro_batch=micro_batch,
        validation_batch=validation_batch(architecture, device),
    )


def _train_epochs(
    run: Run,
    images: _Images,
    saver: _Saver,
    *,
    tell: Callable[[Epoch], None] | None,
    after_step: Callable[[], None],
    go_on: Callable[[Epoch], bool] | None,
) -> bool:
    """Train until the end or a pause, and tell which: True where it paused."""
    tell = tell or (lambda epoch: None)

    def pauses() -> bool:
        # asked of the epoch gone on from too: it may have been stopped after its file was written and before this
        return go_on is not None and not run.ended and bool(run.curve) and not go_on(run.curve[-1])

    for epoch in run.curve:
        tell(epoch)
    paused = pauses()
    validation = images.validation()
    train_set = images.train(run.resolution)
    while not (run.ended or paused):
        if train_set.size != run.resolution:
            del train_set  # there may be memory for one only
            train_set = images.train(run.resolution)
        try:
            epoch = run.epoch(train_set, validation, flip=images.flip, after_step=after_step)
        except TrainingDiverged:
            saver.discard()
            raise
        saver.save()
        tell(epoch)
        paused = pauses()
    return paused


class _Images:
    """The images of a training, brought to its device at the size that it asks for."""

    def __init__(self, dataset: Dataset, recipe: Recipe, *, device: torch.device, resolution: int) -> None:
        self._dataset = dataset
        self._resolution = resolution
        self._bring = partial(bring, standard=standardisation(dataset), recipe=recipe, device=device)
        self.flip = _flip(dataset, recipe)

    def train(self, resolution: int) -> ImageBatches:
        return self._bring(self._dataset.train, resolution=resolution)

    def validation(self) -> ImageBatches:
        return self._bring(self._dataset.validation, resolution=self._resolution)


def bring(
    part: ImageSet, *, resolution: int, standard: Standardisation, recipe: Recipe, device: torch.device
) -> ImageBatches:
    """Bring images to a device as a recipe wants them, batch by batch where they take half of its free memory.

    Args:
        part: Training, validation or test images.
        resolution: Height and width in pixels.
        standard: Of the training images.
        recipe: Tells the layout.
        device: Where.
    """
    return to_device(
        part,
        resolution=resolution,
        standard=standard,
        device=device,
        room=_room(device),
        channels_last=recipe.channels_last,
    )


def _room(device: torch.device) -> int:
    return round(_SHARE_OF_IMAGES * device_memory(device).free)


def validation_batch(architecture: Architecture, device: torch.device) -> int:
    """Return how many images to look at at once without gradients: as many as a quarter of the memory holds."""
    most = device_memory(device).total // (4 * 2 * count_cost(architecture).peak_memory)
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, most))


def fitting_batch(architecture: Architecture, batch: int, device: torch.device) -> int | None:
    """Return how many images of a batch a device is sure to have memory for at once, or None where all of them.

    Where a CPU has not the memory, the system ends the process, so its steps are halved beforehand, by an estimate. A
    GPU says so, and its steps are halved then.

    Raises:
        DeviceError: There is not memory for the smallest step.
    """
    total, cost = device_memory(device).total, count_cost(architecture)
    least = estimate_training_memory(cost, batch=SMALLEST_BATCH).low
    if least > total:
        raise DeviceError(
            f"training {architecture.name or 'the network'} at {architecture.resolution} px needs at least"
            f" {format_bytes(least)} for {SMALLEST_BATCH} images at once, but {device} has {format_bytes(total)}"
        )
    fitting = batch
    while device.type == "cpu" and fitting > SMALLEST_BATCH:
        if estimate_training_memory(cost, batch=fitting).high <= total:
            break
        fitting = max(SMALLEST_BATCH, math.ceil(fitting / 2))
    return None if fitting == batch else fitting


class _Saver:
    """Saves a run now and then, where there is a file for it."""

    def __init__(self, run: Run, path: Path | None, *, key: str, seconds: float) -> None:
        self._path = path
        self._run = run
        self._key = key
        self._seconds = seconds
        self._saved = time.monotonic()

    def restore(self) -> None:
        if self._path is not None and (state := load_checkpoint(self._path, key=self._key)) is not None:
            self._run.restore(state)

    def save(self) -> None:
        if self._path is not None:
            save_checkpoint(self._path, self._run.state(), key=self._key)
            self._saved = time.monotonic()

    def sometimes(self) -> None:
        if time.monotonic() - self._saved >= self._seconds:
            self.save()

    def discard(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _checkpoint_key(
    architecture: Architecture, dataset: Dataset, recipe: Recipe, *, seed: int, initial: Mapping[str, Tensor]
) -> str:
    begun = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(initial.items()):
        begun.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    images = [dataset.content_digest(), dataset.space]
    return json.dumps([architecture.digest, *images, recipe.model_dump(mode="json"), seed, begun.hexdigest()])


class StepTime(NamedTuple):
    """Seconds of a training step, batch and all, and the share of them that went into making the batch."""

    seconds: float
    data_share: float


def time_step(
    architecture: Architecture, dataset: Dataset, recipe: Recipe, *, device: torch.device, steps: int = 5
) -> StepTime:
    """Time the training step on a data set, warmed up, as the median of a few.

    Args:
        architecture: What to time.
        dataset: Whose training images are used.
        recipe: How; its length and schedule do not matter.
        device: Where.
        steps: Number of timed steps; on a GPU, of rounds of some.
    """
    warm_up, length = (STEPS_BEFORE_REPLAY, _ROUND_ON_GPU) if device.type == "cuda" else (_WARM_UP, 1)
    total = warm_up + steps * length
    fixed = {"epochs": None, "images": None, "steps": total, "schedule": "constant", "progressive": 1.0}
    recipe = recipe.model_copy(update=fixed)
    architecture = _regularised(architecture, recipe)
    images = len(dataset.train)
    with _own_state(device, seed=0, threads=recipe.cpu_threads):
        batch = recipe.step_images(images)
        model = _build_on(device, architecture, channels_last=recipe.channels_last)
        generator = torch.Generator(device).manual_seed(0)
        micro_batch = fitting_batch(architecture, batch, device)
        run = Run(model, architecture, recipe, train_images=images, generator=generator, micro_batch=micro_batch)
        train_set = to_device(
            dataset.train.take(np.arange(min(images, batch * total))),
            resolution=architecture.resolution,
            standard=standardisation(dataset),
            device=device,
            room=None if _room(device) >= images * architecture.resolution**2 * dataset.channels else 0,
            channels_last=recipe.channels_last,
        )
        batches = run.all_batches(train_set, flip=_flip(dataset, recipe))

        def seconds(count: int) -> float:
            started = time.perf_counter()
            run.take_steps(itertools.islice(batches, count))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return (time.perf_counter() - started) / count

        seconds(warm_up)
        run.clock.reset()
        return StepTime(statistics.median(seconds(length) for _ in range(steps)), run.clock.share)


def _flip(dataset: Dataset, recipe: Recipe) -> bool:
    return dataset.mirrors if recipe.flip is None else recipe.flip


def _regularised(architecture: Architecture, recipe: Recipe) -> Architecture:
    """Return a network with the dropout and stochastic depth that a recipe sets in place of its own."""
    dropout, depth = recipe.dropout, recipe.stochastic_depth
    return dataclasses.replace(
        architecture,
        dropout=architecture.dropout if dropout is None else dropout,
        stochastic_depth=architecture.stochastic_depth if depth is None else depth,
    )


@contextmanager
def _own_state(device: torch.device, *, seed: int, threads: int) -> Iterator[None]:
    """Run with a seed and a number of CPU threads, and leave both as they were."""
    cuda = device.type == "cuda"
    # streams, events and graphs of torch are those of the current device
    current = torch.cuda.device(device) if cuda else nullcontext()
    with kept_memory(), current, cpu_threads(threads), torch.random.fork_rng(devices=[device] if cuda else []):
        torch.manual_seed(seed)
        yield


def _build_on(device: torch.device, architecture: Architecture, *, channels_last: bool) -> Network:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model: Network = build_model(architecture).to(device=device, memory_format=layout)  # type: ignore[call-overload]
    return model
