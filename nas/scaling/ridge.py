"""A linear model some of whose coefficients are probably small, averaged over what the data leave possible.

The model of values ``y`` with known variances ``v`` of their noise::

    y = columns @ coefficients + scatter     scatter ~ N(0, s²)
    coefficients ~ N(0, 1)  where free       (wide: a value moves by less than 1 for each unit of a column)
    coefficients ~ N(0, q²) where shrunk

``s`` and ``q`` have half-Cauchy priors (Gelman 2006, "Prior distributions for variance parameters in hierarchical
models") and are averaged over a grid by their marginal likelihood (MacKay 1992, "Bayesian interpolation"). Given both,
everything is Gaussian and exact. So intervals hold what few points leave open, which a bootstrap of residuals around
one shrunk fit does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, ndtri

from nas.fronts.geometry import Array
from nas.processes.threads import blas_threads

DRAWS = 1000
_FREE = 1.0
_SHRUNK = np.geomspace(0.001, 1.0, 13)
_SCATTER = np.geomspace(0.0005, 0.5, 16)
_SHRUNK_SCALE, _SCATTER_SCALE = 0.05, 0.02
"""Medians of the priors of ``q`` and ``s``: ten times as much is no surprise."""


class Drawn(NamedTuple):
    """Draws from what the data leave possible.

    Attributes:
        coefficients: Of shape (draws, columns).
        mean: Expected coefficients, (columns,).
        scatter: Standard deviation of the scatter, (draws,).
    """

    coefficients: Array
    mean: Array
    scatter: Array


@blas_threads(1)
def draw_ridge(columns: Array, values: Array, variances: Array, shrunk: npt.NDArray[np.bool_]) -> Drawn:
    """Return draws of the coefficients; the same points in another order give the same draws, but for rounding.

    Args:
        columns: Of shape (points, columns).
        values: Of shape (points,), of size 1 or so.
        variances: Of the known noise of the values, (points,).
        shrunk: Which coefficients are probably small, (columns,).
    """
    prior = np.where(shrunk, _SHRUNK[:, None] ** -2.0, _FREE**-2.0)
    means, inverses, logs = [], [], []
    for scatter in _SCATTER:
        weights = 1 / (variances + scatter**2)
        precision = (columns.T * weights) @ columns + prior[:, :, None] * np.eye(len(shrunk))
        inverse = np.linalg.inv(precision)
        mean = inverse @ (columns.T @ (weights * values))
        fit = weights @ values**2 - np.einsum("qc,qcd,qd->q", mean, precision, mean)
        logs.append(0.5 * (np.log(weights).sum() + np.log(prior).sum(1) - np.linalg.slogdet(precision)[1] - fit))
        logs[-1] += _log_prior(scatter, _SCATTER_SCALE) + _log_prior(_SHRUNK, _SHRUNK_SCALE)
        means.append(mean)
        inverses.append(inverse)
    chances = np.exp(np.array(logs) - logsumexp(logs)).ravel()
    return _draw(chances, np.concatenate(means), np.concatenate(inverses), np.repeat(_SCATTER, len(_SHRUNK)))


def _log_prior(scale: Array, median: float) -> Array:
    """Return the density of a half-Cauchy scale, per logarithm, up to a constant."""
    density: Array = np.log(scale) - np.log1p((scale / median) ** 2)
    return density


def _draw(chances: Array, means: Array, covariances: Array, scatter: Array) -> Drawn:
    """Draw from a mixture of Gaussians: each as often as its chance says, so that luck decides about none."""
    places = (np.arange(DRAWS) + 0.5) / DRAWS
    which = np.searchsorted(np.cumsum(chances), places).clip(max=len(chances) - 1)
    generator = np.random.default_rng(0)
    normal = generator.standard_normal((DRAWS, means.shape[1]))
    roots = np.linalg.cholesky(covariances[np.unique(which)])
    root = roots[np.searchsorted(np.unique(which), which)]
    return Drawn(means[which] + np.einsum("dij,dj->di", root, normal), chances @ means, scatter[which])


def evenly_normal(count: int) -> Array:
    """Return standard normal numbers, evenly spread over their distribution, in a fixed random order."""
    numbers: Array = ndtri((np.random.default_rng(1).permutation(count) + 0.5) / count)
    return numbers
