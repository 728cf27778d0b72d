"""What is believed of candidates after what a study has shown, and what each of them promises."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas.config.prior import Prior
from nas.fronts.geometry import Array, front_members, front_steps
from nas.sampling.candidates import Candidate, Rules
from nas.sampling.chances import Chances, bounds_of
from nas.sampling.gaussian_process import GaussianProcess, Prediction
from nas.sampling.history import CLIP, MARGIN, CostScale, Encoder, History, clipped, reference, telling
from nas.sampling.improvement import expected_improvement
from nas.sampling.law import Logs, Mean, positive
from nas.sampling.points import Parameters
from nas.sampling.versions import Space, Version

_FITTED_EACH = 30  # values up to which the kernel is fitted for each proposal
_KEPT = 8  # fits: of the accuracy, of failures and of bounds


class Fits:
    """Parameters of kernels, which a cache spares to fit again; what it returns does not depend on it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: dict[bytes, Array] = {}

    def __call__(self, points: Array, values: Array, categorical: npt.NDArray[np.bool_]) -> Array:
        """Return the parameters of a process of values (values,) at points (values, dimensions)."""
        key = hashlib.blake2b(points.tobytes() + values.tobytes(), digest_size=16).digest()
        found = self._known.pop(key, None)
        if found is None:
            found = GaussianProcess(points, values, categorical=categorical).fit().parameters
        self._known[key] = found  # as the last that was used
        while len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]
        return found


def first_of(count: int, most: int) -> npt.NDArray[np.int_]:
    """Return which of so many values a kernel is fitted to: the first, and no others until a tenth more are there."""
    if count > _FITTED_EACH:
        count = math.floor(_FITTED_EACH * 1.1 ** math.floor(math.log(count / _FITTED_EACH, 1.1) + 1e-9) + 1e-9)
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


class _Seen(NamedTuple):
    """Values at points, (values, dimensions and lines): the logarithms of their errors, and those without outliers."""

    known: list[Parameters]
    costs: Array
    points: Array
    log_errors: Array
    cut: Array

    def take(self, chosen: list[int]) -> _Seen:
        """Return only some of the values."""
        return _Seen([self.known[index] for index in chosen], *(values[chosen] for values in self[1:]))

    def above(self, mean: Mean | None) -> Array:
        """Return what the values without outliers, (values,), have above a mean."""
        return self.cut if mean is None else self.cut - mean(self.known, self.costs)


@dataclass(frozen=True, slots=True)
class Model:
    """What is believed of candidates.

    Attributes:
        known: Parameters of the values that it has learned from.
        costs: Theirs.
        believed: Logarithms of the errors that they should have at the end of the way.
        limit: Logarithm of the error from which on a candidate is worth nothing.
    """

    known: list[Parameters]
    costs: Array
    believed: Array
    limit: float
    _sign: float
    _encode: Callable[[Sequence[Parameters], Array], Array]
    _process: GaussianProcess
    _mean: Mean | None
    _extends: bool
    _chances: Chances

    @classmethod
    def of(
        cls,
        everything: History,
        rules: Rules,
        space: Space,
        *,
        sign: float,
        version: Version,
        fits: Fits,
        prior: Prior | None = None,
    ) -> Model:
        """Learn from a history of two values or more; the sign of costs to be maximised is -1."""
        history, costs = everything, _costs_of(everything, rules)
        if len(costs) > version.learned_from:
            chosen = telling(sign * costs, version.ranked(history), version.learned_from)
            history, costs = history.take(chosen), costs[chosen]
        shares = (everything if version.first_alone else history).shares
        law = Logs(space, prior) if version.knows_law and positive(space) else None
        encoder = Encoder(space, smallest_share=float(shares.min()), law=law)

        def seen(part: History) -> _Seen:
            costs = _costs_of(part, rules)
            points = encoder(part.known, costs, part.shares)
            log_errors = np.log(version.errors(part))
            return _Seen(part.known, costs, points, log_errors, clipped(sign * costs, log_errors, part.shares))

        def encode(listed: Sequence[Parameters], costs: Array) -> Array:
            return encoder(listed, costs, np.ones(len(costs)))

        if version.first_alone:
            first = seen(everything.take(first_of(len(everything.losses), version.fitted_most).tolist()))
            whole = seen(history)
        else:
            whole = seen(history)
            first = whole.take(first_of(len(costs), version.fitted_most).tolist())
        mean = None if prior is None else Mean.of(prior, space, first.known, first.costs, first.cut)
        process = GaussianProcess(whole.points, whole.above(mean), categorical=encoder.categorical)
        process.parameters = fits(first.points, first.above(mean), encoder.categorical)
        believed = process.predict(encode(history.known, costs)).mean
        if mean is not None:
            believed += mean(history.known, costs)
        running = encode(history.running, np.array([rules.cost_of(parameters) for parameters in history.running]))
        return cls(
            history.known,
            costs,
            believed,
            reference(sign * costs, whole.log_errors if (history.shares == 1).all() else believed),
            sign,
            encode,
            process.believing(running),
            mean,
            law is not None,
            _chances(history, rules, encode, encoder.categorical, version, fits),
        )

    def members(self, most: int) -> list[Parameters]:
        """Return at most so many of the front, spread over it."""
        members = front_members(self._sign * self.costs, self.believed)
        return [self.known[index] for index in members[:: math.ceil(len(members) / most)]]

    def gains(self, pool: Sequence[Candidate], *, thrift: float) -> Callable[[Sequence[Candidate]], Array]:
        """Return what tells the gain that candidates promise, (candidates,), over the costs known and in a pool."""
        costs = np.concatenate([self.costs, [candidate.cost for candidate in pool]])
        scale = CostScale.over(costs, self._sign)
        limit = math.exp(self._limit_over(pool))
        steps = front_steps(scale(self.costs), np.exp(self.believed), reference_cost=1.0, reference_error=limit)

        def of(candidates: Sequence[Candidate]) -> Array:
            costs = np.array([candidate.cost for candidate in candidates])
            listed = [candidate.parameters for candidate in candidates]
            points = self._encode(listed, costs)
            gains = expected_improvement(steps, scale(costs), self._log_errors(listed, costs, points))
            gains = gains * self._chances(points)
            return gains / np.maximum(np.abs(costs), 1e-300) ** thrift if thrift else gains

        return of

    def _limit_over(self, pool: Sequence[Candidate]) -> float:
        """Return the limit, or what is believed of the cheapest candidate where a law says that it is worse.

        The cheapest of all is on every front; a law is sure that it is worse, so nothing else would make it tried.
        """
        if not self._extends:
            return self.limit
        cheapest = min(pool, key=lambda candidate: self._sign * candidate.cost)
        costs = np.array([cheapest.cost])
        found = self._log_errors([cheapest.parameters], costs, self._encode([cheapest.parameters], costs))
        return min(max(self.limit, float(found.mean[0]) + MARGIN), self.limit + CLIP)

    def _log_errors(self, listed: Sequence[Parameters], costs: Array, points: Array) -> Prediction:
        found = self._process.predict(points)
        return found if self._mean is None else Prediction(found.mean + self._mean(listed, costs), found.std)


def _costs_of(history: History, rules: Rules) -> Array:
    told = zip(history.known, history.costs, strict=True)
    return np.array([cost if math.isfinite(cost) else rules.cost_of(known) for known, cost in told])


def _chances(
    history: History,
    rules: Rules,
    encode: Callable[[Sequence[Parameters], Array], Array],
    categorical: npt.NDArray[np.bool_],
    version: Version,
    fits: Fits,
) -> Chances:
    """Return what is known of failures and of bounds that are measured."""
    chances, most = Chances(categorical, fits), version.fitted_most
    if not version.learns_failures:
        return chances

    def points(listed: Sequence[Parameters]) -> Array:
        return encode(listed, np.array([rules.cost_of(parameters) for parameters in listed]))

    if history.failed:
        whole = [parameters for parameters, share in zip(history.known, history.shares, strict=True) if share == 1]
        tried = [*history.failed[-most:], *whole[-most:]]
        chances.learn_failures(points(tried), np.arange(len(tried)) < len(history.failed[-most:]))
    measured = [(p, values) for p, values in history.constraints if rules.feasible(p)][-most:]
    for key, indices in bounds_of([values for _, values in measured]).items():
        values = np.array([measured[index][1][key] for index in indices])
        chances.learn_bound(points([measured[index][0] for index in indices]), values)
    return chances
