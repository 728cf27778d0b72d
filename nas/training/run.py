"""One training, step by step: it can be stopped after any step and go on as if it had not."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.architecture.spec import Architecture
from nas.data.augment import cut_mix, cut_out, mix_up
from nas.data.batches import Batch, DeviceImages
from nas.errors import ArchitectureError, TrainingDiverged
from nas.models.build import Network
from nas.training.checkpoint import State
from nas.training.optimizer import Schedule, make_loss, make_optimizer
from nas.training.recipe import Recipe
from nas.training.result import Assessment, Epoch, Score

_EVALUATION_BATCH = 512


class Run:
    """One training: the model, what steps it, and how far it has come."""

    def __init__(
        self,
        model: Network,
        architecture: Architecture,
        recipe: Recipe,
        *,
        train_images: int,
        generator: torch.Generator,
    ) -> None:
        """Prepare the first step.

        Args:
            model: On its device.
            architecture: Of the model; tells the last epoch's resolution.
            recipe: Optimiser, schedule and augmentation.
            train_images: Number of training images.
            generator: Of order and augmentation, on the model's device.
        """
        self.model = model
        self.curve: list[Epoch] = []
        self._generator = generator
        self._mixing = torch.Generator(generator.device).manual_seed(generator.initial_seed() ^ 1)  # of augmentation
        self._epoch_began = generator.get_state()
        self._steps_of_epoch = 0
        self._totals = torch.zeros(2, device=generator.device, dtype=torch.float64)  # loss and right images so far
        self._seen = 0
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

    @property
    def ended(self) -> bool:
        """Whether all steps were taken, or the validation accuracy has not risen for too long."""
        patience, curve = self._recipe.early_stopping, self.curve
        if patience is not None and len(curve) > patience:
            best = max(epoch.val_accuracy for epoch in curve[:-patience])
            if all(epoch.val_accuracy <= best for epoch in curve[-patience:]):
                return True
        return self._steps_left == 0 and self._steps_of_epoch == 0

    @property
    def resolution(self) -> int:
        """Of the training images in the epoch that comes or runs."""
        epoch = len(self.curve) + 1
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
        self,
        train_set: DeviceImages,
        val_set: DeviceImages,
        *,
        flip: bool,
        after_step: Callable[[], None] | None = None,
    ) -> Epoch:
        """Train to the end of the epoch, validate, and return what is now the last entry of the curve.

        Raises:
            TrainingDiverged: The loss of the epoch is not finite.
        """
        started, number = time.perf_counter(), len(self.curve) + 1
        if self._steps_of_epoch == 0:
            self._epoch_began = self._generator.get_state()
        batches = train_set.shuffled(
            self._batch_size,
            padding=round(self._recipe.crop * train_set.size),
            flip=flip,
            generator=self._generator,
            skip=self._steps_of_epoch,
        )
        self.take_steps(itertools.islice(batches, self._steps_left), after_step)
        score = Score(*(self._totals / self._seen).tolist())
        if not math.isfinite(score.loss):
            raise TrainingDiverged(f"the training loss of epoch {number} is {score.loss}: lower the learning rate")
        validation = evaluate(self.best_model(), val_set)
        if not math.isfinite(validation.loss):
            raise TrainingDiverged(f"the validation loss of epoch {number} is not finite: lower the learning rate")
        self._schedule.end_epoch(validation.loss)
        self._totals.zero_()
        self._seen = self._steps_of_epoch = 0
        self.curve.append(Epoch(number, *score, *validation, time.perf_counter() - started))
        return self.curve[-1]

    def take_steps(self, batches: Iterable[Batch], after_step: Callable[[], None] | None = None) -> None:
        """Take one step per batch; sums stay on the device, so that the host does not wait for it."""
        self.model.train()
        for batch in batches:
            images, target = self._augmented(batch)
            with autocast(images.device):
                logits = self.model(images)
                loss = self._loss(logits, target)
            self._optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            if self._recipe.clip is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self._recipe.clip)
            self._optimizer.step()
            self._schedule.step()
            if self._average is not None:
                self._average.update_parameters(self.model)
            count = len(batch.labels)
            self._totals += torch.stack([loss.detach().double() * count, right_of(logits, batch.labels).double()])
            self._steps_left -= 1
            self._steps_of_epoch += 1
            self._seen += count
            if after_step is not None:
                after_step()

    def _augmented(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return images and labels, which are shares where images were mixed."""
        recipe, generator = self._recipe, self._mixing
        if recipe.cutout > 0:
            batch = cut_out(batch, share=recipe.cutout, generator=generator)
        if recipe.mixup == recipe.cutmix == 0:
            return batch
        classes = self._architecture.num_classes
        cuts = recipe.cutmix > 0 and (recipe.mixup == 0 or self._steps_left % 2 == 1)
        if cuts:
            return cut_mix(batch, alpha=recipe.cutmix, num_classes=classes, generator=generator)
        return mix_up(batch, alpha=recipe.mixup, num_classes=classes, generator=generator)

    def state(self) -> State:
        """Return all that a run needs to go on as if it had never stopped."""
        optimizer = self._optimizer.state_dict()
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {
            f"optimizer.{index}.{key}": value
            for index, values in optimizer["state"].items()
            for key, value in values.items()
            if value is not None
        }
        if self._average is not None:
            tensors |= {f"average.{key}": value for key, value in self._average.state_dict().items()}
        device = self._generator.device
        tensors |= {
            "totals": self._totals,
            "random.epoch": self._epoch_began if self._steps_of_epoch else self._generator.get_state(),
            "random.mixing": self._mixing.get_state(),
            "random.host": torch.get_rng_state(),
            **({"random.device": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}),
        }
        facts = {
            "curve": [asdict(epoch) for epoch in self.curve],
            "groups": [{k: v for k, v in group.items() if k != "params"} for group in optimizer["param_groups"]],
            "schedule": self._schedule.state(),
            "steps_left": self._steps_left,
            "steps_of_epoch": self._steps_of_epoch,
            "seen": self._seen,
        }
        return State(tensors, facts)

    def restore(self, state: State) -> None:
        """Go on from a state of a run with the same network, recipe and number of images."""
        tensors, facts = state
        device = self._generator.device

        def part(prefix: str) -> dict[str, Tensor]:
            return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        optimizer = self._optimizer.state_dict()
        for group, stored in zip(optimizer["param_groups"], facts["groups"], strict=True):
            group |= {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
        for key, value in part("optimizer.").items():
            index, _, name = key.partition(".")
            placed = value.to(device, memory_format=torch.channels_last if value.ndim == 4 else torch.preserve_format)
            optimizer["state"].setdefault(int(index), {})[name] = placed
        self._optimizer.load_state_dict(optimizer)
        if self._average is not None:
            self._average.load_state_dict(part("average."))
        self._totals.copy_(tensors["totals"])
        self._epoch_began = tensors["random.epoch"]
        self._generator.set_state(self._epoch_began)
        self._mixing.set_state(tensors["random.mixing"])
        torch.set_rng_state(tensors["random.host"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.device"], device)
        self._schedule.restore(facts["schedule"])
        self.curve = [Epoch(**epoch) for epoch in facts["curve"]]
        self._steps_left, self._steps_of_epoch = facts["steps_left"], facts["steps_of_epoch"]
        self._seen = facts["seen"]


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
            with autocast(batch.images.device):
                logits = model(batch.images)
            totals[0] += functional.cross_entropy(logits.float(), batch.labels, reduction="sum")
            totals[1] += right_of(logits, batch.labels)
    loss, right = (totals / len(images)).tolist()
    return Score(loss, right)


def assess(model: nn.Module, images: DeviceImages, *, num_classes: int) -> Assessment:
    """Return loss, top-1, top-5 and the confusion of a model in eval mode, which is its mode afterwards.

    Args:
        model: Maps standardised images to logits.
        images: On the model's device, at its resolution.
        num_classes: Of the labels.
    """
    model.eval()
    device = images.images.device
    totals = torch.zeros(2, device=device, dtype=torch.float64)
    confusion = torch.zeros(num_classes * num_classes, device=device, dtype=torch.int64)
    with torch.inference_mode():
        for batch in images.in_order(_EVALUATION_BATCH):
            with autocast(device):
                logits = model(batch.images)
            best = logits.topk(min(5, num_classes), dim=1).indices
            totals[0] += functional.cross_entropy(logits.float(), batch.labels, reduction="sum")
            totals[1] += (best == batch.labels[:, None]).sum()
            confusion += torch.bincount(batch.labels * num_classes + best[:, 0], minlength=num_classes**2)
    loss, top5 = (totals / len(images)).tolist()
    table = confusion.view(num_classes, num_classes).tolist()
    return Assessment(loss, top5, tuple(map(tuple, table)))


def _fits(architecture: Architecture, resolution: int) -> bool:
    try:
        dataclasses.replace(architecture, resolution=resolution)
    except ArchitectureError:
        return False
    return True


def autocast(device: torch.device) -> torch.autocast:
    """Return the precision that a device trains in: bfloat16 where it helps on CUDA, float32 on the CPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def right_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the number of images whose largest logit is that of their label."""
    return (logits.argmax(dim=1) == labels).sum()
