"""A sampler for one objective that must be learned and one cost that is known.

Optuna's samplers learn both objectives. Where the cost follows from the parameters alone, as FLOPs do from a network's
coefficients, only the other one is uncertain, and the expected growth of the hypervolume is a closed-form sum over the
steps of the front. Candidates are feasible by construction, and none is proposed twice.
"""

from __future__ import annotations

import copy
import hashlib
import math
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from optuna import Study, logging
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.config.prior import Prior
from nas.config.search import STARTUP_WITH_PRIOR
from nas.processes.threads import cpu_threads
from nas.sampling.candidates import Candidate, Rules, Search, by_parameters, everywhere
from nas.sampling.history import History
from nas.sampling.law import misfit, positive, require_shared
from nas.sampling.model import Fits, Model
from nas.sampling.points import Parameters, all_points, drawn_points, mutations
from nas.sampling.versions import VERSIONS

_STARTUP = {False: 4, True: STARTUP_WITH_PRIOR}  # proposals before anything is learned, by whether there is a prior
_CLIMBS = 8  # times at most, as long as there is a better one
_STRATA_DRAWN = 1000  # from which the first proposals are chosen
_FEW = 10  # feasible candidates below which others are climbed to
_CLIMBS_TO_FEASIBLE = 20  # at most, until one finds something new
_RETRIED = "retry_history"  # numbers that Optuna's RetryHeartbeatStaleTrialCallback leaves with what it tries again
_CHECKED = 500  # trials, the last, whose cost is compared


_LOG = logging.get_logger(__name__)


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
        startup_trials: int | None = None,
        thrift: float = 0.0,
        cost_index: int = 1,
        space: Mapping[str, BaseDistribution] | None = None,
        feasible: Callable[[Parameters], bool] | None = None,
        excess: Callable[[Parameters], float] | None = None,
        identity: Callable[[Parameters], Hashable] | None = None,
        earlier: Sequence[FrozenTrial] = (),
        ignore: Callable[[FrozenTrial], bool] | None = None,
        partial: Callable[[], Mapping[int, Mapping[float, float]]] | None = None,
        prior: Prior | None = None,
        version: int = 3,
    ) -> None:
        """Set how candidates are judged.

        Args:
            cost: Function that returns the cost of a candidate from its parameters alone; it is the study's other
                objective. It is given the parameters that a candidate has. A proposal raises ValueError if the cost is
                not finite, or differs from that of a trial.
            seed: Random seed; together with the number of the trial, it determines each proposal.
            startup_trials: Number of proposals before anything is learned; default 4, with a prior 2. They are spread
                evenly over the logarithm of the cost; with thrift each takes a sixth of its range at most, from the
                cheapest on.
            thrift: The expected gain of a candidate is divided by its cost to this power. 0 makes the most of each
                proposal; 1 makes the most of what is spent, if trying a candidate takes as much as its cost.
            cost_index: Which of the study's two objectives is the cost: 0 or 1.
            space: Distributions of the parameters; default: those that earlier trials had, so the first proposal is
                random.
            feasible: Function that tells which candidates may be proposed; default: all.
            excess: Function that tells how far from feasible a candidate is, 0 where it is. Where few random candidates
                are feasible, it leads to those that are.
            identity: Function that returns the identity of a candidate. Of candidates with equal identity, at most one
                is proposed. Default: the parameters themselves.
            earlier: Trials of another study to learn from, with the same parameters and objectives.
            ignore: Function that tells which of the study's trials do not count, such as interrupted ones.
            partial: Function that returns intermediate values of the learned objective: for each trial number, the
                values by share of the training, above 0, with 1 for the whole. It is called before each proposal, and
                replaces the values of the trials that it lists, whatever their state. How a part relates to the whole
                is learned.
            prior: What an earlier study tells (``scaling_prior``).
            version: 3, or 1 or 2 for a study that was begun with that version. The second knows no scaling law. The
                first also reads accuracies above 1 otherwise than shares, and learns neither conditions nor failures
                nor measured bounds.

        Raises:
            ValueError: The version takes no prior.
        """
        self._seed = seed
        self._startup = startup_trials if startup_trials is not None else _STARTUP[prior is not None]
        self._thrift = thrift
        self._cost_index = cost_index
        self._space = None if space is None else dict(space)
        self._rules = Rules(cost, feasible or everywhere, excess, identity or by_parameters)
        self._earlier = tuple(earlier)
        self._ignore = ignore or _none
        self._partial = partial or dict
        if prior is not None and not VERSIONS[version].knows_law:
            raise ValueError(f"version {version} of ParetoSampler takes no prior: version 3 does")
        self._prior = prior
        self._version = VERSIONS[version]
        self._fits = Fits()
        self._asked: dict[int, Parameters] = {}
        self._checked: set[int] = set()
        self._climbs: list[list[Parameters]] = []
        self._told_exhausted = self._told_misfit = False
        self._one_at_a_time = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the lock out, for another process."""
        return {key: value for key, value in self.__dict__.items() if key != "_one_at_a_time"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state, with a lock of its own."""
        self.__dict__.update(state, _one_at_a_time=threading.RLock())

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the distributions of all parameters."""
        if self._space is not None:
            return self._space
        trials = [*self._earlier, *study.get_trials(deepcopy=False)]
        found = self._version.space([trial for trial in trials if trial.state.is_finished()])
        return {name: distribution for name, distribution in found.items() if not distribution.single()}

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
        with self._one_at_a_time, cpu_threads(1):  # for matrices this small more of them only wait for each other
            chosen = self._proposal(study, trial, search_space)
            self._asked[trial.number] = chosen
            return chosen

    def _proposal(self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution]) -> Parameters:
        index = self._index(study, trial)
        random = np.random.default_rng(self._seed_of(index, "proposal"))
        others = [self._as_asked(other) for other in self._counting(study) if other.number != trial.number]
        finished = [*self._earlier, *others]
        if self._prior is not None:
            self._require_prior(self._prior, space)
        conditions = self._version.conditions(finished, space)
        self._require_known_cost(others, space)
        directions = study.directions
        history = History.of(self._earlier, others, space, directions, self._cost_index, self._partial())
        history = self._version.completed(history, space).where(self._rules.tells_cost)
        seen = {self._rules.identity(parameters) for parameters in history.all}
        search = Search(self._rules, space, conditions, random, seen)
        sign = 1.0 if directions[self._cost_index] == StudyDirection.MINIMIZE else -1.0
        if index < self._startup or len(history.errors) < 2:
            chosen = self._spread_out(search, index, sign)
        else:
            chosen = self._most_promising(search, history, sign)
        if search.unknown:
            return search.unknown
        if chosen is None or search.left == 1:
            self._exhausted(study, nothing=chosen is None, whole=all_points(space) is not None)
        return chosen or {}

    def _require_prior(self, prior: Prior, space: dict[str, BaseDistribution]) -> None:
        """Raise UserError where a prior knows none of the parameters, and say once where it does not know the same."""
        require_shared(prior, space)
        if (apart := misfit(prior, space)) and not self._told_misfit:
            self._told_misfit = True
            _LOG.warning(f"ParetoSampler: {prior.named} has other parameters than the study: {apart}")

    def _as_asked(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a running trial with what this sampler proposed for it, which may not have been asked for yet."""
        if trial.state is not TrialState.RUNNING:
            self._asked.pop(trial.number, None)
            return trial
        asked = self._asked.get(trial.number)
        if not asked:
            return trial
        known = copy.copy(trial)
        known.params = {**asked, **trial.params}
        return known

    def _exhausted(self, study: Study, *, nothing: bool, whole: bool) -> None:
        """Say once that no candidate is left; where all points were candidates, end the study's loop if it has one."""
        if nothing and not self._told_exhausted:
            self._told_exhausted = True
            _LOG.warning("ParetoSampler: no candidate is left that is feasible and new; proposals are random from here")
        if whole:
            with suppress(RuntimeError):  # of a study that is asked and told
                study.stop()

    def _spread_out(self, search: Search, index: int, sign: float) -> Parameters | None:
        """Return a candidate whose cost lies in the stratum of the proposal's index."""
        pool = search.candidates(drawn_points(search.space, _STRATA_DRAWN, search.random))
        pool = pool or self._climbed(search)
        if not pool:
            return None
        costs = self._version.strata(np.array([candidate.cost for candidate in pool])) * sign
        strata = np.random.default_rng(self._seed).permutation(max(1, self._startup))
        share = (strata[index % len(strata)] + search.random.random()) / len(strata)
        begins_cheap = self._thrift and positive(search.space)  # for there a law tells of the rest
        within = min(1.0, self._version.stratum * len(strata)) if begins_cheap else 1.0
        wanted = costs.min() + within * share * (costs.max() - costs.min())
        return pool[int(np.abs(costs - wanted).argmin())].parameters

    def _most_promising(self, search: Search, history: History, sign: float) -> Parameters | None:
        version, space = self._version, search.space
        model = Model.of(history, self._rules, space, sign=sign, version=version, fits=self._fits, prior=self._prior)

        def beside(parameters: Parameters) -> list[Parameters]:
            return mutations(search.completed(parameters), space, search.random)

        mutants = (mutant for member in model.members(version.members) for mutant in beside(member))
        pool = search.candidates([*mutants, *drawn_points(space, version.drawn, search.random)])
        if len(pool) < _FEW:
            pool += self._climbed(search)
        search.left = len(pool)
        if not pool:
            return None
        promised = model.gains(pool, thrift=self._thrift)
        gains = promised(pool)
        for _ in range(_CLIMBS):
            best = [pool[index].parameters for index in np.argsort(-gains, kind="stable")[: version.climbers]]
            others = search.candidates(mutant for point in best for mutant in beside(point))
            if not others:
                break
            highest = gains.max()
            pool, gains = [*pool, *others], np.concatenate([gains, promised(others)])
            if gains.max() <= highest:
                break
        search.left = len(pool)
        return pool[int(gains.argmax())].parameters

    def _require_known_cost(self, trials: Sequence[FrozenTrial], space: dict[str, BaseDistribution]) -> None:
        """Raise ValueError where one of the last trials had another cost than its parameters tell."""
        for trial in trials[-_CHECKED:]:
            if trial.state is not TrialState.COMPLETE or trial.number in self._checked:
                continue
            if not self._version.compares(trial, space):
                continue
            told, known = trial.values[self._cost_index], self._rules.cost_of(trial.params)
            if not math.isclose(told, known, rel_tol=1e-6, abs_tol=1e-12):
                raise ValueError(
                    f"objective {self._cost_index} of trial {trial.number} was {told:g}, but the cost of its parameters"
                    f" is {known:g}: the cost must depend on the parameters alone; see cost and cost_index"
                )
            self._checked.add(trial.number)

    def _climbed(self, search: Search) -> list[Candidate]:
        """Return new candidates from ever further climbs to what is feasible; the climbs depend on the seed alone."""
        if self._rules.excess is None or not self._version.learns_failures or all_points(search.space) is not None:
            return []  # where all points were candidates, none is left to find
        for index in range(_CLIMBS_TO_FEASIBLE):
            if index == len(self._climbs):
                random = np.random.default_rng(self._seed_of(index, "climb"))
                self._climbs.append(search.climb(random))
            if found := search.candidates(self._climbs[index]):
                return found
        return []

    def _index(self, study: Study, trial: FrozenTrial) -> int:
        """Return how many trials that count came before."""
        return sum(other.number < trial.number for other in self._counting(study))

    def _counting(self, study: Study) -> list[FrozenTrial]:
        """Return the trials that count; of a killed worker's that Optuna tries again, only the last attempt does."""
        trials = study.get_trials(deepcopy=False)
        retried = {number for trial in trials for number in trial.system_attrs.get(_RETRIED, ())}
        return [trial for trial in trials if trial.number not in retried and not self._ignore(trial)]

    def _seed_of(self, index: int, purpose: str) -> int:
        key = hashlib.blake2b(f"{self._seed}/{index}/{purpose}".encode(), digest_size=4).digest()
        return int.from_bytes(key, "big")


def _none(trial: FrozenTrial) -> bool:
    return False
