"""Train one architecture and keep its curve."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from nas.architecture.spec import Architecture
from nas.data.batches import ImageBatches, standardisation
from nas.data.sources import Dataset
from nas.errors import TrainingDiverged, TrainingStopped
from nas.records import Epoch
from nas.training.checkpoint import load_checkpoint, save_checkpoint
from nas.training.neighbours import NOBODY, Neighbours
from nas.training.norms import chosen_images
from nas.training.optimizer import class_weights
from nas.training.preparing import (
    bring,
    build_on,
    fitting_batch,
    flips,
    own_state,
    regularised,
    validation_batch,
)
from nas.training.recipe import Recipe
from nas.training.result import StepDone, TrainingResult
from nas.training.run import Run
from nas.training.step import clear_gradients
from nas.training.teachers import load_teachers


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
    stop: Callable[[], bool] | None = None,
    neighbours: Neighbours = NOBODY,
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
        stop: Asked after each step. If it returns true, the checkpoint is written and the training ends.
        neighbours: Other trainings of this process. Beside some, no batch is halved where memory is short.

    Raises:
        TrainingDiverged: The loss of an epoch is not finite.
        TrainingStopped: ``stop`` said so.
        StudyError: The checkpoint cannot be written.
        DataError: The recipe needs an augmentation whose library is not installed.
        WeightsError: A teacher of the recipe cannot be read, has changed, or knows other classes.
        DeviceError: There is not enough memory for the smallest step.
        OutOfMemoryError: torch's, beside neighbours.
    """
    key = _checkpoint_key(architecture, dataset, recipe, seed=seed, initial=initial or {})
    architecture = regularised(architecture, recipe)
    with own_state(device, seed=seed, threads=recipe.cpu_threads):
        run = _new_run(
            architecture, dataset, recipe, seed=seed, device=device, initial=initial or {}, neighbours=neighbours
        )
        saver = _Saver(run, checkpoint, key=key, seconds=checkpoint_seconds)
        saver.restore()

        def after_step() -> None:
            saver.sometimes()
            if on_step is not None:
                on_step(StepDone(*run.steps, run.train_accuracy))
            if stop is not None and stop():
                saver.save()
                raise TrainingStopped("it goes on from its checkpoint")
            neighbours.let_go_on()

        images = _Images(dataset, recipe, device=device, resolution=architecture.resolution, seed=seed)
        paused = _train_epochs(run, images, saver, tell=on_epoch, after_step=after_step, go_on=go_on)
        if not (keep_checkpoint or paused):
            saver.discard()
    clear_gradients(run.model)
    return TrainingResult(
        run.validated_model().eval(),
        tuple(run.curve),
        sum(epoch.seconds for epoch in run.curve),
        steps=run.steps[0],
        answers=run.answers.cpu().numpy(),
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
    neighbours: Neighbours,
) -> Run:
    """Return a training that has taken no step yet."""
    images = len(dataset.train)
    micro_batch = fitting_batch(architecture, recipe.step_images(images), device)
    generator = torch.Generator(device).manual_seed(seed)
    model = build_on(device, architecture, recipe)
    model.load_state_dict({**model.state_dict(), **initial})
    teachers = load_teachers(recipe, dataset, device=device, resolution=architecture.resolution)
    weights = class_weights(recipe, torch.from_numpy(dataset.train.labels), num_classes=architecture.num_classes)
    return Run(
        model,
        architecture,
        recipe,
        train_images=images,
        generator=generator,
        micro_batch=micro_batch,
        validation_batch=validation_batch(architecture, device),
        class_weights=None if weights is None else weights.to(device),
        teachers=teachers,
        neighbours=neighbours,
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
    validation, norm_set = images.validation(), images.of_norms()
    train_set = images.train(run.image_size)
    while not (run.ended or paused):
        if train_set.size != run.image_size:
            del train_set  # there may be memory for one only
            train_set = images.train(run.image_size)
        try:
            epoch = run.epoch(train_set, validation, flip=images.flip, norm_set=norm_set, after_step=after_step)
        except TrainingDiverged:
            saver.discard()
            raise
        saver.save()
        tell(epoch)
        paused = pauses()
    return paused


class _Images:
    """The images of a training, brought to its device at the size that it asks for."""

    def __init__(self, dataset: Dataset, recipe: Recipe, *, device: torch.device, resolution: int, seed: int) -> None:
        self._dataset = dataset
        self._recomputes = recipe.norm_statistics == "recomputed"
        self._seed = seed
        self._resolution = resolution
        self._bring = partial(bring, standard=standardisation(dataset), recipe=recipe, device=device)
        self.flip = flips(dataset, recipe)

    def train(self, resolution: int) -> ImageBatches:
        return self._bring(self._dataset.train, resolution=resolution)

    def validation(self) -> ImageBatches:
        return self._bring(self._dataset.validation, resolution=self._resolution)

    def of_norms(self) -> ImageBatches | None:
        """Return the training images over which norms are recomputed, if they are."""
        if not self._recomputes:
            return None
        train_set = self._dataset.train
        chosen = chosen_images(len(train_set), seed=self._seed)
        return self._bring(train_set.take(chosen), resolution=self._resolution)


class _Saver:
    """Saves a run now and then, where there is a file for it."""

    def __init__(self, run: Run, path: Path | None, *, key: str, seconds: float) -> None:
        self._path = path
        self._run = run
        self._key = key
        self._seconds = seconds
        self._saved = time.monotonic()

    def restore(self) -> None:
        if self._path is None or (state := load_checkpoint(self._path, key=self._key)) is None:
            return
        if self._run.can_restore(state):
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
