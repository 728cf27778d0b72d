"""Train one architecture and keep its curve."""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.architecture.spec import Architecture
from nas.data.batches import Batch, DeviceImages, standardisation, to_device
from nas.data.sources import Dataset
from nas.errors import TrainingDiverged
from nas.models.build import Network, build_model
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
    standard = standardisation(dataset)
    resolution = architecture.resolution
    train_set, val_set = (
        to_device(part, resolution=resolution, standard=standard, device=device)
        for part in (dataset.train, dataset.validation)
    )
    with _own_state(device, seed=seed, threads=recipe.cpu_threads):
        model = _build_on(device, architecture)
        generator = torch.Generator(device).manual_seed(seed)
        started = time.perf_counter()
        curve = []
        flip = dataset.mirrors if recipe.flip is None else recipe.flip
        for epoch in _epochs(model, train_set, val_set, recipe, flip=flip, generator=generator):
            curve.append(epoch)
            if on_epoch is not None:
                on_epoch(epoch)
    return TrainingResult(model.eval(), tuple(curve), time.perf_counter() - started)


def time_step(architecture: Architecture, *, batch_size: int, device: torch.device, steps: int = 5) -> float:
    """Return the median seconds of one training step on random images, after two steps of warm-up.

    Args:
        architecture: What to time.
        batch_size: Images in a step.
        device: Where.
        steps: Number of timed steps.
    """
    size = (batch_size, architecture.in_channels, architecture.resolution, architecture.resolution)
    recipe = Recipe()
    with _own_state(device, seed=0, threads=recipe.cpu_threads):
        model = _build_on(device, architecture)
        batch = Batch(
            torch.randn(size, device=device).to(memory_format=torch.channels_last),
            torch.randint(architecture.num_classes, (batch_size,), device=device),
        )
        optimizer = _optimizer(model, recipe)
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
        seconds = []
        for _ in range(2 + steps):
            started = time.perf_counter()
            _train_epoch(model, [batch], optimizer, schedule, recipe.label_smoothing)
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


def _epochs(
    model: nn.Module,
    train_set: DeviceImages,
    val_set: DeviceImages,
    recipe: Recipe,
    *,
    flip: bool,
    generator: torch.Generator,
) -> Iterator[Epoch]:
    """Train epoch by epoch and yield each one's figures."""
    batch_size = min(recipe.batch_size, len(train_set))
    optimizer = _optimizer(model, recipe)
    total_steps = recipe.epochs * (len(train_set) // batch_size)
    one_step = abs(recipe.warmup * total_steps - 1) < 1e-6  # torch divides by the warm-up's steps less one
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=recipe.learning_rate,
        total_steps=total_steps,
        pct_start=0.0 if one_step else recipe.warmup,
        cycle_momentum=False,
    )
    padding = round(recipe.crop * train_set.images.shape[1])
    for epoch in range(1, recipe.epochs + 1):
        started = time.perf_counter()
        batches = train_set.shuffled(batch_size, padding=padding, flip=flip, generator=generator)
        score = _train_epoch(model, batches, optimizer, schedule, recipe.label_smoothing)
        if not math.isfinite(score.loss):
            raise TrainingDiverged(f"the training loss of epoch {epoch} is {score.loss}: lower the learning rate")
        validation = evaluate(model, val_set)
        if not math.isfinite(validation.loss):
            raise TrainingDiverged(f"the validation loss of epoch {epoch} is not finite: lower the learning rate")
        yield Epoch(epoch, *score, *validation, time.perf_counter() - started)


def _train_epoch(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    label_smoothing: float,
) -> Score:
    """Take one step per batch; sums stay on the device, so that the host waits for it once, at the end."""
    model.train()
    totals, seen = None, 0
    for batch in batches:
        with _autocast(batch.images.device):
            logits = model(batch.images)
            loss = functional.cross_entropy(logits, batch.labels, label_smoothing=label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        here = torch.stack([loss.detach().double() * len(batch.labels), _right(logits, batch.labels).double()])
        totals = here if totals is None else totals + here
        seen += len(batch.labels)
    assert totals is not None, "an epoch has at least one batch"
    loss_mean, accuracy = (totals / seen).tolist()
    return Score(loss_mean, accuracy)


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return SGD with weight decay on weight matrices and kernels only."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True, fused=True)


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
