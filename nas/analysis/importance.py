"""Which dimensions of a search decide accuracy, and which of them still do at equal FLOPs.

Importance is that of permutation (Breiman 2001, "Random forests"; scikit-learn's ``permutation_importance``): by how
much a random forest explains less of the accuracies of networks that it has not seen once the values of a dimension are
mixed up. fANOVA and PED-ANOVA, which Optuna has, read one raw value for each trial; here all seeds count, and the
accuracy at equal FLOPs can be asked for, without which importance only tells what makes networks larger.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas.analysis.pareto import FrontPoint
from nas.architecture.space import COEFFICIENTS
from nas.fronts.geometry import Array

FEWEST, MOST = 20, 500
"""Networks below which nothing can be told, and up to which all are used; of more, an even choice."""
_FOLDS, _TREES, _SHUFFLES = 4, 25, 3


class Importance(NamedTuple):
    """How much of the accuracies each dimension explains.

    Attributes:
        dimensions: Their names, (dimensions,).
        mean: Share of the variance that is lost when a dimension is mixed up, mean over folds, (dimensions,).
        std: Standard deviation over the folds, each with a seed of its own, (dimensions,).
        explained: Share of the variance of unseen networks that the forests explain, mean over folds; zero or less
            where they explain nothing.
    """

    dimensions: tuple[str, ...]
    mean: Array
    std: Array
    explained: float


def importance_of(points: list[FrontPoint], *, at_equal_flops: bool) -> Importance:
    """Return how much of the accuracies to expect each dimension that varies explains.

    Args:
        points: At least ``FEWEST`` trained networks, in the order of their cost.
        at_equal_flops: Whether the accuracy above that of other networks of equal FLOPs is asked for.
    """
    names, inputs = _inputs(points)
    target = np.array([point.shrunk_accuracy for point in points])
    if at_equal_flops:
        target = target - _usual(np.log([point.trial.flops for point in points]), target)
    if not names or np.ptp(target) == 0:
        return Importance(names, np.zeros(len(names)), np.zeros(len(names)), 0.0)
    return _permuted(names, inputs, target)


def _permuted(names: tuple[str, ...], inputs: Array, target: Array) -> Importance:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    lost, explained = [], []
    for seed, (seen, unseen) in enumerate(KFold(_FOLDS, shuffle=True, random_state=0).split(inputs)):
        forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=seed, n_jobs=1)
        forest.fit(inputs[seen], target[seen])
        if np.ptp(target[unseen]) == 0:
            continue
        explained.append(float(forest.score(inputs[unseen], target[unseen])))
        mixed = permutation_importance(
            forest, inputs[unseen], target[unseen], n_repeats=_SHUFFLES, random_state=seed, n_jobs=1
        )
        lost.append(mixed.importances_mean)
    if len(lost) < 2:
        return Importance(names, np.zeros(len(names)), np.zeros(len(names)), 0.0)
    losses = np.array(lost)
    return Importance(names, losses.mean(axis=0), losses.std(axis=0, ddof=1), float(np.mean(explained)))


def _inputs(points: list[FrontPoint]) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """Return the names of dimensions that vary, and their values, (networks, dimensions); of categories, numbers."""
    chosen = sorted({key for point in points for key in point.trial.choices})
    columns = {"family": _numbered([point.trial.space for point in points])}
    columns |= {name: np.array([getattr(point.trial, name) for point in points], float) for name in COEFFICIENTS}
    columns |= {name: _numbered([str(point.trial.choices.get(name)) for point in points]) for name in chosen}
    varied = {name: values for name, values in columns.items() if np.ptp(values) > 0}
    return tuple(varied), np.column_stack(list(varied.values())) if varied else np.zeros((len(points), 0))


def _numbered(values: list[str]) -> npt.NDArray[np.float64]:
    return np.unique(values, return_inverse=True)[1].astype(float)


def _usual(logs: Array, values: Array) -> Array:
    """Return what is usual at a cost: a cubic over the logarithm of the FLOPs."""
    degree = min(3, len(np.unique(logs)) - 1)
    fitted: Array = (
        np.polynomial.Polynomial.fit(logs, values, degree)(logs) if degree else np.full_like(values, values.mean())
    )
    return fitted
