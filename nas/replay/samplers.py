"""Samplers to compare in a replay: this project's and Optuna's."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from nas.config.search import Halving
from nas.replay.problem import Problem
from nas.replay.simulate import Moment, Simulation, cost_of
from nas.sampling.pareto import ParetoSampler
from nas.search.samplers import THRIFT
from nas.search.storage.optuna_study import PROMOTED

SAMPLERS: dict[str, Callable[[int], BaseSampler] | None] = {
    "pareto": None,
    "pareto-thrift": None,
    "random": lambda seed: RandomSampler(seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed),
    "tpe-multivariate": lambda seed: TPESampler(seed=seed, multivariate=True),
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "nsga2-20": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "gp": lambda seed: GPSampler(seed=seed, deterministic_objective=False),
}
"""How each is made from a seed; ours need the problem too."""

_THRIFT = {"pareto": 0.0, "pareto-thrift": THRIFT}
"""Of ours: making the most of each proposal as studies do, and weighing what a network promises against its cost."""

_LEARNS_FROM_COMPLETE_TRIALS = ("nsga2", "nsga2-20", "gp")


def replay(
    problem: Problem,
    sampler: str,
    *,
    proposals: int,
    seed: int,
    halving: Halving | None = None,
    workers: int = 1,
    startup_trials: int = 4,
) -> list[Moment]:
    """Replay a search.

    Args:
        problem: What is searched.
        sampler: A name of ``SAMPLERS``.
        proposals: To make; ``pareto`` makes none once all networks were proposed.
        seed: Of the sampler.
        halving: Early stopping.
        workers: That train side by side, in simulated time.
        startup_trials: Of ``pareto``.
    """

    def make(partial: Callable[[], dict[int, dict[float, float]]]) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            known = SAMPLERS[sampler]
            if known is not None:
                return known(seed)
        return ParetoSampler(
            cost_of(problem),
            seed=seed,
            startup_trials=startup_trials,
            thrift=_THRIFT[sampler],
            space=problem.space,
            feasible=problem.allowed,
            identity=problem.identity,
            ignore=lambda trial: PROMOTED in trial.user_attrs,
            partial=partial if halving else None,
        )

    if sampler in _THRIFT:
        proposals = min(proposals, len(problem.entries))
    return Simulation(
        problem,
        make,
        proposals=proposals,
        halving=halving,
        workers=workers,
        completes_infeasible=sampler in _LEARNS_FROM_COMPLETE_TRIALS,
    ).run()
