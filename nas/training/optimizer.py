"""The optimiser, the learning-rate schedule and the loss that a recipe names, all of torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.training.recipe import Recipe

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def captures(recipe: Recipe, device: torch.device) -> bool:
    """Tell whether the step of a recipe is captured as a CUDA graph on a device."""
    return recipe.cuda_graphs and device.type == "cuda"


def make_optimizer(model: nn.Module, recipe: Recipe, *, learning_rate: float) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe; norms, biases and slopes have no weight decay unless the recipe says so.

    Where the step is captured, the learning rate and all else that changes from step to step are on the GPU.

    Args:
        model: Its parameters of more than one dimension are weights.
        recipe: Names the optimiser and its constants.
        learning_rate: At the peak of the schedule.
    """
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": recipe.decay},
        {"params": others, "weight_decay": recipe.decay if recipe.decay_norms else 0.0},
    ]
    device = weights[0].device
    captured = captures(recipe, device)
    lr = torch.tensor(learning_rate, device=device) if captured else learning_rate
    momentum, betas = recipe.momentum, (recipe.momentum, 0.999)
    optim = torch.optim
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: optim.SGD(groups, lr, fused=True),
        "momentum": lambda: optim.SGD(groups, lr, momentum=momentum, fused=True),
        "nesterov": lambda: optim.SGD(groups, lr, momentum=momentum, nesterov=True, fused=True),
        "adagrad": lambda: optim.Adagrad(groups, lr),
        "rmsprop": lambda: optim.RMSprop(groups, lr, alpha=0.9, momentum=momentum, capturable=captured),
        "adam": lambda: optim.Adam(groups, lr, betas, fused=True, capturable=captured),
        "adamw": lambda: optim.AdamW(groups, lr, betas, fused=True, capturable=captured),
    }
    return makers[recipe.optimizer]()


class Schedule:
    """The learning rate of a recipe, step by step."""

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: Recipe, *, total_steps: int) -> None:
        """Set the rate of the first step; the optimiser's is that at the peak."""
        self._optimizer = optimizer
        self._recipe = recipe
        self._total_steps = total_steps
        self._peak = float(optimizer.param_groups[0]["lr"])
        self._step = 0
        self._lowered, self._best, self._waited = 1.0, math.inf, 0  # of plateau
        self._set()

    def step(self) -> None:
        """Go on to the next optimiser step."""
        self._step += 1
        self._set()

    def _set(self) -> None:
        rate = learning_rate(self._recipe, self._step, peak=self._peak * self._lowered, total_steps=self._total_steps)
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)  # where it is: a captured step reads it there
            else:
                group["lr"] = rate

    def state(self) -> dict[str, Any]:
        """Return where the schedule stands, as plain JSON data."""
        return {"step": self._step, "lowered": self._lowered, "best": self._best, "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._step = state["step"]
        self._lowered, self._best, self._waited = state["lowered"], state["best"], state["waited"]
        self._set()

    def end_epoch(self, val_loss: float) -> None:
        """Lower the rate of ``plateau`` where the validation loss has not fallen for so many epochs."""
        if self._recipe.schedule != "plateau":
            return
        fell = val_loss < self._best
        self._best, self._waited = min(val_loss, self._best), 0 if fell else self._waited + 1
        if self._waited >= self._recipe.patience:
            self._lowered, self._waited = self._lowered * self._recipe.decay_factor, 0
            self._set()


def learning_rate(recipe: Recipe, step: int, *, peak: float, total_steps: int) -> float:
    """Return the learning rate of a step.

    Args:
        recipe: Names the schedule.
        step: Counted from 0.
        peak: Largest rate of the schedule.
        total_steps: Of the whole training.
    """
    if recipe.schedule == "one_cycle":
        return _one_cycle(step, peak=peak, warm=recipe.warmup * total_steps - 1, last=total_steps - 1)
    warm = round(recipe.warmup * total_steps)
    if step < warm:
        return peak * ((step + 1) / (warm + 1))
    if recipe.schedule == "cosine":
        return peak * (0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total_steps - warm))))
    if recipe.schedule == "step":
        passed = sum(step >= share * total_steps for share in recipe.decay_at)
        return peak * float(recipe.decay_factor**passed)
    return peak


def _one_cycle(step: int, *, peak: float, warm: float, last: int) -> float:
    """Return what torch's ``OneCycleLR`` gives by default: up along a cosine until ``warm``, down until ``last``."""
    low = peak / 25
    warm = -1.0 if abs(warm) < 1e-6 else warm  # a rise of one step is none
    if step <= warm:
        start, end, share = low, peak, step / warm
    else:
        start, end, share = peak, low / 1e4, (step - warm) / (last - warm)
    return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)


def make_loss(recipe: Recipe, model: nn.Module, *, class_weights: Tensor | None = None) -> Loss:
    """Return a function of logits and labels that gives the mean loss with its L1 penalty.

    Logits have the shape (batch, classes), labels (batch,), or (batch, classes) where they are shares of the classes.

    Args:
        recipe: Names the loss.
        model: Its weights are what the L1 penalty is on.
        class_weights: How much the images of each class count, (classes,), on the model's device; by default all alike.
    """
    weights = [p for p in model.parameters() if p.ndim > 1]

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if class_weights is None:
            value = _LOSSES[recipe.loss](logits, labels, recipe.label_smoothing, "mean")
        else:
            each = _LOSSES[recipe.loss](logits, labels, recipe.label_smoothing, "none").view(len(logits), -1)
            counts = class_weights[labels] if labels.ndim == 1 else labels @ class_weights
            value = (counts * each.mean(dim=1)).mean()
        if recipe.l1 > 0:
            value = value + recipe.l1 * torch.stack([weight.abs().sum() for weight in weights]).sum()
        return value

    return loss


def class_weights(recipe: Recipe, labels: Tensor, *, num_classes: int) -> Tensor | None:
    """Return how much the images of each class count in a recipe's loss, float32 (classes,); None for all alike.

    Over the training images the mean is 1: a class of a share of the images counts one over that share and the number
    of classes (King & Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868, §2; scikit-learn's ``balanced``).

    Args:
        recipe: That tells.
        labels: Of the training images, (images,).
        num_classes: Of the data.
    """
    if recipe.class_weights == "none":
        return None
    counts = torch.bincount(labels, minlength=num_classes)
    return len(labels) / (int((counts > 0).sum()) * counts.clamp_min(1).float())


def _cross_entropy(logits: Tensor, labels: Tensor, smoothing: float, reduction: str) -> Tensor:
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction=reduction)


def _mean_squared_error(logits: Tensor, labels: Tensor, smoothing: float, reduction: str) -> Tensor:
    return functional.mse_loss(logits.float(), _smoothed(logits, labels, smoothing), reduction=reduction)


def _binary_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float, reduction: str) -> Tensor:
    shares = _smoothed(logits, labels, smoothing)
    return functional.binary_cross_entropy_with_logits(logits.float(), shares, reduction=reduction)


def _smoothed(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return labels as shares (batch, classes), of which a part is spread over all classes."""
    one_hot = labels if labels.ndim == 2 else functional.one_hot(labels, logits.shape[1]).float()
    return one_hot * (1 - smoothing) + smoothing / logits.shape[1]


_LOSSES: dict[str, Callable[[Tensor, Tensor, float, str], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "mse": _mean_squared_error,
    "binary_cross_entropy": _binary_cross_entropy,
}
