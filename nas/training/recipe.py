"""How a network is trained, as data."""

from __future__ import annotations

import math
from typing import Any, Literal, Self, TypeAlias

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from nas.schema import Strict
from nas.units import Count

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]


class Recipe(Strict):
    """The ``recipe`` section of a study; the defaults are SGD with Nesterov momentum under a one-cycle schedule.

    Attributes:
        epochs: Passes over the training images; 10 where neither steps nor images are given.
        steps: Or the number of optimiser steps; the last epoch may then be a part of one.
        images: Or the number of images seen, rounded up to whole steps; may be written 500k.
        batch_size: Images in one step; without it, about a hundredth of the training images, between 32 and 128.
        optimizer: ``sgd``, ``momentum``, ``nesterov``, ``adagrad``, ``rmsprop``, ``adam`` or ``adamw``, all of torch.
        learning_rate: Peak of the schedule; without it, that of ``DEFAULT_RATES`` at a batch of 32, growing with the
            square root of the batch (Hoffer et al. 2017, arXiv:1705.08741, §4).
        learning_rate_batch: Batch size that ``learning_rate`` is meant for: the rate then grows in proportion to
            ``batch_size`` (Goyal et al. 2017, arXiv:1706.02677, §2.1). Without it the rate is as given.
        schedule: ``one_cycle`` (Smith & Topin 2017, arXiv:1708.07120), ``cosine`` (Loshchilov & Hutter 2017,
            arXiv:1608.03983), ``step``, ``plateau`` or ``constant``.
        warmup: Share of all steps during which the learning rate rises, linearly but for ``one_cycle``.
        decay_at: Shares of all steps after which ``step`` multiplies the rate by ``decay_factor``.
        decay_factor: Of ``step`` and ``plateau``.
        patience: Epochs without a lower validation loss after which ``plateau`` multiplies the rate.
        momentum: Of ``momentum``, ``nesterov`` and ``rmsprop``; the first decay rate of ``adam`` and ``adamw``.
        loss: ``cross_entropy``, ``mse`` (of logits against one-hot labels) or ``binary_cross_entropy`` (each class on
            its own, Wightman et al. 2021, arXiv:2110.00476).
        label_smoothing: Share of a label spread over all classes (Szegedy et al. 2016, arXiv:1512.00567, section 7).
        weight_decay: L2 penalty on weights; without it 0.0005, or 0.05 for ``adamw``, where it is decoupled (Loshchilov
            & Hutter 2019, arXiv:1711.05101).
        decay_norms: Whether norms, biases and slopes have the penalty too.
        l1: L1 penalty on the weights of convolutions and linear layers, added to the loss.
        clip: Largest norm of the gradient of all parameters; larger ones are scaled down. None does not clip.
        dropout: Before the classifier, in place of the architecture's.
        stochastic_depth: Largest drop rate of a residual block, in place of the architecture's.
        ema: Decay per step of a moving average of weights and norms, which is what is validated and kept; 0 for none.
        early_stopping: Epochs without a higher validation accuracy after which training ends; None does not end it.
            What counts and is kept is the last epoch, not the best: choosing would flatter noisy networks.
        progressive: Resolution of the first epoch as a share of the last one's; it rises over the first four fifths of
            the epochs (Tan & Le 2021, arXiv:2104.00298, §4). 1 turns it off.
        crop: Largest random shift of an image, as a share of the resolution; 0 turns it off.
        flip: Whether to mirror images at random; without it, as the data allows (photographs yes, digits no).
        rotate: Largest angle in degrees by which an image is turned, either way; 0 turns it off.
        jitter: Largest share by which brightness, contrast and saturation change, and four times that of the hue; 0
            turns it off (extra ``augment``).
        rand_augment: Magnitude of RandAugment (Cubuk et al. 2020, arXiv:1909.13719), below 30; 0 turns it off (extra
            ``augment``).
        rand_augment_operations: Number of its operations for an image.
        cutout: Side of a square that is erased from each image, as a share of the resolution; 0 turns it off.
        mixup: Alpha of the blend of images and labels; 0 turns it off.
        cutmix: Alpha of the area that another image replaces; 0 turns it off. With ``mixup`` too, they take turns.
        precision: ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 on GPUs and float32 on CPUs. ``nas
            check`` measures which is faster on a device.
        channels_last: Keep feature maps with their channels last, the faster layout for most networks.
        compile: Compile the network with ``torch.compile``; it takes a minute for each network and resolution.
        cuda_graphs: On GPUs, capture a step once and replay it.
        cpu_threads: Threads of a trial that runs on the CPU. Part of the recipe because sums in another order are other
            numbers; what uses a machine's cores is ``--workers``.
    """

    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    images: Count | None = Field(None, gt=0)
    batch_size: PositiveInt | None = None
    optimizer: Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"] = "nesterov"
    learning_rate: PositiveFloat | None = None
    learning_rate_batch: PositiveInt | None = None
    schedule: Literal["one_cycle", "cosine", "step", "plateau", "constant"] = "one_cycle"
    warmup: float = Field(0.3, ge=0, lt=1)
    decay_at: tuple[float, ...] = (0.5, 0.75)
    decay_factor: float = Field(0.1, gt=0, lt=1)
    patience: PositiveInt = 2
    momentum: float = Field(0.9, gt=0, lt=1)
    loss: Literal["cross_entropy", "mse", "binary_cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    weight_decay: NonNegativeFloat | None = None
    decay_norms: bool = False
    l1: NonNegativeFloat = 0.0
    clip: PositiveFloat | None = None
    dropout: float | None = Field(None, ge=0, lt=1)
    stochastic_depth: float | None = Field(None, ge=0, lt=1)
    ema: float = Field(0.0, ge=0, lt=1)
    early_stopping: PositiveInt | None = None
    progressive: float = Field(1.0, gt=0, le=1)
    crop: float = Field(0.125, ge=0, lt=0.5)
    flip: bool | None = None
    rotate: float = Field(0.0, ge=0, le=180)
    jitter: float = Field(0.0, ge=0, le=1)
    rand_augment: int = Field(0, ge=0, lt=30)
    rand_augment_operations: int = Field(2, ge=1, le=10)
    cutout: float = Field(0.0, ge=0, lt=1)
    mixup: NonNegativeFloat = 0.0
    cutmix: NonNegativeFloat = 0.0
    precision: Precision = "auto"
    channels_last: bool = True
    compile: bool = False
    cuda_graphs: bool = True
    cpu_threads: int = Field(1, ge=1, le=1024)

    @model_validator(mode="before")
    @classmethod
    def _ten_epochs_by_default(cls, given: Any) -> Any:
        if isinstance(given, dict) and all(given.get(key) is None for key in ("epochs", "steps", "images")):
            return {**given, "epochs": 10}
        return given

    @field_validator("decay_at", mode="before")
    @classmethod
    def _single_share(cls, given: Any) -> Any:
        return (given,) if isinstance(given, int | float) else given

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        lengths = [key for key in ("epochs", "steps", "images") if getattr(self, key) is not None]
        if len(lengths) > 1:
            raise ValueError(f"the length of training is given more than once: {' and '.join(lengths)}")
        if any(not 0 < share < 1 for share in self.decay_at) or list(self.decay_at) != sorted(set(self.decay_at)):
            raise ValueError(f"decay_at must be rising shares between 0 and 1, but is {list(self.decay_at)}")
        return self

    def resolved(self, train_images: int) -> Self:
        """Return the same recipe with the values of ``OPEN`` that it has for so many training images."""
        values = {
            "batch_size": self.batch_size or _default_batch(train_images),
            "learning_rate": self._base_rate(train_images),
            "weight_decay": self.decay,
        }
        return self.model_copy(update=values)

    def reopened(self, train_images: int) -> Self:
        """Return the same recipe with the fields of ``OPEN`` left open that have what would be chosen anyway."""
        chosen = self.model_copy(update=dict.fromkeys(OPEN)).resolved(train_images)
        same = [key for key in OPEN if getattr(self, key) == getattr(chosen, key)]
        return self.model_copy(update=dict.fromkeys(same))

    @property
    def decay(self) -> float:
        """The L2 penalty that holds."""
        if self.weight_decay is not None:
            return self.weight_decay
        return _DECOUPLED_DECAY if self.optimizer == "adamw" else _DECAY

    def step_images(self, train_images: int) -> int:
        """Return the images in one step, given the number of training images."""
        return min(self.batch_size or _default_batch(train_images), train_images)

    def total_steps(self, train_images: int) -> int:
        """Return the number of optimiser steps, given the number of training images."""
        batch = self.step_images(train_images)
        if self.steps is not None:
            return self.steps
        if self.images is not None:
            return math.ceil(self.images / batch)
        return (self.epochs or 0) * (train_images // batch)

    def total_epochs(self, train_images: int) -> int:
        """Return the number of epochs, the last of which may be a part of one."""
        return math.ceil(self.total_steps(train_images) / (train_images // self.step_images(train_images)))

    def peak_learning_rate(self, train_images: int) -> float:
        """Return the learning rate at the peak of the schedule."""
        rate = self._base_rate(train_images)
        if self.learning_rate_batch is None:
            return rate
        return rate * self.step_images(train_images) / self.learning_rate_batch

    def _base_rate(self, train_images: int) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        batch = self.learning_rate_batch or self.step_images(train_images)
        return float(f"{DEFAULT_RATES[self.optimizer] * math.sqrt(batch / _SMALLEST_BATCH):.2g}")


OPEN = ("batch_size", "learning_rate", "weight_decay")
"""Fields that are chosen by data and optimiser where a recipe leaves them open."""

_SMALLEST_BATCH, _LARGEST_BATCH, _STEPS_OF_EPOCH = 32, 128, 100
_DECAY, _DECOUPLED_DECAY = 5e-4, 0.05
DEFAULT_RATES = {
    "sgd": 1.0,
    "momentum": 0.2,
    "nesterov": 0.2,
    "adagrad": 0.03,
    "rmsprop": 0.001,
    "adam": 0.01,
    "adamw": 0.01,
}
"""At the smallest batch, as measured: studies/results/training/defaults.md."""


def _default_batch(train_images: int) -> int:
    """Return the power of two next to a hundredth of the images, within bounds."""
    wanted: int = 2 ** round(math.log2(max(1, train_images / _STEPS_OF_EPOCH)))
    return min(_LARGEST_BATCH, max(_SMALLEST_BATCH, wanted))
