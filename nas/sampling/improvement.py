"""What a candidate of known cost may add to the hypervolume of a front."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from nas.fronts.geometry import Array, Steps
from nas.sampling.gaussian_process import Prediction


def expected_improvement(steps: Steps, costs: Array, log_errors: Prediction) -> Array:
    """Return the expected growth of the hypervolume with each candidate, of which only the error is uncertain.

    The cost being known, the growth is a sum over the steps to the right of the candidate: the width of each times the
    expected part of the error below it. The logarithm of the error is normal, so each is the value of a put option
    (the known-cost case of Emmerich et al. 2011's expected hypervolume improvement).

    Args:
        steps: Of the front.
        costs: Of the candidates, (candidates,).
        log_errors: Prediction of the logarithm of the candidates' errors.

    Returns:
        Shape (candidates,).
    """
    starts = np.concatenate([[-np.inf], steps.ends[:-1]])
    widths = np.clip(steps.ends - np.maximum(starts, costs[:, None]), 0, None)
    mean, std = log_errors.mean[:, None], np.maximum(log_errors.std, 1e-9)[:, None]
    below = (np.log(steps.levels) - mean) / std
    gains = steps.levels * ndtr(below) - np.exp(mean + std**2 / 2) * ndtr(below - std)
    total: Array = (widths * np.maximum(gains, 0)).sum(axis=1)
    return total
