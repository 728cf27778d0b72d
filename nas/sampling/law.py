"""The scaling law as the sampler's model has it: errors that are lines over the logarithms of parameters and cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from nas.config.prior import Prior
from nas.errors import UserError
from nas.fronts.geometry import Array
from nas.sampling.points import Parameters, values_at

Space: TypeAlias = Mapping[str, BaseDistribution]

_TRUSTED = 2.0  # values that a prior counts for, when the study itself says how much of it holds


def positive(space: Space) -> dict[str, IntDistribution | FloatDistribution]:
    """Return the numeric parameters that are above zero, whose logarithms a law may follow."""
    numeric = {name: one for name, one in space.items() if isinstance(one, IntDistribution | FloatDistribution)}
    return {name: one for name, one in numeric.items() if one.low > 0 and not one.single()}


def require_shared(prior: Prior, space: Space) -> None:
    """Raise UserError where a prior knows none of the parameters of a space."""
    if not prior.slopes.keys() & positive(space).keys():
        raise UserError(f"{prior.named} knows none of the parameters that are searched: {misfit(prior, space)}")


def misfit(prior: Prior, space: Space) -> str:
    """Return which parameters of a prior are not used and which of a space it lacks, in a few words or none."""
    searched = positive(space).keys()
    unused = [name for name in prior.slopes if name not in searched]
    missing = [name for name in searched if name not in prior.slopes]
    parts = (f"{', '.join(names)} {what}" for names, what in ((unused, "not used"), (missing, "missing")) if names)
    return "; ".join(parts)


class Logs:
    """The logarithms of positive parameters and of the cost: what an error's logarithm is linear in.

    Each goes from -1 to 1, over its range in the space, that of the cost over those seen. Without a prior all slopes
    are alike before anything is seen; with one, those that the earlier study left open are freer.
    """

    def __init__(self, space: Space, prior: Prior | None = None) -> None:
        """Keep the parameters, and how free their slopes are."""
        self._known = positive(space)
        self._absent = {name: values_at(one, [0.0])[0] for name, one in self._known.items()}
        freedom = np.eye(len(self._known) + 1) if prior is None else _freedom(prior, self._known)
        self._mixed = np.linalg.cholesky(freedom / len(freedom))

    def __call__(self, listed: Sequence[Parameters], costs: Array) -> Array:
        """Return the logarithms as lines, (listed, lines); costs, (listed,), lie in 0 to 1."""
        columns = np.empty((len(listed), len(self._known) + 1))
        for column, (name, one) in enumerate(self._known.items()):
            values = np.array([parameters.get(name, self._absent[name]) for parameters in listed], dtype=float)
            columns[:, column] = (np.log(values) - math.log(one.low)) / _half(one) - 1
        columns[:, -1] = 2 * costs - 1
        mixed: Array = columns @ self._mixed
        return mixed


def _half(one: IntDistribution | FloatDistribution) -> float:
    return (math.log(one.high) - math.log(one.low)) / 2


def _freedom(prior: Prior, known: Mapping[str, IntDistribution | FloatDistribution]) -> Array:
    """Return a covariance of slopes, (lines, lines), of mean variance 1: half the prior's own, half of equal ones.

    Other images have other slopes, also where the earlier study was sure; of a parameter that it does not know, the
    slope is as free as its freest.
    """
    names, halves = list(prior.slopes), np.array([*map(_half, known.values()), 1.0])
    places = [names.index(name) if name in names else None for name in known] + [len(names)]
    own = np.array(prior.covariance)
    found = np.diag(np.full(len(places), own.diagonal().max()))
    for row, one in enumerate(places):
        for column, other in enumerate(places):
            if one is not None and other is not None:
                found[row, column] = own[one, other]
    found *= np.outer(halves, halves)
    mean = float(found.diagonal().mean())
    return np.eye(len(places)) / 2 + (found / mean / 2 if mean > 0 else np.eye(len(places)) / 2)


@dataclass(frozen=True, slots=True)
class Mean:
    """What a prior says, as far as a study's own values bear it out.

    Attributes:
        prior: What says it.
        names: Of the parameters that it is asked about.
        center: Of what it says of the values.
        slope: Of the values over what it says: as their spread asks where there are few values, what they say where
            there are many, nothing where they contradict it.
    """

    prior: Prior
    names: tuple[str, ...]
    center: float = 0.0
    slope: float = 0.0

    @classmethod
    def of(cls, prior: Prior, space: Space, known: Sequence[Parameters], costs: Array, log_errors: Array) -> Mean:
        """Learn from values, (values,), how much of a prior holds.

        Raises:
            UserError: A cost is not above zero.
        """
        if not (costs > 0).all():
            raise UserError(f"{prior.named} needs costs above zero, but one is {costs.min():g}")
        mean = cls(prior, tuple(name for name in prior.slopes if name in positive(space)))
        said = mean.says(known, costs)
        scale, spread, count = float(said.std()), float(log_errors.std()), len(said)
        if not scale or not spread:
            return mean
        agreement = float(np.corrcoef(said, log_errors)[0, 1])
        trust = (_TRUSTED + count * agreement) / (_TRUSTED + count)
        return replace(mean, center=float(said.mean()), slope=max(0.0, trust) * spread / scale)

    def says(self, listed: Sequence[Parameters], costs: Array) -> Array:
        """Return what the prior says of candidates, (listed,): logarithms of errors but for a constant.

        A parameter that a candidate lacks tells nothing of it.
        """
        found = self.prior.cost * np.log(costs)
        for name in self.names:
            values = np.array([parameters.get(name, 1.0) for parameters in listed], dtype=float)
            found = found + self.prior.slopes[name] * np.log(values)
        return np.asarray(found, dtype=float)

    def __call__(self, listed: Sequence[Parameters], costs: Array) -> Array:
        """Return the expected difference of candidates' errors, as logarithms, (listed,), from the values' mean."""
        if not self.slope:
            return np.zeros(len(listed))
        difference: Array = self.slope * (self.says(listed, costs) - self.center)
        return difference
