"""A prior fitted to what an earlier study tried: a Bayesian ridge over logarithms, whose weights are fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize

from nas.config.prior import Prior
from nas.errors import UserError
from nas.fronts.geometry import Array
from nas.sampling.scores import as_errors

_LEAST, _EACH = 8, 2
"""Values that a prior is fitted to at least, in all and for each of its slopes."""


def fit_prior(tried: Sequence[Mapping[str, Any]], costs: Array, losses: Array, *, source: str = "") -> Prior:
    """Return what trials tell a later study of the same parameters.

    Its slopes are those of positive numbers that all trials have and that differ; nothing else is kept.

    Args:
        tried: The parameters of each trial.
        costs: Of the trials, (trials,), above zero.
        losses: Of the trials, (trials,), to be minimised, in any unit.
        source: What messages call it by.

    Raises:
        UserError: There are too few trials, all losses are equal, no parameter differs, or a cost is not above zero.
    """
    names = _positive(tried)
    _require_enough(names, costs, losses, source)
    logs = np.log(np.column_stack([*([float(one[name]) for one in tried] for name in names), costs]))
    centers, spreads = logs.mean(axis=0), logs.std(axis=0)
    spreads[spreads == 0] = 1.0
    values = np.log(as_errors(losses))
    slopes, covariance = _ridge((logs - centers) / spreads, values - values.mean())
    slopes, covariance = slopes / spreads, covariance / np.outer(spreads, spreads)
    *own, cost = (float(f"{slope:.6g}") for slope in slopes)
    rows = tuple(tuple(float(f"{value:.6g}") for value in row) for row in covariance)
    return Prior(source=source, slopes=dict(zip(names, own, strict=True)), cost=cost, covariance=rows)


def _positive(tried: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the positive numbers that all have and that differ, in order."""

    def usable(values: list[Any]) -> bool:
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) and value > 0 for value in values)
        return numbers and len(set(values)) > 1

    names = dict.fromkeys(name for one in tried for name in one)
    return [name for name in names if usable([one.get(name) for one in tried])]


def _require_enough(names: Sequence[str], costs: Array, losses: Array, source: str) -> None:
    of = f" of {source}" if source else ""
    least = max(_LEAST, _EACH * (len(names) + 1))
    if len(losses) < least:
        raise UserError(f"a prior{of} needs at least {least} trained networks or trials, but there are {len(losses)}")
    if not names:
        raise UserError(f"a prior{of} needs a numeric parameter above zero that differs between trials, but has none")
    if not (costs > 0).all():
        raise UserError(f"a prior{of} needs costs above zero, but one is {costs.min():g}")
    if np.ptp(losses) == 0:
        raise UserError(f"a prior{of} needs results that differ, but all are {abs(losses[0]):g}")


def _ridge(points: Array, values: Array) -> tuple[Array, Array]:
    """Return mean and covariance of slopes under the likeliest weight and noise (Bishop 2006, section 3.5)."""
    left, singular, right = np.linalg.svd(points, full_matrices=False)
    along = left.T @ values
    rest = float(values @ values - along @ along)
    total = float(values @ values)

    def loss(theta: Array) -> float:
        weight, noise = np.exp(theta)
        variances = weight * singular**2 + noise
        spare = len(values) - len(singular)
        return float(np.log(variances).sum() + (along**2 / variances).sum() + spare * np.log(noise) + rest / noise)

    scale = total / len(values)
    bounds = [(np.log(scale * 1e-6), np.log(scale * 1e3))] * 2
    weight, noise = np.exp(minimize(loss, np.log([scale / points.shape[1], scale / 2]), bounds=bounds).x)
    precision = singular**2 / noise + 1 / weight
    mean: Array = right.T @ (along * singular / noise / precision)
    return mean, (right.T / precision) @ right
