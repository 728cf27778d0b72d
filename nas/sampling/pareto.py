"""A sampler for one objective that must be learned and one cost that is known.

Optuna's samplers learn both objectives. Where the cost follows from the parameters alone, as FLOPs do from a network's
coefficients, only the other one is uncertain, and the expected growth of the hypervolume is a closed-form sum over the
steps of the front. Candidates are feasible by construction, and none is proposed twice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import intersection_search_space
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.fronts.geometry import Array, front_members, front_steps
from nas.processes.threads import cpu_threads
from nas.sampling.gaussian_process import GaussianProcess
from nas.sampling.history import CostScale, Encoder, History, clipped, reference, telling
from nas.sampling.improvement import expected_improvement
from nas.sampling.points import Parameters, drawn_points, mutations

_DRAWN = 2000  # random candidates for a proposal
_CLIMBERS = 5  # of the candidates, the most promising, beside which others are tried
_CLIMBS = 8  # times at most, as long as there is a better one
_STRATA_DRAWN = 1000  # from which the first proposals are chosen
_FITTED_EACH = 30  # values up to which the kernel is fitted for each proposal
_FITTED_MOST = 250  # values that the kernel is fitted to at most
_LEARNED_FROM = 1000  # values that predictions come from at most


class ParetoSampler(BaseSampler):
    """Proposes the candidate with the largest expected hypervolume gain, for one learned objective and one known cost.

    A Gaussian process models the logarithm of the error of the learned objective, with the logarithm of the cost as one
    of its inputs. The front is made of posterior means, so a lucky observation does not stay on it. Trials that are
    still running count with their predicted values. A proposal depends only on the seed, the number of earlier trials
    and their values, so a study can be continued.

    It works on any Optuna study of two objectives with int, float and categorical parameters, even if another sampler
    started it. If a space has up to 4,096 points, all of them are candidates. In larger spaces, candidates are some
    thousand random points, and the neighbours of the front and of the most promising candidates.
    """

    def __init__(
        self,
        cost: Callable[[Parameters], float],
        *,
        seed: int = 0,
        startup_trials: int = 4,
        thrift: float = 0.0,
        cost_index: int = 1,
        space: Mapping[str, BaseDistribution] | None = None,
        feasible: Callable[[Parameters], bool] | None = None,
        identity: Callable[[Parameters], Hashable] | None = None,
        earlier: Sequence[FrozenTrial] = (),
        ignore: Callable[[FrozenTrial], bool] | None = None,
        partial: Callable[[], Mapping[int, Mapping[float, float]]] | None = None,
    ) -> None:
        """Set how candidates are judged.

        Args:
            cost: Function that returns the cost of a candidate from its parameters alone; it is the study's other
                objective. A proposal raises ValueError if the cost is not finite, or differs from that of a trial.
            seed: Random seed; together with the number of the trial, it determines each proposal.
            startup_trials: Number of proposals before anything is learned. They are spread evenly over the logarithm of
                the cost.
            thrift: The expected gain of a candidate is divided by its cost to this power. 0 makes the most of each
                proposal; 1 makes the most of what is spent, if trying a candidate takes as much as its cost.
            cost_index: Which of the study's two objectives is the cost: 0 or 1.
            space: Distributions of the parameters; default: those that all earlier trials share, so the first proposal
                is random.
            feasible: Function that tells which candidates may be proposed; default: all.
            identity: Function that returns the identity of a candidate. Of candidates with equal identity, at most one
                is proposed. Default: the parameters themselves.
            earlier: Trials of another study to learn from, with the same parameters and objectives.
            ignore: Function that tells which of the study's trials do not count, such as interrupted ones.
            partial: Function that returns intermediate values of the learned objective: for each trial number, the
                values by share of the training, above 0, with 1 for the whole. It is called before each proposal, and
                replaces the values of the trials that it lists, whatever their state. How a part relates to the whole
                is learned.
        """
        self._cost_by_user = cost
        self._seed = seed
        self._startup = startup_trials
        self._thrift = thrift
        self._cost_index = cost_index
        self._space = None if space is None else dict(space)
        self._feasible = feasible or (lambda parameters: True)
        self._identity = identity or (lambda parameters: tuple(sorted(parameters.items())))
        self._earlier = tuple(earlier)
        self._ignore = ignore or (lambda trial: False)
        self._partial = partial or dict
        self._fits: dict[bytes, Array] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the distributions of all parameters."""
        if self._space is not None:
            return self._space
        trials = [*self._earlier, *study.get_trials(deepcopy=False)]
        shared = intersection_search_space([t for t in trials if t.state.is_finished()], include_pruned=True)
        return {name: distribution for name, distribution in shared.items() if not distribution.single()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a parameter that the search space does not know."""
        drawn = RandomSampler(seed=self._seed_of(self._index(study, trial), param_name))
        return drawn.sample_independent(study, trial, param_name, param_distribution)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> Parameters:
        """Return the most promising candidate."""
        if len(study.directions) != 2:
            raise ValueError(f"ParetoSampler needs a study of two objectives, but it has {len(study.directions)}")
        if not search_space:
            return {}
        index = self._index(study, trial)
        random = np.random.default_rng(self._seed_of(index, "proposal"))
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number and not self._ignore(t)]
        self._require_known_cost(others, search_space)
        history = History.of(self._earlier, others, search_space, study.directions, self._cost_index, self._partial())
        seen = {self._identity(parameters) for parameters in history.all}
        if index < self._startup or len(history.errors) < 2:
            chosen = self._spread_out(search_space, index, seen, random)
        else:
            with cpu_threads(1):  # for matrices this small more of them only wait for each other
                chosen = self._most_promising(search_space, history, seen, random, study.directions)
        return chosen or {}

    def _spread_out(
        self, space: dict[str, BaseDistribution], index: int, seen: set[Hashable], random: np.random.Generator
    ) -> Parameters | None:
        """Return a candidate whose cost lies in the stratum of the proposal's index."""
        pool = self._candidates(drawn_points(space, _STRATA_DRAWN, random), seen)
        if not pool:
            return None
        costs = np.log(np.maximum([candidate.cost for candidate in pool], 1e-300))
        strata = np.random.default_rng(self._seed).permutation(max(1, self._startup))
        share = (strata[index % len(strata)] + random.random()) / len(strata)
        wanted = costs.min() + share * (costs.max() - costs.min())
        return pool[int(np.abs(costs - wanted).argmin())].parameters

    def _most_promising(
        self,
        space: dict[str, BaseDistribution],
        history: History,
        seen: set[Hashable],
        random: np.random.Generator,
        directions: Sequence[StudyDirection],
    ) -> Parameters | None:
        sign = 1.0 if directions[self._cost_index] == StudyDirection.MINIMIZE else -1.0
        known_costs = np.array([self._cost_of(parameters) for parameters in history.known])
        if len(known_costs) > _LEARNED_FROM:
            history = history.take(telling(sign * known_costs, history.errors, _LEARNED_FROM))
            known_costs = np.array([self._cost_of(parameters) for parameters in history.known])
        encode = Encoder(space, smallest_share=float(history.shares.min()))
        log_errors = np.log(history.errors)
        points = encode(history.known, known_costs, history.shares)
        errors = clipped(sign * known_costs, log_errors, history.shares)
        process = GaussianProcess(points, errors, categorical=encode.categorical)
        process.parameters = self._fitted(points, errors, encode.categorical)
        whole = np.ones(len(points))
        believed = process.predict(encode(history.known, known_costs, whole)).mean
        limit = reference(sign * known_costs, log_errors if (history.shares == 1).all() else believed)
        members = front_members(sign * known_costs, believed)
        mutants = (mutant for index in members for mutant in mutations(history.known[index], space, random))
        pool = self._candidates([*mutants, *drawn_points(space, _DRAWN, random)], seen)
        if not pool:
            return None
        running_costs = np.array([self._cost_of(parameters) for parameters in history.running])
        process = process.believing(encode(history.running, running_costs, np.ones(len(running_costs))))
        scale = CostScale.over(np.concatenate([known_costs, [candidate.cost for candidate in pool]]), sign)
        steps = front_steps(scale(known_costs), np.exp(believed), reference_cost=1.0, reference_error=math.exp(limit))

        def promises(candidates: Sequence[_Candidate]) -> Array:
            costs = np.array([candidate.cost for candidate in candidates])
            encoded = encode([candidate.parameters for candidate in candidates], costs, np.ones(len(costs)))
            gains = expected_improvement(steps, scale(costs), process.predict(encoded))
            return gains / np.maximum(costs, 1e-300) ** self._thrift if self._thrift else gains

        gains = promises(pool)
        for _ in range(_CLIMBS):
            best = [pool[index].parameters for index in np.argsort(-gains, kind="stable")[:_CLIMBERS]]
            beside = self._candidates((m for point in best for m in mutations(point, space, random)), seen)
            if not beside:
                break
            highest = gains.max()
            pool, gains = [*pool, *beside], np.concatenate([gains, promises(beside)])
            if gains.max() <= highest:
                break
        return pool[int(gains.argmax())].parameters

    def _fitted(self, points: Array, values: Array, categorical: npt.NDArray[np.bool_]) -> Array:
        """Return the kernel's parameters by the first of the values: they are fitted anew when a tenth more are there.

        A cache spares what was fitted before; what it returns does not depend on it.
        """
        count = len(points)
        if count > _FITTED_EACH:
            count = math.floor(_FITTED_EACH * 1.1 ** math.floor(math.log(count / _FITTED_EACH, 1.1) + 1e-9) + 1e-9)
        chosen = np.unique(np.linspace(0, count - 1, min(count, _FITTED_MOST)).round().astype(int))
        points, values = points[chosen], values[chosen]
        key = hashlib.blake2b(points.tobytes() + values.tobytes(), digest_size=16).digest()
        if key not in self._fits:
            self._fits = {key: GaussianProcess(points, values, categorical=categorical).fit().parameters}
        return self._fits[key]

    def _cost_of(self, parameters: Parameters) -> float:
        cost = float(self._cost_by_user(parameters))
        if not math.isfinite(cost):
            raise ValueError(f"the cost of {parameters} must be a finite number, but is {cost}")
        return cost

    def _require_known_cost(self, trials: Sequence[FrozenTrial], space: dict[str, BaseDistribution]) -> None:
        """Raise ValueError where a trial of all these parameters had another cost than its parameters tell."""
        for trial in trials:
            if trial.state is not TrialState.COMPLETE or not space.keys() <= trial.params.keys():
                continue
            told, known = trial.values[self._cost_index], self._cost_of(trial.params)
            if not math.isclose(told, known, rel_tol=1e-6, abs_tol=1e-12):
                raise ValueError(
                    f"objective {self._cost_index} of trial {trial.number} was {told:g}, but the cost of its parameters"
                    f" is {known:g}: the cost must depend on the parameters alone; see cost and cost_index"
                )

    def _candidates(self, drawn: Iterable[Parameters], seen: set[Hashable]) -> list[_Candidate]:
        """Return what is feasible, each once and none that was seen; from now on it was."""
        pool = []
        for parameters in drawn:
            if not self._feasible(parameters):
                continue
            identity = self._identity(parameters)
            if identity not in seen:
                seen.add(identity)
                pool.append(_Candidate(parameters, self._cost_of(parameters)))
        return pool

    def _index(self, study: Study, trial: FrozenTrial) -> int:
        """Return how many trials that count came before."""
        return sum(not self._ignore(other) for other in study.get_trials(deepcopy=False)[: trial.number])

    def _seed_of(self, index: int, purpose: str) -> int:
        key = hashlib.blake2b(f"{self._seed}/{index}/{purpose}".encode(), digest_size=4).digest()
        return int.from_bytes(key, "big")


@dataclass(frozen=True, slots=True)
class _Candidate:
    parameters: Parameters
    cost: float
