"""Samplers whose proposals depend on the study's past and nothing else.

Optuna does not store a sampler's random state, so ten trials and ten more would not propose what twenty do. Here each
proposal has a sampler of its own, seeded by (seed, index of the proposal).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from nas.config.search import PlannedNetwork, SearchConfig
from nas.sampling.pareto import ParetoSampler
from nas.search.proposals import Networks, distributions
from nas.search.storage.optuna_study import counts_for_nothing

THRIFT = 0.5
"""Of the proposals of studies begun with the sampler's first version. Later ones make the most of each network: thrift
saved compute on three of four tables and was behind after fifty proposals on two (studies/results/search)."""


def make_sampler(
    search: SearchConfig,
    networks: Networks,
    *,
    partial: Callable[[], Mapping[int, Mapping[float, float]]] | None = None,
) -> BaseSampler:
    """Return the sampler that a study asks for.

    Args:
        search: Of the study.
        networks: Tells cost and identity of what may be proposed.
        partial: Tells the accuracies that trials had on their way, by number and share of the training; the whole is 1.
    """
    if search.sampler == "pareto":
        return ParetoSampler(
            lambda parameters: networks(parameters).flops,
            seed=search.seed,
            startup_trials=search.startup_trials,
            thrift=THRIFT if search.sampler_version == 1 else 0.0,
            space=distributions(search),
            feasible=lambda parameters: networks(parameters).allowed,
            excess=lambda parameters: networks(parameters).excess,
            identity=lambda parameters: networks(parameters).digest,
            ignore=counts_for_nothing,
            partial=partial,
            prior=None if search.prior is None else search.known_prior,
            version=search.sampler_version,
        )
    if search.sampler == "planned":
        return PlannedSampler(search.plan)
    makers: dict[str, Callable[[int], BaseSampler]] = {"random": RandomSampler, "tpe": lambda s: _tpe(s, search)}
    return ReproducibleSampler(makers[search.sampler], seed=search.seed)


class ReproducibleSampler(BaseSampler):
    """Delegates each proposal to a fresh sampler seeded by (seed, index of the proposal).

    Interrupted trials have no index, so the one that takes an interrupted one's place proposes the same; nor have the
    copies of paused trials that were trained to the end.
    """

    def __init__(self, make: Callable[[int], BaseSampler], *, seed: int) -> None:
        """Keep how to make a sampler from a seed of 32 bits."""
        self._make = make
        self._seed = seed
        self._inner = make(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make this proposal's sampler."""
        key = hashlib.blake2b(f"{self._seed}/{proposal_index(study, trial)}".encode(), digest_size=4).digest()
        self._inner = self._make(int.from_bytes(key, "big"))
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Delegate."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Delegate."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Delegate."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)


class PlannedSampler(BaseSampler):
    """Proposes the networks of a plan, in its order."""

    def __init__(self, plan: Sequence[PlannedNetwork]) -> None:
        """Keep the plan."""
        self._plan = plan

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Leave all to what follows."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Leave all to what follows."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a value of the network whose turn it is; what it leaves open is the first that is allowed."""
        value = getattr(self._plan[proposal_index(study, trial)], param_name)
        return getattr(param_distribution, "choices", (None,))[0] if value is None else value


def proposal_index(study: Study, trial: FrozenTrial) -> int:
    """Return how many proposals count before a trial's."""
    earlier = study.get_trials(deepcopy=False)[: trial.number]
    return trial.number - sum(map(counts_for_nothing, earlier))


def _tpe(seed: int, search: SearchConfig) -> BaseSampler:
    opened = {key for space in search.spaces for key in search.dimensions(space.name)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # multivariate is marked experimental
        # a dimension that only some spaces have is modelled on the trials that have it
        group = any(len(search.dimensions(space.name)) < len(opened) for space in search.spaces)
        return TPESampler(seed=seed, multivariate=True, group=group, n_startup_trials=search.startup_trials)
