"""What a study has shown, as the model of ``ParetoSampler`` sees it: errors to be minimised at points in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.fronts.geometry import Array, front_members, front_steps
from nas.sampling.points import Parameters, unit, values_at

_CLIP = 0.5  # of the logarithm of an error, above the reference


@dataclass(frozen=True, slots=True)
class History:
    """What was proposed and what it gave.

    Attributes:
        known: One entry for each value that was seen.
        errors: Those values as positive errors, to be minimised.
        shares: Of the way after which they were seen, in (0, 1].
        running: What still runs.
        all: Everything proposed.
    """

    known: list[Parameters]
    errors: Array
    shares: Array
    running: list[Parameters]
    all: list[Parameters]

    def take(self, chosen: list[int]) -> History:
        """Return only some of the values."""
        known = [self.known[index] for index in chosen]
        return History(known, self.errors[chosen], self.shares[chosen], self.running, self.all)

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
            # a parameter that did not apply to a trial, as its first value: it makes no difference there
            return {
                name: trial.params.get(name, values_at(distribution, [0.0])[0]) for name, distribution in space.items()
            }

        learned = 1 - cost_index

        def seen(trial: FrozenTrial, on_the_way: Mapping[float, float]) -> Mapping[float, float]:
            if on_the_way:
                return on_the_way
            complete = trial.state is TrialState.COMPLETE and trial.values is not None
            return {1.0: trial.values[learned]} if complete else {}

        values = [
            (named(trial), share, value)
            for trial, on_the_way in [*((t, {}) for t in earlier), *((t, partial.get(t.number, {})) for t in trials)]
            if inside(trial)
            for share, value in seen(trial, on_the_way).items()
        ]
        errors = _errors(np.array([value for *_, value in values], dtype=float), directions[learned])
        shares = np.array([share for _, share, _ in values], dtype=float)
        running = [named(t) for t in trials if t.state is TrialState.RUNNING and inside(t)]
        return cls([p for p, *_ in values], errors, shares, running, [named(t) for t in trials if inside(t)])


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
        cut[alike] = np.minimum(log_errors[alike], reference(costs[alike], log_errors[alike]) + _CLIP)
    return cut


def reference(costs: Array, log_errors: Array) -> float:
    """Return the logarithm of the error from which on a point is worth nothing: that of the cheapest members."""
    members = front_members(costs, log_errors)
    return float(max(np.median(log_errors), log_errors[members].max()) + 0.05)


@dataclass(frozen=True, slots=True)
class CostScale:
    """Costs to be minimised, in 0 to 1 over what is known and possible; logarithmic where all are positive."""

    low: float
    high: float
    logarithmic: bool
    sign: float

    @classmethod
    def over(cls, costs: Array, sign: float) -> CostScale:
        """Return the scale of some costs, of shape (points,); a sign of -1 is for costs to be maximised."""
        logarithmic = bool(costs.min() > 0)
        values = sign * (np.log(costs) if logarithmic else costs)
        margin = 0.02 * max(float(np.ptp(values)), 1e-12)  # so that the dearest candidate is worth something too
        return cls(float(values.min()), float(values.max()) + margin, logarithmic, sign)

    def __call__(self, costs: Array) -> Array:
        """Return costs, of shape (points,), as they lie on the scale."""
        values: Array = self.sign * (np.log(costs) if self.logarithmic else costs)
        return (values - self.low) / (self.high - self.low)


class Encoder:
    """Parameters as points: ordered ones in 0 to 1, categories as numbers, the logarithms of cost and share of the way.

    The share is a dimension only where some differ.
    """

    def __init__(self, space: dict[str, BaseDistribution], *, smallest_share: float) -> None:
        """Keep the distributions of the parameters and the smallest share of the way that is to be encoded."""
        self._space = space
        self._log_share = math.log(smallest_share)
        extra = 1 if smallest_share == 1 else 2
        self.categorical = np.array([isinstance(d, CategoricalDistribution) for d in space.values()] + [False] * extra)
        self._cost_range: tuple[float, float] | None = None

    def __call__(self, listed: Sequence[Parameters], costs: Array, shares: Array) -> Array:
        """Return points of shape (listed, dimensions); the first call sets the range of the costs."""
        points = np.empty((len(listed), len(self.categorical)))
        for column, (name, distribution) in enumerate(self._space.items()):
            values = [distribution.to_internal_repr(parameters[name]) for parameters in listed]
            points[:, column] = unit(np.array(values, dtype=float), distribution)
        logs = np.log(np.maximum(costs, 1e-300)) if len(costs) and costs.min() > 0 else np.asarray(costs, dtype=float)
        if self._cost_range is None:
            self._cost_range = float(logs.min()), max(float(np.ptp(logs)), 1e-12)
        points[:, len(self._space)] = (logs - self._cost_range[0]) / self._cost_range[1]
        if self._log_share:
            points[:, -1] = np.log(shares) / self._log_share
        return points
