"""Points of an Optuna search space: all of them, random ones, and those beside a point."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nas.fronts.geometry import Array

Parameters: TypeAlias = dict[str, Any]

_WHOLE = 4096  # points of a space that are few enough to have them all
_GRID = 32  # values of a dimension that are all tried as mutations; of finer ones a few are drawn


def unit(values: Array, distribution: BaseDistribution) -> Array:
    """Return values of an ordered distribution as they lie in 0 to 1; categories stay the numbers they are."""
    if isinstance(distribution, CategoricalDistribution):
        return values
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        values, low, high = np.log(values), math.log(low), math.log(high)
    share: Array = (values - low) / ((high - low) or 1.0)
    return share


def all_points(space: Mapping[str, BaseDistribution], *, limit: int = _WHOLE) -> list[Parameters] | None:
    """Return all points of a space, or None where there are more than ``limit``, by default a few thousand."""
    grids = [_grid(distribution) for distribution in space.values()]
    whole = [grid for grid in grids if grid is not None]
    if len(whole) < len(grids) or math.prod(map(len, whole)) > limit:
        return None
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*whole)]


def drawn_points(space: dict[str, BaseDistribution], count: int, random: np.random.Generator) -> list[Parameters]:
    """Return all points of a space in random order where they are few, else so many random ones."""
    points = all_points(space)
    if points is not None:
        return [points[index] for index in random.permutation(len(points))]
    columns = [values_at(distribution, random.random(count).tolist()) for distribution in space.values()]
    return [dict(zip(space, values, strict=True)) for values in zip(*columns, strict=True)]


def values_at(distribution: BaseDistribution, shares: Iterable[float]) -> list[Any]:
    """Return the values that lie at shares, in 0 to 1, of a distribution."""
    grid = _grid(distribution)
    if grid is None:
        return [_between(distribution, share) for share in shares]
    return [grid[min(int(share * len(grid)), len(grid) - 1)] for share in shares]


def _between(distribution: BaseDistribution, share: float) -> Any:
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        value = low + share * (high - low)
    value = min(high, max(low, value))
    if isinstance(distribution, IntDistribution):
        steps = round((value - distribution.low) / distribution.step)
        return int(min(distribution.high, distribution.low + steps * distribution.step))
    if distribution.step is not None:
        return _on_step(distribution, round((value - low) / distribution.step))
    return value


def _grid(distribution: BaseDistribution) -> list[Any] | None:
    """Return all values of a distribution where they are few and evenly spread."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.log or distribution.step is None:
        return None
    count = int((distribution.high - distribution.low) / distribution.step + 1e-9) + 1
    if count > 1000:
        return None
    if isinstance(distribution, IntDistribution):
        return [distribution.low + index * distribution.step for index in range(count)]
    return [_on_step(distribution, index) for index in range(count)]


def _on_step(distribution: FloatDistribution, index: int) -> float:
    assert distribution.step is not None
    return float(min(distribution.high, distribution.low + index * distribution.step))


def mutations(
    parameters: Parameters, space: dict[str, BaseDistribution], random: np.random.Generator, *, near: float = 0.1
) -> list[Parameters]:
    """Return the parameters with one dimension changed, to each of its values or to some near and some anywhere.

    Args:
        parameters: One value for each dimension.
        space: The dimensions.
        random: Draws the values.
        near: Standard deviation of those near, as a share of the dimension.
    """
    found = []
    for name, distribution in space.items():
        grid = _grid(distribution)
        if grid is not None and len(grid) <= _GRID:
            values = grid
        else:
            at = float(unit(np.array([distribution.to_internal_repr(parameters[name])]), distribution)[0])
            beside = np.clip(at + random.normal(0, near, 6), 0, 1)
            values = values_at(distribution, (*beside.tolist(), *random.random(4).tolist()))
        found += [{**parameters, name: value} for value in values if value != parameters[name]]
    return found
