"""Networks that are pretended to be trained, in worlds whose best shape at each cost is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.fronts.geometry import Array
from nas.scaling.evidence import Evidence, TrainedNetwork

BASELINE = (0.5, 1.0, 24.0)
CHEAPEST = 2e6
POWERS = np.array([2.0, 1.0, 2.0])
LEVELS = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class World:
    """Where the best shape grows from the baseline by powers of the cost, and error rises around it like a bowl."""

    exponents: tuple[float, float, float] = (0.25, 0.2, 0.15)
    bowl: float = 0.1
    noise: float = 0.01

    def log_errors(self, places: Array) -> Array:
        """Return the true log errors at log2 coefficients of shape (networks, 3)."""
        octaves = self.octaves(places)
        away = places - np.log2(BASELINE) - octaves[:, None] * np.array(self.exponents)
        return np.log(0.5) - 0.08 * octaves + self.bowl * (away**2 @ np.array([1.0, 0.25, 1.0]))

    @staticmethod
    def octaves(places: Array) -> Array:
        """Return the log2 of the costs as multiples of the baseline's."""
        return (places - np.log2(BASELINE)) @ POWERS

    def train(self, places: Array, *, seed: int = 0, seeds: int = 1, several: int = 6) -> Evidence:
        """Return trainings of networks; the first few have three seeds."""
        generator = np.random.default_rng(seed)
        networks = []
        for number, (place, log_error) in enumerate(zip(places, self.log_errors(places), strict=True)):
            repeats = 3 if number < several else seeds
            errors = np.exp(log_error) * (1 + self.noise * generator.standard_normal(repeats))
            networks.append(network(str(number), place, dict(enumerate(1 - errors))))
        return Evidence("pretended", (), {}, 1000, 5000, 8).only(networks)


def network(digest: str, place: Array, accuracies: dict[int, float], space: str = "x") -> TrainedNetwork:
    width, depth, resolution = map(float, 2**place)
    flops = CHEAPEST * 2 ** float(World.octaves(place[None])[0])
    return TrainedNetwork(digest, space, width, depth, resolution, flops, flops / 10, flops / 20, accuracies)


def star(levels: tuple[float, ...] = LEVELS, *, step: float = 1.4) -> Array:
    """Return the places of a star sweep without any rounding, (networks, 3)."""
    found = []
    for level in levels:
        center = np.log2(BASELINE) + np.log2(level) / 3 / POWERS
        found.append(center)
        for index in range(3):
            direction = -POWERS[index] / 2 / POWERS
            direction[index] = 1.0
            found += [center + steps * np.log2(step) * direction for steps in (-2, -1, 1, 2)]
    return np.array(found)
