"""What may double when a network grows, and how it follows width, depth and resolution on paper.

The exponents are those of a plain convolutional network: FLOPs follow depth x width^2 x resolution^2, activations
depth x width x resolution^2, parameters depth x width^2 (Dollar et al. 2021, arXiv:2103.06877), and the largest feature
maps width x resolution^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.architecture.cost import Cost
from nas.architecture.space import COEFFICIENTS
from nas.errors import ConfigError
from nas.schema import did_you_mean

if TYPE_CHECKING:
    from nas.scaling.seconds import SecondsModel  # which loads scipy


@dataclass(frozen=True, slots=True)
class CostKind:
    """One figure of a network's cost.

    Attributes:
        name: Such as ``flops``.
        label: What people call it.
        of: Returns the figure of a cost. It may be given a cost whose figures are arrays, so that thousands of networks
            are counted at once, and may use arithmetic and NumPy only.
        width: Exponent of the width coefficient in the figure, on paper.
        depth: Exponent of the depth coefficient.
        resolution: Exponent of the resolution.
    """

    name: str
    label: str
    of: Callable[[Cost], float]
    width: float
    depth: float
    resolution: float

    @property
    def exponents(self) -> tuple[float, float, float]:
        """Exponents of width, depth and resolution."""
        return self.width, self.depth, self.resolution

    def log_growth(self, *, width: float, depth: float, resolution: float) -> float:
        """Return the natural logarithm of the figure's growth on paper, given the factors of the coefficients."""
        factors = (width, depth, resolution)
        return sum(exponent * math.log(factor) for exponent, factor in zip(self.exponents, factors, strict=True))


FLOPS = CostKind("flops", "FLOPs", lambda cost: cost.flops, 2, 1, 2)
ACTIVATIONS = CostKind("activations", "activations", lambda cost: cost.activations, 1, 1, 2)

COSTS = {
    kind.name: kind
    for kind in (
        FLOPS,
        CostKind("multiply_adds", "multiply-adds", lambda cost: cost.multiply_adds, 2, 1, 2),
        ACTIVATIONS,
        CostKind("params", "parameters", lambda cost: cost.params, 2, 1, 0),
        CostKind("peak_memory", "peak memory", lambda cost: cost.peak_memory, 1, 0, 2),
    )
}
"""The figures of closed form by name."""

TRAIN_SECONDS = "train_seconds"
"""Name of the figure that needs a model of the training time; see ``train_seconds``."""


def train_seconds(law: SecondsModel) -> CostKind:
    """Return the training time as a figure of cost, by the law of the seconds of a training, or of an image."""
    width, depth, resolution = (
        law.flops * getattr(FLOPS, key) + law.activations * getattr(ACTIVATIONS, key) for key in COEFFICIENTS
    )
    return CostKind(TRAIN_SECONDS, "training time", law.of, width, depth, resolution)


def cost_kind(name: str) -> CostKind:
    """Return the figure of closed form of a name.

    Raises:
        ConfigError: There is none; the message lists all.
    """
    if name not in COSTS:
        raise ConfigError(f"unknown cost {name!r}{did_you_mean(name, [*COSTS, TRAIN_SECONDS])}")
    return COSTS[name]
