"""What networks are really worth: accuracies drawn towards what others of their cost have, as far as they are noise.

Of many networks that were trained, the best were lucky too: their means over seeds are too high, and a few more seeds
do not mend it, for the lucky training stays among them. Empirical Bayes mends it (Efron & Morris 1975, "Data analysis
using Stein's estimator and its generalizations"; Gelman et al., Bayesian Data Analysis, chapter 5). The model of the
mean ``y`` of a network's ``n`` trainings::

    y     = truth + images + seeds
    truth = trend(log cost) + line(family) + merit       merit ~ N(0, spread²)
    seeds ~ N(0, noise² / n)                             noise from further trainings, or assumed; of weak networks more
    images: what drawing the validation images adds      from paired answers (nas/fronts/images.py)

The trend is a straight line plus a cubic smoothing spline (an integrated Wiener process: Wahba 1978, "Improper priors,
spline smoothing and the problem of guarding against model errors in regression"), and each family has a line of its own
beside it. Given spread, noise and the scales of spline and families, everything is Gaussian and exact: a network keeps
the share ``spread² / (spread² + noise²/n)`` of its distance from the trend. Those four are averaged over what the data
leave possible, on a grid, under weak priors: half-Cauchy for spline and families (Gelman 2006, "Prior distributions for
variance parameters in hierarchical models"), log-normal for the spread, since networks that differ are never all equal
(a boundary-avoiding prior, Chung et al. 2013, doi:10.1007/s11336-013-9328-2).

Weak networks vary more with the seed than strong ones: noise follows the binomial law ``noise² ~ a (1 - a)`` of the
accuracy that is expected for cost and family. So what weak networks scatter is not taken for merit, and strong ones get
no noise from them.

Few further trainings leave the noise uncertain, which gives the tails of Student's t. Without any, spread and noise
cannot be told apart; then the assumed noise stays what it is, whatever the networks are like.

That further seeds go to networks near the front does no harm: a posterior depends on what was seen, not on why one
looked. Networks that fell far below the trend neither widen the spread nor are drawn upwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nas.fronts.geometry import Array
from nas.fronts.noise import NoiseGuess, times_on_front
from nas.fronts.posterior import DRAWS, NO_IMAGE_NOISE, Data, ImageNoise, Posterior, Trainings
from nas.processes.threads import blas_threads

_FAR_BELOW = 4.0
"""Robust standard deviations below the trend from which on a network tells nothing of the others."""
_ENOUGH = 8
"""Networks from which on it can be told what far below is."""
_PASSES = 3
_MOST, _STEP = 3.0, 0.1
"""Largest ratio of a network's noise to a usual one's, and the steps of its logarithm: equals are summed together."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What is known of some networks; each array has the shape (networks,).

    Attributes:
        means: Expected true accuracies.
        errors: Standard deviations of the true accuracies.
        chances: Probabilities of being on the front of the true accuracies.
        before: Index of the member before it on the front of ``means``; -1 for the first.
        on_front: Whether it is on that front.
        better: Probabilities that the true accuracy is above that of ``before``; 1 for the first.
        spread: Expected spread of networks of the same cost and family.
    """

    means: Array
    errors: Array
    chances: Array
    before: npt.NDArray[np.int64]
    on_front: npt.NDArray[np.bool_]
    better: Array
    spread: float


@lru_cache(maxsize=16)
@blas_threads(1)
def shrink(networks: tuple[Trainings, ...], guess: NoiseGuess, images: ImageNoise = NO_IMAGE_NOISE) -> Shrunk:
    """Return what is known of networks, given all their trainings.

    Args:
        networks: Cheapest first.
        guess: What is known of the noise of one training.
        images: What the validation images add.
    """
    if not networks:
        none = np.zeros(0)
        return Shrunk(none, none, none, none.astype(np.int64), none.astype(np.bool_), none, 0.0)
    posterior = fitted(networks, guess, images)
    means, errors = posterior.moments()
    means = means.clip(0, 1)
    costs = np.array([network.cost for network in networks], float)
    before, on_front = front_places(costs, means)
    better, others = np.ones(len(costs)), np.flatnonzero(before >= 0)
    better[others] = posterior.above(others, before[others])
    return Shrunk(means, errors, front_chances(posterior, costs), before, on_front, better, posterior.spread)


@blas_threads(1)
def front_chances(posterior: Posterior, costs: Array) -> Array:
    """Return the probabilities, (networks,), of being on the front of the true accuracies over some costs.

    Args:
        posterior: What is known of the networks.
        costs: Of each, (networks,), in any order; not a number where it is not known: such a network is left out.
    """
    known = np.argsort(costs, kind="stable")[: np.count_nonzero(np.isfinite(costs))]
    times, rising = np.zeros(len(costs)), np.array_equal(known, np.arange(len(costs)))
    for drawn in posterior.draw(np.random.default_rng(0)):
        times[known] += times_on_front(costs[known], drawn if rising else drawn[:, known])
    return times / DRAWS


def expected(networks: Sequence[Trainings], guess: NoiseGuess, images: ImageNoise = NO_IMAGE_NOISE) -> Array:
    """Return the expected true accuracies alone, (networks,), as ``shrink`` does, without drawing."""
    with blas_threads(1):
        return fitted(tuple(networks), guess, images).moments()[0].clip(0, 1) if networks else np.zeros(0)


@lru_cache(maxsize=4)
@blas_threads(1)
def fitted(networks: tuple[Trainings, ...], guess: NoiseGuess, images: ImageNoise = NO_IMAGE_NOISE) -> Posterior:
    """Return what the networks leave possible, without those far below the trend."""
    data = Data.of(networks, images)
    for number in range(_PASSES):
        posterior = Posterior(data, guess)
        usual = _usual(data, posterior.trend)
        if number and (usual == data.usual).all():
            break
        data = replace(data, usual=usual, relative=_relative_noise(data.center + posterior.trend))
    return posterior


def front_places(costs: Array, means: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the front's member before each network, and who is a member; of equals the first."""
    before, on_front = np.full(len(costs), -1), np.zeros(len(costs), np.bool_)
    last = -1
    for index in np.lexsort((np.arange(len(costs)), -means, costs)):
        before[index] = last
        if last < 0 or means[index] > means[last]:
            on_front[index], last = True, index
    return before, on_front


def _usual(data: Data, trend: Array) -> npt.NDArray[np.bool_]:
    """Tell which networks are not far below the trend."""
    residuals = data.means - trend
    usual = residuals[data.usual]
    robust = 1.4826 * float(np.median(np.abs(usual - np.median(usual))))
    if len(data.means) < _ENOUGH or robust == 0:
        return data.usual
    return residuals > -_FAR_BELOW * robust


def _relative_noise(trend: Array) -> Array:
    """Return the noise of one training at expected accuracies as a multiple of the usual, by the binomial law."""
    variances = trend.clip(0, 1) * (1 - trend.clip(0, 1)) + 1e-9
    logs = 0.5 * np.log(variances / np.median(variances))
    relative: Array = np.exp(_STEP * np.round(logs.clip(-math.log(_MOST), math.log(_MOST)) / _STEP))
    return relative
