"""How a network is trained, as data."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Literal, Self, TypeAlias

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from nas.records import Metric
from nas.schema import Strict
from nas.training.distillation import Distillation
from nas.training.sparsity import Sparsity
from nas.units import Count

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]


class Recipe(Strict):
    """The ``recipe`` section of a study; the defaults are SGD with Nesterov momentum and a one-cycle schedule.

    Attributes:
        epochs: Length of the training in passes over the training images. Give one of ``epochs``, ``steps`` and
            ``images``; without any of them, training takes 10 epochs.
        steps: Length of the training in optimiser steps; the last epoch may then be incomplete.
        images: Length of the training in images, rounded up to whole steps. It may be written 500k.
        batch_size: Number of images in one step; default: about 1 % of the training images, between 32 and 128.
        optimizer: ``sgd``, ``momentum``, ``nesterov`` (the default), ``adagrad``, ``rmsprop``, ``adam`` or ``adamw``,
            as in torch.
        learning_rate: Peak learning rate of the schedule; default: the optimizer's rate in ``DEFAULT_RATES`` for a
            batch of 32, times the square root of the batch size divided by 32 (Hoffer et al. 2017, arXiv:1705.08741,
            §4).
        learning_rate_batch: Batch size that ``learning_rate`` is meant for. The rate is then scaled in proportion to
            ``batch_size`` (Goyal et al. 2017, arXiv:1706.02677, §2.1). Without it, the rate is used as given.
        schedule: ``one_cycle`` (the default; Smith & Topin 2017, arXiv:1708.07120), ``cosine`` (Loshchilov & Hutter
            2017, arXiv:1608.03983), ``step``, ``plateau`` or ``constant``.
        warmup: Share of all steps during which the learning rate rises; default 0.3. It rises linearly, except with
            ``one_cycle``.
        decay_at: Points of the training, as shares of all steps, where the schedule ``step`` multiplies the rate by
            ``decay_factor``; default 0.5 and 0.75.
        decay_factor: Factor on the learning rate in the schedules ``step`` and ``plateau``; default 0.1.
        patience: Number of epochs without a lower validation loss after which ``plateau`` lowers the rate; default 2.
        momentum: Momentum of ``momentum``, ``nesterov`` and ``rmsprop``, and the first decay rate of ``adam`` and
            ``adamw``; default 0.9.
        loss: ``cross_entropy`` (the default), ``mse`` (of logits against one-hot labels) or ``binary_cross_entropy``
            (for each class separately, Wightman et al. 2021, arXiv:2110.00476).
        class_weights: How much the images of each class count in the loss: ``none`` for all the same (the default), or
            ``balanced``, in inverse proportion to the number of its training images (King & Zeng 2001,
            doi:10.1093/oxfordjournals.pan.a004868, §2), so that a rare class counts as much as a frequent one.
        label_smoothing: Share of each label that is spread over all classes; default 0.1 (Szegedy et al. 2016,
            arXiv:1512.00567, section 7).
        distillation: Teachers that the network learns from besides the labels, see ``Distillation``; none by default.
        sparsity: How many weights become zeros on the way, see ``Sparsity``; none by default. It needs a training that
            ends when it is told to, so it does not go with ``early_stopping``.
        weight_decay: L2 penalty on weights; default 0.0005, or 0.05 for ``adamw``, where it is decoupled (Loshchilov &
            Hutter 2019, arXiv:1711.05101).
        decay_norms: Whether the L2 penalty also applies to norms, biases and slopes; default false.
        l1: L1 penalty on the weights of convolutions and linear layers, added to the loss; default 0.
        clip: Largest norm of the gradient of all parameters; larger gradients are scaled down. Default: no clipping.
        dropout: Dropout rate before the classifier; default: the architecture's.
        stochastic_depth: Largest drop rate of a residual block; default: the architecture's.
        norm_statistics: What batch norm uses in validations and in the weights that are kept: statistics ``recomputed``
            over training images (the default; Wu & Johnson 2021, arXiv:2105.07576, §3), or the ``running`` averages,
            which lag behind the weights in a short training.
        norm_momentum: Share by which each step moves the running averages of batch norm; default: torch's 0.1. It
            matters where these are used.
        ema: Decay per step of a moving average of weights and norms. The average is then validated and saved. 0, the
            default, turns it off.
        ema_warm_up: Whether the average forgets faster at first, so that it does not hold on to the first weights in a
            short training: it keeps at most (1 + t) / (10 + t) in step t. Default true.
        metric: By which networks are compared on the validation images, wherever an accuracy decides or is shown:
            ``accuracy`` (the default), ``balanced_accuracy`` (mean over classes of the share that is right) or
            ``macro_f1`` (mean over classes of F1).
        early_stopping: Number of epochs without a higher validation accuracy after which training ends; off by default.
            The last epoch counts and is saved, not the best one, because choosing would flatter noisy networks.
        progressive: Resolution of the first epoch as a share of the final resolution. The resolution rises over the
            first four fifths of the epochs (Tan & Le 2021, arXiv:2104.00298, §4). 1, the default, turns it off.
        crop: Largest random shift of an image, as a share of the resolution; default 0.125, and 0 turns it off.
        flip: Whether to mirror images at random; default: if the data allows it. Photographs do, and images of
            ``folder`` and ``hf`` are taken for some; digits, ``idx`` and ``npz`` do not.
        rotate: Largest random rotation of an image in degrees, in either direction; 0, the default, turns it off.
        jitter: Largest share by which brightness, contrast and saturation change; the hue changes by up to a quarter of
            it. 0, the default, turns it off. Needs the extra ``augment``.
        rand_augment: Magnitude of RandAugment, below 30 (Cubuk et al. 2020, arXiv:1909.13719). 0, the default, turns it
            off. Needs the extra ``augment``.
        rand_augment_operations: Number of RandAugment operations for each image; default 2.
        cutout: Side of a square that is erased from each image, as a share of the resolution; 0, the default, turns it
            off.
        mixup: Alpha of mixup, which blends pairs of images and their labels; 0, the default, turns it off.
        cutmix: Alpha of CutMix, which replaces a box of each image by another image; 0, the default, turns it off. If
            you set ``mixup`` too, the two take turns.
        precision: ``float32``, ``bfloat16`` (with autocast), or ``auto`` (the default): bfloat16 on GPUs and float32 on
            CPUs. ``nas check`` measures which one is faster on your device.
        channels_last: Whether feature maps are stored with channels last, the faster layout for most networks; default
            true.
        depthwise: Whose kernels run depthwise convolutions in bfloat16 with channels last on GPUs: ``cudnn``'s (the
            default), which it compiles for seconds at each new shape, or ``torch``'s, which are there at once and take
            longer in each step. It is for short trainings, and was not measured (``nas/models/depthwise.py``).
        compile: Whether to compile networks with ``torch.compile``, which takes a minute for each network and
            resolution; default false.
        cuda_graphs: Whether to capture a training step once as a CUDA graph and replay it, on GPUs; default true.
        cpu_threads: Number of threads of a trial on the CPU; default 1. It is part of the recipe because another number
            of threads adds in another order, which changes the results. To use more cores, use ``--workers``.
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
    class_weights: Literal["none", "balanced"] = "none"
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    distillation: Distillation | None = None
    sparsity: Sparsity | None = None
    weight_decay: NonNegativeFloat | None = None
    decay_norms: bool = False
    l1: NonNegativeFloat = 0.0
    clip: PositiveFloat | None = None
    dropout: float | None = Field(None, ge=0, lt=1)
    stochastic_depth: float | None = Field(None, ge=0, lt=1)
    norm_statistics: Literal["recomputed", "running"] = "recomputed"
    norm_momentum: float | None = Field(None, gt=0, le=1)
    ema: float = Field(0.0, ge=0, lt=1)
    ema_warm_up: bool = True
    metric: Metric = "accuracy"
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
    depthwise: Literal["cudnn", "torch"] = "cudnn"
    compile: bool = False
    cuda_graphs: bool = True
    cpu_threads: int = Field(1, ge=1, le=1024)

    @model_serializer(mode="wrap")
    def _without_new_sections_as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave sections out that are not there: earlier definitions and checkpoints had no such keys."""
        document: dict[str, Any] = write(self)
        for key in ("distillation", "sparsity"):
            if getattr(self, key) is None:
                document.pop(key, None)
        return document

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
        if self.sparsity is not None and self.early_stopping is not None:
            raise ValueError("sparsity and early_stopping do not go together: it may end before all zeros are there")
        return self

    def resolved(self, train_images: int) -> Self:
        """Return the recipe with the fields in ``OPEN`` filled in for this number of training images."""
        values = {
            "batch_size": self.batch_size or _default_batch(train_images),
            "learning_rate": self._base_rate(train_images),
            "weight_decay": self.decay,
        }
        return self.model_copy(update=values)

    def reopened(self, train_images: int) -> Self:
        """Return the recipe without those fields in ``OPEN`` whose values would be chosen anyway."""
        chosen = self.model_copy(update=dict.fromkeys(OPEN)).resolved(train_images)
        same = [key for key in OPEN if getattr(self, key) == getattr(chosen, key)]
        return self.model_copy(update=dict.fromkeys(same))

    @property
    def decay(self) -> float:
        """The L2 penalty that is used."""
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
        """Return the number of epochs, the last of which may be incomplete."""
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


NEEDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "patience": ("schedule", ("plateau",)),
    "decay_at": ("schedule", ("step",)),
    "decay_factor": ("schedule", ("step", "plateau")),
    "momentum": ("optimizer", ("momentum", "nesterov", "rmsprop", "adam", "adamw")),
    "decay_norms": ("decay", ()),
    "norm_momentum": ("norm_statistics", ("running",)),
    "ema_warm_up": ("ema", ()),
    "rand_augment_operations": ("rand_augment", ()),
}
"""Keys that mean something with some values of another one only; without values, with all but 0."""


def without_effect(recipe: Recipe, keys: Collection[str]) -> list[str]:
    """Return one line for each of these keys, which a user has set, that another one makes meaningless."""
    lines = list[str]()
    for key, (other, values) in NEEDS.items():
        present = getattr(recipe, other)
        unused = present not in values if values else not present
        if unused and key in keys and getattr(recipe, key) is not None:
            name = "weight_decay" if other == "decay" else other
            wanted = f"to be {' or '.join(values)}" if values else "above 0"
            lines.append(f"recipe.{key} has no effect: it needs {name} {wanted}, but {name} is {present}")
    return lines


OPEN = ("batch_size", "learning_rate", "weight_decay")
"""Fields that are chosen for the data and the optimiser if a recipe does not set them."""

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
"""Learning rates for a batch of 32, as measured in studies/results/training/defaults.md."""


def _default_batch(train_images: int) -> int:
    """Return the power of two next to a hundredth of the images, within bounds."""
    wanted: int = 2 ** round(math.log2(max(1, train_images / _STEPS_OF_EPOCH)))
    return min(_LARGEST_BATCH, max(_SMALLEST_BATCH, wanted))
