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


def make_optimizer(model: nn.Module, recipe: Recipe, *, learning_rate: float) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe; norms, biases and slopes have no weight decay unless the recipe says so.

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
    betas = (recipe.momentum, 0.999)
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(groups, lr=learning_rate, fused=True),
        "momentum": lambda: torch.optim.SGD(groups, lr=learning_rate, momentum=recipe.momentum, fused=True),
        "nesterov": lambda: torch.optim.SGD(
            groups, lr=learning_rate, momentum=recipe.momentum, nesterov=True, fused=True
        ),
        "adagrad": lambda: torch.optim.Adagrad(groups, lr=learning_rate),
        "rmsprop": lambda: torch.optim.RMSprop(groups, lr=learning_rate, alpha=0.9, momentum=recipe.momentum),
        "adam": lambda: torch.optim.Adam(groups, lr=learning_rate, betas=betas, fused=True),
        "adamw": lambda: torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=True),
    }
    return makers[recipe.optimizer]()


class Schedule:
    """The learning rate of a recipe, step by step."""

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: Recipe, *, total_steps: int) -> None:
        """Set the rate of the first step; the optimiser's is that at the peak."""
        self._recipe = recipe
        self._lowered, self._best, self._waited = 1.0, math.inf, 0  # of plateau
        self._rates: torch.optim.lr_scheduler.LRScheduler
        if recipe.schedule == "one_cycle":
            one_step = abs(recipe.warmup * total_steps - 1) < 1e-6  # torch divides by the warm-up's steps less one
            self._rates = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=[group["lr"] for group in optimizer.param_groups],
                total_steps=total_steps,
                pct_start=0.0 if one_step else recipe.warmup,
                cycle_momentum=False,
            )
        else:
            self._rates = torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: self._lowered * rate_factor(recipe, step, total_steps=total_steps)
            )

    def step(self) -> None:
        """Go on to the next optimiser step."""
        self._rates.step()

    def state(self) -> dict[str, Any]:
        """Return where the schedule stands, as plain JSON data."""
        rates = {key: value for key, value in self._rates.state_dict().items() if key != "lr_lambdas"}
        return {"rates": rates, "lowered": self._lowered, "best": self._best, "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        # torch keeps functions out of a schedule's state, but wants to find the place of each
        functions = {key: value for key, value in self._rates.state_dict().items() if key == "lr_lambdas"}
        self._rates.load_state_dict({**state["rates"], **functions})
        self._lowered, self._best, self._waited = state["lowered"], state["best"], state["waited"]

    def end_epoch(self, val_loss: float) -> None:
        """Lower the rate of ``plateau`` where the validation loss has not fallen for so many epochs."""
        if self._recipe.schedule != "plateau":
            return
        fell = val_loss < self._best
        self._best, self._waited = min(val_loss, self._best), 0 if fell else self._waited + 1
        if self._waited >= self._recipe.patience:
            self._lowered, self._waited = self._lowered * self._recipe.decay_factor, 0


def rate_factor(recipe: Recipe, step: int, *, total_steps: int) -> float:
    """Return the learning rate of a step as a share of the peak, for schedules other than one-cycle.

    Args:
        recipe: Names the schedule.
        step: Counted from 0.
        total_steps: Of the whole training.
    """
    warm = round(recipe.warmup * total_steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total_steps - warm)))
    if recipe.schedule == "step":
        passed = sum(step >= share * total_steps for share in recipe.decay_at)
        return float(recipe.decay_factor**passed)
    return 1.0


def make_loss(recipe: Recipe, model: nn.Module) -> Loss:
    """Return a function of logits and labels that gives the mean loss with its L1 penalty.

    Logits have the shape (batch, classes), labels (batch,), or (batch, classes) where they are shares of the classes.
    """
    weights = [p for p in model.parameters() if p.ndim > 1]

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        value = _LOSSES[recipe.loss](logits, labels, recipe.label_smoothing)
        if recipe.l1 > 0:
            value = value + recipe.l1 * torch.stack([weight.abs().sum() for weight in weights]).sum()
        return value

    return loss


def _cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def _mean_squared_error(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return functional.mse_loss(logits.float(), _smoothed(logits, labels, smoothing))


def _binary_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.float(), _smoothed(logits, labels, smoothing))


def _smoothed(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return labels as shares (batch, classes), of which a part is spread over all classes."""
    one_hot = labels if labels.ndim == 2 else functional.one_hot(labels, logits.shape[1]).float()
    return one_hot * (1 - smoothing) + smoothing / logits.shape[1]


_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "mse": _mean_squared_error,
    "binary_cross_entropy": _binary_cross_entropy,
}
