"""What a learned objective says, as errors: positive, to be minimised, the same whatever unit the objective is in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.linalg

from nas.fronts.geometry import Array
from nas.sampling.gaussian_process import correlation

_FLOORS = np.geomspace(0.003, 10, 25)  # below the least loss, in units of the spread of the losses
_MOST = 250  # values by which the floor is chosen
_NOISE = 0.02  # of the variance, while the floor is chosen


def as_errors(losses: Array, points: Array, categorical: npt.NDArray[np.bool_]) -> Array:
    """Return losses as errors above a floor; the floor is where their logarithm is best explained.

    The logarithm of an error is modelled, so it matters what an error is zero at. An accuracy in percent does not say
    where it ends, nor does a loss. The floor is the one under which the logarithms, as a Gaussian process over the
    points, are likeliest, the change of variables included (as Box & Cox 1964 choose a power; Snelson et al. 2003 warp
    a Gaussian process so). Losses times a number, or plus one, give the same errors.

    Args:
        losses: To be minimised, (values,), finite.
        points: Where they were seen, (values, dimensions), as ``GaussianProcess`` takes them.
        categorical: Of shape (dimensions,).

    Returns:
        Shape (values,), above zero, without a unit.
    """
    if not len(losses):
        return losses
    above: Array = losses - losses.min()
    # of the better half, so that some that learned nothing do not set the scale
    spread = float(np.quantile(above, 0.5)) or float(above.max())
    if spread == 0:
        return np.ones(len(losses))
    above = above / spread
    if len(losses) < 4:
        return np.asarray(above + _FLOORS[len(_FLOORS) // 2])
    chosen = np.linspace(0, len(losses) - 1, min(len(losses), _MOST)).round().astype(int)
    floor = _likeliest(above[chosen], correlation(points[chosen], categorical))
    return np.asarray(above + floor)


def _likeliest(above: Array, alike: Array) -> float:
    logs = np.log(above + _FLOORS[:, None])
    spreads = logs.std(axis=1, keepdims=True)
    standard = (logs - logs.mean(axis=1, keepdims=True)) / spreads
    factor = np.linalg.cholesky(alike * (1 - _NOISE) + _NOISE * np.eye(len(above)))
    solved = scipy.linalg.solve_triangular(factor, standard.T, lower=True)
    # the process's own scale is profiled out: the spread stands for it
    scale = (solved**2).mean(axis=0)
    loss = 0.5 * len(above) * np.log(scale) + len(above) * np.log(spreads[:, 0]) + logs.sum(axis=1)
    return float(_FLOORS[int(loss.argmin())])
