"""Studies whose truth is known, for ``front_noise.py``, which says how they are made."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

from nas.fronts.noise import _ASSUMED_WITHIN
from nas.fronts.posterior import _SPREAD, _SPREAD_WITHIN

Array = npt.NDArray[np.float64]

IMAGES = 5000
SHARED, OF_FAMILY, OF_NETWORK = 0.74, 0.03, 0.08
"""Parts of the variance of an image's difficulty; the rest is drawn anew for each training."""
LARGEST = 0.06
"""Drawn spread: accuracies end at 0 and 1."""


class Kind(NamedTuple):
    """Of a study: number of networks, spread of networks of the same cost, noise of one training; None: drawn."""

    networks: int
    spread: float | None
    noise: float | None


class Truth(NamedTuple):
    """Networks whose accuracy is known, cheapest first, luck of the images that they share, and noise of a training."""

    costs: Array
    families: list[str]
    accuracies: Array
    shared_luck: float
    noise: float


class Laboratory:
    """Trains the networks of one simulated study."""

    def __init__(self, kind: Kind, random: np.random.Generator) -> None:
        self._random = random
        costs = np.sort(10 ** random.uniform(6, 8, kind.networks))
        families = random.integers(0, random.integers(1, 3), kind.networks)
        ceiling, slope, fall = random.uniform(0.7, 0.9), random.uniform(0.15, 0.3), random.uniform(0.3, 1.0)
        curve = ceiling - slope * (costs / 1e6) ** -fall + random.normal(0, 0.01, 2)[families]
        assumed = math.sqrt(float(np.median(curve)) * (1 - float(np.median(curve))) / IMAGES)
        spread = kind.spread or drawn(random, _SPREAD, _SPREAD_WITHIN, most=LARGEST)
        noise = kind.noise or drawn(random, assumed, _ASSUMED_WITHIN)
        accuracies = (curve + random.normal(0, spread, kind.networks)).clip(0.02, 0.98)
        self._abilities = ndtri(accuracies)
        self._shift, noise = shift_for(noise, float(np.median(accuracies)))
        self._families = families
        self._common = math.sqrt(SHARED) * random.standard_normal(IMAGES, np.float32)
        self._of_family = math.sqrt(OF_FAMILY) * random.standard_normal((2, IMAGES), np.float32)
        middle = float(np.median(self._abilities))
        luck = ndtr((middle - self._common) / math.sqrt(1 - SHARED)).mean() - ndtr(middle)
        self.truth = Truth(costs, [f"family {family}" for family in families], accuracies, float(luck), noise)
        self._own = dict[int, npt.NDArray[np.float32]]()

    def train(self, network: int) -> Array:
        """Return which images one more training of a network has right, (images,)."""
        if network not in self._own:
            own = math.sqrt(OF_NETWORK) * self._random.standard_normal(IMAGES, np.float32)
            self._own[network] = self._common + self._of_family[self._families[network]] + own
        left = 1 - SHARED - OF_FAMILY - OF_NETWORK - self._shift**2
        drawn = math.sqrt(left) * self._random.standard_normal(IMAGES, np.float32)
        ability = self._abilities[network] + self._shift * self._random.standard_normal()
        return (self._own[network] + drawn < ability).astype(np.float64)


def drawn(random: np.random.Generator, median: float, within: float, most: float = 1.0) -> float:
    """Draw from a log-normal distribution, but nothing above ``most``."""
    while (value := median * math.exp(within * random.standard_normal())) > most:
        pass
    return value


def shift_for(noise: float, accuracy: float) -> tuple[float, float]:
    """Return how far abilities must move with the seed for a training of this accuracy to have a noise, and the noise.

    It is more than was asked for where images alone flip by more.
    """
    alike = SHARED + OF_FAMILY + OF_NETWORK
    ability = float(ndtri(accuracy))
    both = multivariate_normal([0, 0], [[1, alike], [alike, 1]]).cdf([ability, ability])
    flips = (accuracy - float(both)) / IMAGES
    density = math.exp(-(ability**2) / 2) / math.sqrt(2 * math.pi)
    noise = max(noise, math.sqrt(flips))
    return math.sqrt(max(0.0, noise**2 - flips)) / density, noise
