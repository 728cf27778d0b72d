"""The Gaussian model of ``nas/fronts/shrinkage.py``, which says what it is, averaged over its four scales."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, ndtr

from nas.fronts.geometry import Array
from nas.fronts.noise import NoiseGuess, mean

DRAWS = 4000
_AT_A_TIME = 16
_KNOTS = 8
_SPREAD, _SPREAD_WITHIN = 0.015, 1.0
"""Median of the spread, in accuracy, before anything is trained, and the standard deviation of its logarithm."""
_BEND, _FAMILY = 0.3, 0.02
"""Scales of the half-Cauchy priors of spline and families, in accuracy: ten times as much is no surprise."""
_UNLIKELY = 9.0
"""Logarithm of how many times less likely than the best what is left out of the grid is."""


class Trainings(NamedTuple):
    """A network as the model sees it.

    Attributes:
        cost: Above zero.
        family: It has its own line beside the trend.
        accuracies: Of its trainings, from one seed or several.
    """

    cost: float
    family: str
    accuracies: tuple[float, ...]


class ImageNoise(NamedTuple):
    """What drawing the validation images adds to means, beside what it adds to all of them alike.

    Attributes:
        alone: Variance that each network has for itself, whatever the number of seeds.
        family: Variance that the networks of a family share.
    """

    alone: float = 0.0
    family: float = 0.0


NO_IMAGE_NOISE = ImageNoise()


@dataclass(frozen=True, slots=True)
class Data:
    """Networks as arrays.

    Attributes:
        means: Of the accuracies over seeds, less ``center``, (networks,).
        center: Mean of those.
        squares: Sums of the squared distances of trainings from the mean of their network, (networks,).
        seeds: Number of trainings, (networks,).
        relative: Noise of one training, as a multiple of a usual network's, (networks,).
        columns: What true accuracies and noise are sums of, (networks, columns).
        kinds: Of the columns: 0 line, 1 bend, 2 family, 3 image noise that a family shares.
        images: What the validation images add.
        usual: Which networks tell something of the others, (networks,).
    """

    means: Array
    center: float
    squares: Array
    seeds: Array
    relative: Array
    columns: Array
    kinds: npt.NDArray[np.int64]
    images: ImageNoise
    usual: npt.NDArray[np.bool_]

    @staticmethod
    def of(networks: Sequence[Trainings], images: ImageNoise) -> Data:
        """Return networks, cheapest first, as arrays."""
        means = np.array([mean(network.accuracies) for network in networks])
        logs = np.log([network.cost for network in networks])
        place = (logs - logs.min()) / (np.ptp(logs) or 1.0)
        line = np.column_stack([np.ones(len(place)), place])
        parts = [(line, 0), (_spline(place), 1)]
        families = sorted({network.family for network in networks})
        if len(families) > 1:
            member = np.array([[network.family == family for family in families] for network in networks], float)
            parts += [(member, 2), (member * (place - 0.5)[:, None], 2), (member, 3)]
        columns = np.column_stack([part for part, _ in parts])
        kinds = np.concatenate([np.full(part.shape[1], kind) for part, kind in parts])
        seeds = np.array([len(network.accuracies) for network in networks], float)
        center = float(means.mean())
        squares = np.array([np.var(network.accuracies) for network in networks]) * seeds
        alike, usual = np.ones(len(means)), np.ones(len(means), np.bool_)
        return Data(means - center, center, squares, seeds, alike, columns, kinds, images, usual)

    @property
    def worth(self) -> Array:
        """How many trainings of a usual network each mean is worth, (networks,)."""
        worth: Array = self.seeds / self.relative**2
        return worth

    def usual_noise(self, guess: NoiseGuess) -> NoiseGuess:
        """Return what is known of the noise of one training of a usual network."""
        seen = float(self.squares.sum())
        alike = float((self.squares / self.relative**2).sum()) / seen if seen else 1.0
        return replace(guess, squares=guess.squares * alike)

    def prior(self, *, bend: Array, family: Array) -> Array:
        """Return the prior variances of the columns' weights, (settings, columns)."""
        ones = np.ones_like(bend)
        by_kind = np.stack([ones, bend**2, family**2, ones * max(self.images.family, 1e-12)], axis=1)
        variances: Array = by_kind[:, self.kinds]
        return variances


def _spline(place: Array) -> Array:
    """Return an integrated Wiener process of scale 1 at places in 0 to 1 as a sum of few columns."""
    knots = np.arange(1, _KNOTS + 1) / _KNOTS

    def kernel(a: Array, b: Array) -> Array:
        low, apart = np.minimum(a[:, None], b), np.abs(a[:, None] - b)
        values: Array = low**3 / 3 + apart * low**2 / 2
        return values

    factor = np.linalg.cholesky(kernel(knots, knots) + 1e-12 * np.eye(_KNOTS))
    columns: Array = np.linalg.solve(factor, kernel(knots, place)).T
    return columns


class _Settings(NamedTuple):
    """Spread, noise, and scales of spline and families, each of shape (settings,)."""

    spread: Array
    noise: Array
    bend: Array
    family: Array


class Posterior:
    """What the data leave possible: weighted settings of the four scales, and the Gaussian of each."""

    def __init__(self, data: Data, guess: NoiseGuess) -> None:
        """Find which settings are likely, on a grid that is drawn anew around them twice."""
        self._data = data
        self._guess = data.usual_noise(guess)
        self._sums = _sums(data)
        families = 5 if (data.kinds == 2).any() else 1
        sizes = (9, 9, 5, families)
        low, high = self._guess.range()
        ranges = ((1e-4, 0.3), (low, high), (0.01, 10.0), (1e-3, 0.3))
        ends = [(math.log(first), math.log(last)) for first, last in ranges]
        for _ in range(3):
            axes = [np.linspace(first, last, size) for (first, last), size in zip(ends, sizes, strict=True)]
            grid = np.stack(np.meshgrid(*axes, indexing="ij"))
            settings = _Settings(*np.exp(grid.reshape(4, -1)))
            densities = self._densities(settings, grid.shape[1:])
            ends = [_likely(axis, densities, number) for number, axis in enumerate(axes)]
        share = np.exp(densities - densities.max()).ravel()
        kept = np.flatnonzero(share > math.exp(-_UNLIKELY))
        self._settings = _Settings(*(values[kept] for values in settings))
        self._shares = share[kept] / share[kept].sum()
        self._weights, self._factors = self._solve(self._settings)

    @property
    def center(self) -> float:
        """What ``trend`` and the draws are less than accuracies."""
        return self._data.center

    @property
    def trend(self) -> Array:
        """Expected accuracy of networks of each one's cost and family, less the center."""
        truth = self._data.kinds < 3
        expected: Array = self._data.columns[:, truth] @ (self._shares @ self._weights)[truth]
        return expected

    @property
    def spread(self) -> float:
        """Expected spread of networks of the same cost and family."""
        return float(self._shares @ self._settings.spread)

    def moments(self) -> tuple[Array, Array]:
        """Return means and standard deviations of the true accuracies."""
        data = self._data
        first, second = np.zeros(len(data.means)), np.zeros(len(data.means))
        for index, weight in enumerate(self._shares):
            kept, left = self._kept(index)
            slopes = self._slopes(kept)
            mean = kept * data.means + slopes @ self._weights[index]
            half = np.linalg.solve(self._factors[index], slopes.T)
            first += weight * mean
            second += weight * (mean**2 + left + (half**2).sum(axis=0))
        return data.center + first, np.sqrt(np.maximum(second - first**2, 1e-12))

    def above(self, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> Array:
        """Return the probabilities, (pairs,), that the networks ``first`` are truly more accurate than ``second``.

        Args:
            first: Indices of networks, (pairs,).
            second: Indices of other networks, (pairs,): what the two share is no doubt about their difference.
        """
        chances = np.zeros(len(first))
        for index, weight in enumerate(self._shares):
            kept, left = self._kept(index)
            slopes, drawn_back = self._slopes(kept), kept * self._data.means
            apart = slopes[first] - slopes[second]
            mean = drawn_back[first] - drawn_back[second] + apart @ self._weights[index]
            half = np.linalg.solve(self._factors[index], apart.T)
            variance = left[first] + left[second] + (half**2).sum(axis=0)
            chances += weight * ndtr(mean / np.sqrt(np.maximum(variance, 1e-12)))
        return chances

    def draw(self, generator: np.random.Generator) -> Iterator[Array]:
        """Draw true accuracies, less the center, a few draws at a time, (draws, networks): all would not fit a cache.

        What was given is overwritten by the next.
        """
        data = self._data
        counts = generator.multinomial(DRAWS, self._shares)
        drawn, expected = np.empty((2, _AT_A_TIME, len(data.means)))
        for index in np.flatnonzero(counts).tolist():
            kept, left = self._kept(index)
            normal = generator.standard_normal((counts[index], data.columns.shape[1]))
            weights = self._weights[index] + np.linalg.solve(self._factors[index].T, normal.T).T
            scale, means, slopes = np.sqrt(left), kept * data.means, self._slopes(kept).T
            for first in range(0, len(weights), _AT_A_TIME):
                part = weights[first : first + _AT_A_TIME]
                merits, sums = drawn[: len(part)], np.matmul(part, slopes, out=expected[: len(part)])
                generator.standard_normal(out=merits)
                merits *= scale
                sums += means
                merits += sums
                yield merits

    def _kept(self, index: int) -> tuple[Array, Array]:
        """Return which share of its distance from the trend each network keeps, and the variance that is left."""
        noise = self._settings.noise[index] ** 2 / self._data.worth + self._data.images.alone
        merit = np.where(self._data.usual, self._settings.spread[index] ** 2, np.inf)
        kept = 1 / (1 + noise / merit)
        return kept, kept * noise

    def _slopes(self, kept: Array) -> Array:
        """Return how true accuracies, (networks,), move with the columns' weights: noise moves them the other way."""
        truth = (self._data.kinds < 3).astype(float)
        slopes: Array = self._data.columns * (truth - kept[:, None])
        return slopes

    def _densities(self, settings: _Settings, shape: tuple[int, ...]) -> Array:
        """Return logarithms of posterior densities, per logarithm of each scale, on a grid of this shape."""
        inverse = self._inverse(settings)
        prior = self._data.prior(bend=settings.bend, family=settings.family)
        weights, factors = self._solve(settings)
        logs = 2 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1) + np.log(prior).sum(axis=1)
        logs = logs - (self._sums.counts * np.log(inverse)).sum(axis=1)
        squares = inverse @ self._sums.squares - (weights * (inverse @ self._sums.moments)).sum(axis=1)
        density = -0.5 * (logs + squares)
        density = density - 0.5 * (np.log(settings.spread / _SPREAD) / _SPREAD_WITHIN) ** 2
        for value, scale in ((settings.bend, _BEND), (settings.family, _FAMILY)):
            density = density + np.log(value) - np.log1p((value / scale) ** 2)
        found: Array = density.reshape(shape)
        if not self._guess.further:
            found = found - logsumexp(found, axis=(0, 2, 3), keepdims=True)
        return found + self._guess.log_density(settings.noise).reshape(shape)

    def _solve(self, settings: _Settings) -> tuple[Array, Array]:
        """Return means of the columns' weights, (settings, columns), and factors of their precisions."""
        inverse = self._inverse(settings)
        precisions = np.einsum("sg,gij->sij", inverse, self._sums.products)
        prior = self._data.prior(bend=settings.bend, family=settings.family)
        precisions += np.eye(prior.shape[1]) / prior[:, None]
        moments = inverse @ self._sums.moments
        weights = np.linalg.solve(precisions, moments[..., None])[..., 0]
        return weights, np.linalg.cholesky(precisions)

    def _inverse(self, settings: _Settings) -> Array:
        """Return one over the variance of means about the trend, (settings, numbers of trainings)."""
        noise = settings.noise[:, None] ** 2 / self._sums.worth + self._data.images.alone
        inverse: Array = 1 / (settings.spread[:, None] ** 2 + noise)
        return inverse


def _likely(axis: Array, densities: Array, number: int) -> tuple[float, float]:
    """Return the ends of the part of a grid's axis, one step wider, outside of which nothing is likely."""
    others = tuple(other for other in range(densities.ndim) if other != number)
    kept = np.flatnonzero((densities > densities.max() - _UNLIKELY).any(axis=others))
    return float(axis[max(0, kept[0] - 1)]), float(axis[min(len(axis) - 1, kept[-1] + 1)])


class _Sums(NamedTuple):
    """Sums over the networks whose means are worth the same; all that the likelihood needs, however many networks."""

    worth: Array
    counts: Array
    products: Array
    moments: Array
    squares: Array


def _sums(data: Data) -> _Sums:
    worth = np.unique(data.worth)
    groups = [(data.worth == number) & data.usual for number in worth]
    columns, means = [data.columns[group] for group in groups], [data.means[group] for group in groups]
    return _Sums(
        worth,
        np.array([len(values) for values in means], float),
        np.array([part.T @ part for part in columns]),
        np.array([part.T @ values for part, values in zip(columns, means, strict=True)]),
        np.array([values @ values for values in means]),
    )
