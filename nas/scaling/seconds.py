"""How long a network trains, from its FLOPs and activations.

The seconds ``t`` of a training, or of one image of it, follow::

    log t = a + b * log FLOPs + c * log activations       b, c >= 0

since a device computes and moves numbers about, and small layers keep it waiting (Dollar et al. 2021, arXiv:2103.06877,
figure 2: run time follows activations rather than FLOPs). The three constants are those of a device, a precision and a
recipe. A time that something else has lengthened counts less the further it is off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from nas.architecture.cost import Cost
from nas.errors import StudyError
from nas.fronts.geometry import Array

FEWEST = 4
"""Different networks that three constants and a first idea of their error need."""
_USUAL = 0.1
"""Distance in logarithms from which on a time counts less: about what two timings of one network differ by."""


@dataclass(frozen=True, slots=True)
class SecondsModel:
    """The law of the training time on one device, in one precision.

    Attributes:
        constant: ``a``, natural logarithm of the seconds at one FLOP and one activation.
        flops: ``b``, exponent of the FLOPs.
        activations: ``c``, exponent of the activations.
    """

    constant: float
    flops: float
    activations: float

    def times(self, factor: float) -> SecondsModel:
        """Return the law of so many times the seconds: of images, say, that make a training."""
        return replace(self, constant=self.constant + math.log(factor))

    def of(self, cost: Cost) -> float:
        """Return the seconds of a network; an array where the figures of its cost are arrays."""
        return self.predict(cost.flops, cost.activations)  # type: ignore[return-value]

    def predict(self, flops: ArrayLike, activations: ArrayLike) -> Array:
        """Return the seconds of networks.

        Args:
            flops: Of one image, as fvcore counts them: a number, or an array of any shape.
            activations: Of one image, of the same shape.

        Returns:
            Of the same shape, in float64 and the unit of the seconds that the model was fitted to.
        """
        logs = self.flops * np.log(flops) + self.activations * np.log(activations)
        seconds: Array = np.exp(self.constant + logs)
        return seconds


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How far off a model is that was fitted to all networks but the one it predicts.

    Attributes:
        median: Of the networks' relative errors; 0.1 is 10 % too long or too short.
        largest: Of them.
    """

    median: float
    largest: float


def fit_seconds(flops: ArrayLike, activations: ArrayLike, seconds: ArrayLike) -> SecondsModel:
    """Fit the law to what networks took.

    Args:
        flops: Of one image, of shape (networks,).
        activations: Of one image, of shape (networks,).
        seconds: Of a training, or of an image of it, of shape (networks,).

    Raises:
        StudyError: There are fewer than four networks of different cost.
    """
    return _fit(*_logs(flops, activations, seconds))


def left_out(flops: ArrayLike, activations: ArrayLike, seconds: ArrayLike) -> LeftOut:
    """Return how far off the law is at each network when it is fitted to the others.

    Args:
        flops: As in ``fit_seconds``, as the others.
        activations: Of the networks.
        seconds: What they took.

    Raises:
        StudyError: There are fewer than four networks of different cost.
    """
    costs, times = _logs(flops, activations, seconds)
    errors = []
    for index, cost in enumerate(costs):
        model = _fit(np.delete(costs, index, axis=0), np.delete(times, index))
        errors.append(abs(float(model.predict(*np.exp(cost)) / np.exp(times[index]) - 1)))
    return LeftOut(float(np.median(errors)), max(errors))


def _logs(flops: ArrayLike, activations: ArrayLike, seconds: ArrayLike) -> tuple[Array, Array]:
    """Return logarithms of costs, of shape (networks, 2), and of seconds, of shape (networks,)."""
    costs = np.log(np.stack([np.asarray(flops, dtype=float), np.asarray(activations, dtype=float)], axis=1))
    different = len(np.unique(costs, axis=0))
    if different < FEWEST:
        raise StudyError(f"the training time needs {FEWEST} networks of different cost, but there are {different}")
    return costs, np.log(np.asarray(seconds, dtype=float))


def _fit(costs: Array, times: Array) -> SecondsModel:
    """Fit the constants to logarithms; costs are centred, so that neither exponent moves the constant much."""
    center = costs.mean(axis=0)
    away = costs - center

    def residuals(constants: Array) -> Array:
        found: Array = constants[0] + away @ constants[1:] - times
        return found

    def slopes(constants: Array) -> Array:
        return np.column_stack([np.ones(len(away)), away])

    found = least_squares(
        residuals,
        [float(np.median(times)), 0.5, 0.5],
        slopes,
        bounds=([-np.inf, 0, 0], np.inf),
        loss="soft_l1",
        f_scale=_USUAL,
    )
    constant, by_flops, by_activations = map(float, found.x)
    return SecondsModel(constant - float(center @ found.x[1:]), by_flops, by_activations)
