"""Points of a space that is almost nowhere feasible, found by steps that come ever nearer."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
from optuna.distributions import BaseDistribution

from nas.sampling.points import Parameters, drawn_points, mutations

_DRAWN = 500
_CLIMBING = 16  # the nearest, beside which others are tried
_STEPS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # shares of a dimension
_ENOUGH = 100


def climb(
    space: dict[str, BaseDistribution],
    excess: Callable[[Parameters], float],
    identity: Callable[[Parameters], Hashable],
    random: np.random.Generator,
) -> list[Parameters]:
    """Return feasible points, a hundred or as many as a climb from random points meets, perhaps none.

    Args:
        space: All dimensions.
        excess: Of a point: how far it is from feasible, 0 where it is.
        identity: Of a point: of those with equal identity one is looked at.
        random: Draws points and steps.
    """
    known = {identity(point): (excess(point), point) for point in drawn_points(space, _DRAWN, random)}
    climbing = list(known.values())
    for near in _STEPS:
        climbing = sorted(climbing, key=lambda one: one[0])[:_CLIMBING]
        for _, point in tuple(climbing):
            for step in mutations(point, space, random, near=near):
                if (key := identity(step)) not in known:
                    known[key] = (excess(step), step)
                    climbing.append(known[key])
        found = [point for far, point in known.values() if far <= 0]
        if len(found) >= _ENOUGH:
            break
    return found
