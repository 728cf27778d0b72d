"""Train one architecture and keep its curve."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.architecture.spec import Architecture
from nas.data.batches import Batch, DeviceImages, standardisation, to_device
from nas.data.sources import Dataset
from nas.data.types import ImageSet
from nas.errors import ArchitectureError, TrainingDiverged
from nas.models.build import Network, build_model
from nas.training.optimizer import Schedule, make_loss, make_optimizer
from nas.training.recipe import Recipe

_EVALUATION_BATCH = 512


@dataclass(frozen=True, slots=True)
class Epoch:
    """One point of a learning curve.

    Attributes:
        epoch: Counted from 1.
        train_loss: Mean over the epoch's steps, label smoothing included.
        train_accuracy: Share right over the epoch's augmented images, in 0 to 1.
        val_loss: Cross-entropy on the validation images after the epoch, without smoothing.
        val_accuracy: Share of the validation images right after the epoch, in 0 to 1.
        seconds: Of the epoch, validation included.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


class Score(NamedTuple):
    """Mean loss, and share of the images right in 0 to 1."""

    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained network.

    Attributes:
        model: In eval mode, on the device it was trained on.
        curve: One entry per epoch.
        train_seconds: From the first step to the last validation.
    """

    model: Network
    curve: tuple[Epoch, ...]
    train_seconds: float

    @property
    def val_accuracy(self) -> float:
        """Of the last epoch: choosing the best would flatter noisy networks."""
        return self.curve[-1].val_accuracy


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
) -> TrainingResult:
    """Train a network from scratch.

    The same arguments give bit-identical results on the same CPU. On CUDA the forward pass runs under bfloat16
    autocast. The global random state and the number of threads are left as they were.

    Args:
        architecture: Its resolution is what images are resized to.
        dataset: Training and validation images.
        recipe: Optimiser, schedule and augmentation.
        seed: Of initialisation, order, augmentation, dropout and stochastic depth.
        device: Where to train.
        on_epoch: Called after each epoch with its figures.

    Raises:
        TrainingDiverged: The loss of an epoch is not finite.
    """
    architecture = _regularised(architecture, recipe)
    standard = standardisation(dataset)

    def at(part: ImageSet, resolution: int) -> DeviceImages:
        return to_device(part, resolution=resolution, standard=standard, device=device)

    with _own_state(device, seed=seed, threads=recipe.cpu_threads):
        run = _Run(_build_on(device, architecture), architecture, recipe, train_images=len(dataset.train))
        generator = torch.Generator(device).manual_seed(seed)
        started = time.perf_counter()
        curve: list[Epoch] = []
        flip = dataset.mirrors if recipe.flip is None else recipe.flip
        validation = at(dataset.validation, architecture.resolution)
        train_set = at(dataset.train, run.resolution(1))
        while not run.ended(curve):
            if train_set.size != run.resolution(len(curve) + 1):
                train_set = at(dataset.train, run.resolution(len(curve) + 1))
            curve.append(run.epoch(len(curve) + 1, train_set, validation, flip=flip, generator=generator))
            if on_epoch is not None:
                on_epoch(curve[-1])
    return TrainingResult(run.best_model().eval(), tuple(curve), time.perf_counter() - started)


def time_step(architecture: Architecture, *, batch_size: int, device: torch.device, steps: int = 5) -> float:
    """Return the median seconds of one training step on random images, after two steps of warm-up.

    Args:
        architecture: What to time.
        batch_size: Images in a step.
        device: Where.
        steps: Number of timed steps.
    """
    size = (batch_size, architecture.in_channels, architecture.resolution, architecture.resolution)
    recipe = Recipe(steps=2 + steps, batch_size=batch_size, schedule="constant", warmup=0.0)
    with _own_state(device, seed=0, threads=recipe.cpu_threads):
        model = _build_on(device, architecture)
        batch = Batch(
            torch.randn(size, device=device).to(memory_format=torch.channels_last),
            torch.randint(architecture.num_classes, (batch_size,), device=device),
        )
        run = _Run(model, architecture, recipe, train_images=batch_size)
        seconds = []
        for _ in range(2 + steps):
            started = time.perf_counter()
            run.take_steps([batch])
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[2:])


def evaluate(model: nn.Module, images: DeviceImages) -> Score:
    """Return loss and accuracy of a model in eval mode, which is its mode afterwards.

    Args:
        model: Maps standardised images to logits.
        images: On the model's device, at its resolution.
    """
    model.eval()
    totals = torch.zeros(2, device=images.images.device, dtype=torch.float64)
    with torch.inference_mode():
        for batch in images.in_order(_EVALUATION_BATCH):
            with _autocast(batch.images.device):
                logits = model(batch.images)
            totals[0] += functional.cross_entropy(logits.float(), batch.labels, reduction="sum")
            totals[1] += _right(logits, batch.labels)
    loss, right = (totals / len(images)).tolist()
    return Score(loss, right)


class _Run:
    """One training: the model, what steps it, and how far it has come."""

    def __init__(self, model: Network, architecture: Architecture, recipe: Recipe, *, train_images: int) -> None:
        self.model = model
        self._architecture = architecture
        self._recipe = recipe
        self._batch_size = recipe.step_images(train_images)
        self._total_steps = recipe.total_steps(train_images)
        self._total_epochs = recipe.total_epochs(train_images)
        self._steps_left = self._total_steps
        self._optimizer = make_optimizer(model, recipe, learning_rate=recipe.peak_learning_rate(train_images))
        self._schedule = Schedule(self._optimizer, recipe, total_steps=self._total_steps)
        self._loss = make_loss(recipe, model)
        self._average: torch.optim.swa_utils.AveragedModel | None = None
        if recipe.ema:
            average = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
            self._average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=average, use_buffers=True)

    def ended(self, curve: Sequence[Epoch]) -> bool:
        """Tell whether all steps were taken, or the validation accuracy has not risen for too long."""
        patience = self._recipe.early_stopping
        if patience is not None and len(curve) > patience:
            best = max(epoch.val_accuracy for epoch in curve[:-patience])
            if all(epoch.val_accuracy <= best for epoch in curve[-patience:]):
                return True
        return self._steps_left == 0

    def resolution(self, epoch: int) -> int:
        """Return the resolution of the training images in an epoch, counted from 1."""
        final, share = self._architecture.resolution, self._recipe.progressive
        rising = max(1, round(0.8 * self._total_epochs)) - 1
        if share == 1 or epoch > rising:
            return final
        wanted = round(final * (share + (1 - share) * (epoch - 1) / rising))
        return next(size for size in range(wanted, final + 1) if _fits(self._architecture, size))

    def best_model(self) -> Network:
        """Return the averaged model where there is one."""
        return self.model if self._average is None else cast(Network, self._average.module)

    def epoch(
        self, number: int, train_set: DeviceImages, val_set: DeviceImages, *, flip: bool, generator: torch.Generator
    ) -> Epoch:
        """Train and validate once.

        Raises:
            TrainingDiverged: The loss of the epoch is not finite.
        """
        started = time.perf_counter()
        padding = round(self._recipe.crop * train_set.size)
        batches = train_set.shuffled(self._batch_size, padding=padding, flip=flip, generator=generator)
        score = self.take_steps(itertools.islice(batches, self._steps_left))
        if not math.isfinite(score.loss):
            raise TrainingDiverged(f"the training loss of epoch {number} is {score.loss}: lower the learning rate")
        validation = evaluate(self.best_model(), val_set)
        if not math.isfinite(validation.loss):
            raise TrainingDiverged(f"the validation loss of epoch {number} is not finite: lower the learning rate")
        self._schedule.end_epoch(validation.loss)
        return Epoch(number, *score, *validation, time.perf_counter() - started)

    def take_steps(self, batches: Iterable[Batch]) -> Score:
        """Take one step per batch; sums stay on the device, so that the host waits for it once, at the end."""
        self.model.train()
        totals, seen = None, 0
        for batch in batches:
            with _autocast(batch.images.device):
                logits = self.model(batch.images)
                loss = self._loss(logits, batch.labels)
            self._optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            if self._recipe.clip is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self._recipe.clip)
            self._optimizer.step()
            self._schedule.step()
            if self._average is not None:
                self._average.update_parameters(self.model)
            self._steps_left -= 1
            here = torch.stack([loss.detach().double() * len(batch.labels), _right(logits, batch.labels).double()])
            totals = here if totals is None else totals + here
            seen += len(batch.labels)
        assert totals is not None, "an epoch has at least one batch"
        loss_mean, accuracy = (totals / seen).tolist()
        return Score(loss_mean, accuracy)


def _regularised(architecture: Architecture, recipe: Recipe) -> Architecture:
    """Return a network with the dropout and stochastic depth that a recipe sets in place of its own."""
    dropout, depth = recipe.dropout, recipe.stochastic_depth
    return dataclasses.replace(
        architecture,
        dropout=architecture.dropout if dropout is None else dropout,
        stochastic_depth=architecture.stochastic_depth if depth is None else depth,
    )


def _fits(architecture: Architecture, resolution: int) -> bool:
    try:
        dataclasses.replace(architecture, resolution=resolution)
    except ArchitectureError:
        return False
    return True


@contextmanager
def _own_state(device: torch.device, *, seed: int, threads: int) -> Iterator[None]:
    """Run with a seed and a number of CPU threads, and leave both as they were."""
    threads_before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)


def _build_on(device: torch.device, architecture: Architecture) -> Network:
    """Build a model in channels-last layout, the faster one for convolutions on CPUs and GPUs alike."""
    model: Network = build_model(architecture).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(dim=1) == labels).sum()
