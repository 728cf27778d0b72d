"""Laws as arrays: many sets of parameters, and the errors that they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.fronts.geometry import Array
from nas.scaling.intervals import Prediction, interval_about

_HALVINGS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Some laws of the same causes: cost, or cost and number of images.

    The error is ``offset + sum(factors / (cause / unit)^exponents)``; with a bend the sum is multiplied by
    ``(chance - error)^bend``: the law M4 of Alabdulmohsin et al. 2022, arXiv:2209.06640, which ends in chance.

    Attributes:
        offset: Error that no cost takes away, of shape (laws,).
        factors: Of shape (laws, causes).
        exponents: Of shape (laws, causes), above zero.
        bend: Of shape (laws,); 0 for laws that know no chance.
        units: Logarithms of the units of the causes, (causes,).
        chance: Error of guessing; only laws with a bend know it.
    """

    offset: Array
    factors: Array
    exponents: Array
    bend: Array
    units: Array
    chance: float = np.inf

    def errors(self, causes: Array) -> Array:
        """Return the error of each law at points of shape (causes, points), of shape (laws, points)."""
        logs = np.log(causes) - self.units[:, None]
        parts = (self.factors[:, :, None] * np.exp(-self.exponents[:, :, None] * logs)).sum(axis=1)
        errors: Array = self.offset[:, None] + parts
        bent = self.bend > 0
        if bent.any():
            errors[bent] = self._bent(self.offset[bent, None], parts[bent], self.bend[bent, None])
        return errors

    def _bent(self, offset: Array, parts: Array, bend: Array) -> Array:
        """Return the errors between offset and chance that solve the law, on both sides of which the error stands."""
        low, high = np.broadcast_to(offset, parts.shape), np.full(parts.shape, self.chance)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = middle > offset + parts * np.maximum(self.chance - middle, 0.0) ** bend
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        solved: Array = (low + high) / 2
        return solved

    def parameters(self) -> dict[str, Array]:
        """Return the parameters by name in the units of the causes, each of shape (laws,)."""
        factors = self.factors * np.exp(self.exponents * self.units)
        named = {"E": self.offset}
        for index, (factor, exponent) in enumerate((("A", "alpha"), ("B", "beta"))[: len(self.units)]):
            named |= {factor: factors[:, index], exponent: self.exponents[:, index]}
        return named if not self.bend.any() else {**named, "bend": self.bend}


def joined(parts: list[Curves]) -> Curves:
    """Return several sets of laws of the same points as one."""
    return Curves(
        offset=np.concatenate([part.offset for part in parts]),
        factors=np.concatenate([part.factors for part in parts]),
        exponents=np.concatenate([part.exponents for part in parts]),
        bend=np.concatenate([part.bend for part in parts]),
        units=parts[0].units,
        chance=parts[0].chance,
    )


def predict(curve: Curves, draws: Curves, *causes: Array) -> Prediction:
    """Return what a law says, and by draws of it how sure that is.

    Args:
        curve: One law.
        draws: What it could as well have been.
        *causes: That broadcast with each other.
    """
    spread = np.broadcast_arrays(*causes)
    stacked = np.array([cause.ravel() for cause in spread])
    mean = curve.errors(stacked)[0]
    ends = interval_about(mean, draws.errors(stacked))
    return Prediction(*(values.reshape(spread[0].shape) for values in (mean, *ends)))


def known_within(curve: Curves, draws: Curves) -> dict[str, tuple[float, float]]:
    """Return the interval of each parameter."""
    means, drawn = curve.parameters(), draws.parameters()
    ends = {name: interval_about(values[0], drawn[name]) for name, values in means.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}
