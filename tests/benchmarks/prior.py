"""Claims: with the scaling law as its mean, ``ParetoSampler`` needs less compute, and less still with an earlier study.

The goals: on the scaling table 95 % of the hypervolume for a sixth of the compute that Optuna's best takes
(``studies/results/search/RESULTS.md``), for a tenth with the prior of a study on other images; on the other problems no
loss beyond noise; and a prior that misleads, with its results shuffled, costs at most 10 %.

Run as ``python tests/benchmarks/prior.py PROBLEM [--version 3] [--thrift 0.5] [--prior TABLE [--shuffled]]``. PROBLEM
is ``scaling``, ``categorical``, ``interactions``, or a public table as in ``search.py``; it prints one line.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from searching.problems import TABLE, categorical, interactions, public, scaling_table

from nas.config.prior import Prior
from nas.processes.threads import cpu_threads
from nas.replay.problem import Problem
from nas.replay.rules import Course, Rule, median_spent
from nas.replay.simulate import Simulation, cost_of
from nas.sampling.pareto import ParetoSampler
from nas.search.evidence import gather
from nas.search.priors import prior_of

PROBLEMS: dict[str, Callable[[], Problem]] = {
    "scaling": partial(scaling_table, TABLE),
    "categorical": categorical,
    "interactions": interactions,
}
MARKS = (20, 50, 100)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("problem", nargs="?", default="scaling")
    parser.add_argument("--version", type=int, default=3)
    parser.add_argument("--thrift", type=float, default=0.0)
    parser.add_argument("--prior", type=Path, help="table of trainings of the same parameters")
    parser.add_argument("--shuffled", action="store_true", help="give each network of it another's error")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--proposals", type=int, default=100)
    parser.add_argument("--parameters", default="edge_")
    given = parser.parse_args()
    load = PROBLEMS.get(given.problem) or partial(public, Path(given.problem), given.parameters)
    problem, began = load(), time.process_time()
    courses = [course(problem, seed, given) for seed in range(given.seeds)]
    proposals = median_spent(courses, share=0.95, spent="proposals")
    compute = median_spent(courses, share=0.95, spent="compute") / problem.compute
    shares = {mark: share_after(courses, mark) for mark in MARKS if mark <= given.proposals}
    told = ", ".join(f"{share:.3f} after {mark}" for mark, share in shares.items())
    seconds = (time.process_time() - began) / given.seeds / given.proposals
    print(f"95 % after {proposals:g} proposals, for {compute:.4f} of the compute; {told}; {seconds:.3f} s a proposal")


def course(problem: Problem, seed: int, given: argparse.Namespace) -> Course:
    def make(_: object) -> ParetoSampler:
        return ParetoSampler(
            cost_of(problem),
            seed=seed,
            thrift=given.thrift,
            space=problem.space,
            feasible=problem.allowed,
            identity=problem.identity,
            prior=None if given.prior is None else told_by(given.prior, seed if given.shuffled else None),
            version=given.version,
        )

    with cpu_threads(1):
        return Course(Rule("pareto"), seed, Simulation(problem, make, proposals=given.proposals).run())


def told_by(table: Path, shuffle: int | None) -> Prior:
    """Return what a table tells, perhaps with its errors shuffled by a seed."""
    networks = gather(table).networks
    errors = np.array([network.error for network in networks])
    if shuffle is not None:
        errors = np.random.default_rng(shuffle).permutation(errors)
    return prior_of(networks, errors, source=table.name)


def share_after(courses: list[Course], proposals: int) -> float:
    """Return the median share of the hypervolume after so many proposals."""
    return float(np.median([course.shares("proposals", np.array([proposals]))[0] for course in courses]))


if __name__ == "__main__":
    main()
