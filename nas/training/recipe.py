"""How a network is trained, as data."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from nas.files import Strict


class Recipe(Strict):
    """The ``recipe`` section of a study: SGD with Nesterov momentum under a one-cycle schedule.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images in one step.
        learning_rate: Peak of the one-cycle schedule (Smith & Topin 2017, arXiv:1708.07120).
        warmup: Share of all steps during which the learning rate rises.
        momentum: Of SGD, in Nesterov's form.
        weight_decay: L2 penalty on convolution and linear weights; norms and biases have none.
        label_smoothing: Share of a label spread over all classes (Szegedy et al. 2016, arXiv:1512.00567, section 7).
        crop: Largest random shift of an image, as a share of the resolution; 0 turns it off.
        flip: Whether to mirror images at random; without it, as the data allows (photographs yes, digits no).
        cpu_threads: Threads of a trial that runs on the CPU. Part of the recipe because sums in another order are other
            numbers; what uses a machine's cores is ``--workers``.
    """

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 0.1
    warmup: float = Field(0.3, ge=0, lt=1)
    momentum: float = Field(0.9, gt=0, lt=1)
    weight_decay: NonNegativeFloat = 5e-4
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    crop: float = Field(0.125, ge=0, lt=0.5)
    flip: bool | None = None
    cpu_threads: PositiveInt = 1
