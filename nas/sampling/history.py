"""What a study has shown, as the model of ``ParetoSampler`` sees it: errors to be minimised at points in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.fronts.geometry import Array, front_members, front_steps
from nas.sampling.points import Parameters, unit, values_at

Lines: TypeAlias = Callable[[Sequence[Parameters], Array], Array]
"""Returns what an error's logarithm is linear in, (listed, lines), of candidates whose costs lie in 0 to 1."""

CLIP = 0.5
"""Of the logarithm of an error, above the reference: what is beyond it is an outlier."""
MARGIN = 0.05
"""Between the logarithm of the error of the cheapest members and the reference."""


@dataclass(frozen=True, slots=True)
class History:
    """What was proposed and what it gave.

    Attributes:
        known: One entry for each value that was seen.
        losses: Those values, to be minimised.
        errors: Those values as positive errors, as versions before the second of the sampler have them.
        shares: Of the way after which they were seen, in (0, 1].
        costs: That came with the values; NaN where a trial has not told its cost.
        running: What still runs.
        failed: What ended without a value that can be used.
        constraints: What was measured of constraints, with where: met at values of zero or less.
        all: Everything proposed.
    """

    known: list[Parameters]
    losses: Array
    errors: Array
    shares: Array
    costs: Array
    running: list[Parameters]
    failed: list[Parameters]
    constraints: list[tuple[Parameters, Mapping[str, float]]]
    all: list[Parameters]

    def take(self, chosen: list[int]) -> History:
        """Return only some of the values."""
        known = [self.known[index] for index in chosen]
        values = {key: getattr(self, key)[chosen] for key in ("losses", "errors", "shares", "costs")}
        return replace(self, known=known, **values)

    def where(self, whole: Callable[[Parameters], bool]) -> History:
        """Return this without what did not ask for all of its parameters, beyond that it was proposed."""
        return replace(
            self,
            running=[parameters for parameters in self.running if whole(parameters)],
            failed=[parameters for parameters in self.failed if whole(parameters)],
            constraints=[(parameters, told) for parameters, told in self.constraints if whole(parameters)],
        )

    def completed(self, absent: Parameters) -> History:
        """Return this with a value, given by name, for each parameter that a trial lacks."""

        def whole(listed: list[Parameters]) -> list[Parameters]:
            return [{name: parameters.get(name, value) for name, value in absent.items()} for parameters in listed]

        return replace(self, known=whole(self.known), running=whole(self.running), all=whole(self.all))

    @classmethod
    def of(
        cls,
        earlier: Sequence[FrozenTrial],
        trials: Sequence[FrozenTrial],
        space: dict[str, BaseDistribution],
        directions: Sequence[StudyDirection],
        cost_index: int,
        partial: Mapping[int, Mapping[float, float]],
    ) -> History:
        """Read trials; ``ParetoSampler`` says what the arguments are."""

        def inside(trial: FrozenTrial) -> bool:
            return bool(trial.params) and all(
                space[name]._contains(space[name].to_internal_repr(value))
                for name, value in trial.params.items()
                if name in space
            )

        def named(trial: FrozenTrial) -> Parameters:
            return {name: trial.params[name] for name in space if name in trial.params}

        learned = 1 - cost_index

        def seen(trial: FrozenTrial, on_the_way: Mapping[float, float]) -> Mapping[float, float]:
            if on_the_way:
                return on_the_way
            return {1.0: trial.values[learned]} if _usable(trial, learned) else {}

        values = [
            (named(trial), share, value, trial.values[cost_index] if trial.values else math.nan)
            for trial, on_the_way in [*((t, {}) for t in earlier), *((t, partial.get(t.number, {})) for t in trials)]
            if inside(trial)
            for share, value in seen(trial, on_the_way).items()
        ]
        seen_values = np.array([value for _, _, value, _ in values], dtype=float)
        here = [trial for trial in trials if inside(trial)]
        lost = (TrialState.FAIL, TrialState.COMPLETE)
        return cls(
            known=[parameters for parameters, *_ in values],
            losses=-seen_values if directions[learned] == StudyDirection.MAXIMIZE else seen_values,
            errors=_errors(seen_values, directions[learned]),
            shares=np.array([share for _, share, _, _ in values], dtype=float),
            costs=np.array([cost for *_, cost in values], dtype=float),
            running=[named(trial) for trial in here if trial.state is TrialState.RUNNING],
            failed=[named(t) for t in here if t.state in lost and not seen(t, partial.get(t.number, {}))],
            constraints=[(named(trial), trial.constraints) for trial in here if trial.constraints],
            all=[named(trial) for trial in here],
        )


def _usable(trial: FrozenTrial, learned: int) -> bool:
    return trial.state is TrialState.COMPLETE and trial.values is not None and math.isfinite(trial.values[learned])


def _errors(values: Array, direction: StudyDirection) -> Array:
    """Return values as positive errors: those of a share in 0 to 1 are what it lacks of 1."""
    if not len(values):
        return values
    maximised = direction == StudyDirection.MAXIMIZE
    if maximised and values.min() >= 0 and values.max() <= 1:
        lacking = 1 - values
    elif not maximised and values.min() > 0:
        lacking = values
    else:
        losses = -values if maximised else values
        lacking = losses - losses.min() + 0.1 * max(np.ptp(losses), 1e-12)
    return np.maximum(lacking, 1e-6)


def telling(costs: Array, errors: Array, count: int) -> list[int]:
    """Return the indices of the values that tell most: half of them nearest to the front, half spread over the rest."""
    steps = front_steps(costs, errors, reference_cost=math.inf, reference_error=math.inf)
    above = errors / steps.levels[np.searchsorted(steps.ends[:-1], costs, side="right")]
    order = np.argsort(above, kind="stable")
    near, rest = order[: count // 2], np.sort(order[count // 2 :])
    spread = rest[np.linspace(0, len(rest) - 1, count - len(near)).round().astype(int)]
    return sorted({*near.tolist(), *spread.tolist()})


def clipped(costs: Array, log_errors: Array, shares: Array) -> Array:
    """Return errors without outliers, which would eat the model; what is one depends on the share of the way."""
    cut = log_errors.copy()
    for share in np.unique(shares):
        alike = shares == share
        cut[alike] = np.minimum(log_errors[alike], reference(costs[alike], log_errors[alike]) + CLIP)
    return cut


def reference(costs: Array, log_errors: Array) -> float:
    """Return the logarithm of the error from which on a point is worth nothing: that of the cheapest members."""
    members = front_members(costs, log_errors)
    return float(max(np.median(log_errors), log_errors[members].max()) + MARGIN)


_LEAST_COST = 1e-300


def cost_axis(costs: Array) -> Callable[[Array], Array]:
    """Return what costs are drawn over, in their own order: their logarithm where all have one sign, else themselves.

    Args:
        costs: Known ones, (points,).
    """
    if len(costs) and costs.min() > 0:
        return lambda values: np.log(np.maximum(values, _LEAST_COST))
    if len(costs) and costs.max() < 0:
        return lambda values: -np.log(np.maximum(-values, _LEAST_COST))
    return lambda values: values


@dataclass(frozen=True, slots=True)
class CostScale:
    """Costs to be minimised, in 0 to 1 over what is known and possible; logarithmic where all have one sign."""

    low: float
    high: float
    axis: Callable[[Array], Array]
    sign: float

    @classmethod
    def over(cls, costs: Array, sign: float) -> CostScale:
        """Return the scale of some costs, of shape (points,); a sign of -1 is for costs to be maximised."""
        axis = cost_axis(costs)
        values = sign * axis(costs)
        margin = 0.02 * max(float(np.ptp(values)), 1e-12)  # so that the dearest candidate is worth something too
        return cls(float(values.min()), float(values.max()) + margin, axis, sign)

    def __call__(self, costs: Array) -> Array:
        """Return costs, of shape (points,), as they lie on the scale."""
        values = self.sign * self.axis(costs)
        return (values - self.low) / (self.high - self.low)


class Encoder:
    """Parameters as points: ordered ones in 0 to 1, categories as numbers, the logarithms of cost and share of the way.

    The share is a dimension only where some differ. Behind the dimensions come the lines of a law, where there is one.
    """

    def __init__(self, space: dict[str, BaseDistribution], *, smallest_share: float, law: Lines | None = None) -> None:
        """Keep the distributions of the parameters, the smallest share of the way that is to be encoded, and a law."""
        self._space = space
        self._law = law
        self._log_share = math.log(smallest_share)
        extra = 1 if smallest_share == 1 else 2
        self.categorical = np.array([isinstance(d, CategoricalDistribution) for d in space.values()] + [False] * extra)
        self._axis: Callable[[Array], Array] | None = None
        self._cost_range = (0.0, 1.0)

    def __call__(self, listed: Sequence[Parameters], costs: Array, shares: Array) -> Array:
        """Return points of shape (listed, dimensions and lines); the first call sets the range of the costs."""
        points = np.empty((len(listed), len(self.categorical)))
        for column, (name, distribution) in enumerate(self._space.items()):
            # a parameter that does not apply, as its first value: it makes no difference there
            absent = values_at(distribution, [0.0])[0]
            values = [distribution.to_internal_repr(parameters.get(name, absent)) for parameters in listed]
            points[:, column] = unit(np.array(values, dtype=float), distribution)
        costs = np.asarray(costs, dtype=float)
        if self._axis is None:
            self._axis = cost_axis(costs)
            logs = self._axis(costs)
            self._cost_range = float(logs.min()), max(float(np.ptp(logs)), 1e-12)
        points[:, len(self._space)] = (self._axis(costs) - self._cost_range[0]) / self._cost_range[1]
        if self._log_share:
            points[:, -1] = np.log(shares) / self._log_share
        return points if self._law is None else np.hstack([points, self._law(listed, points[:, len(self._space)])])
