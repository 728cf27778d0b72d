"""Rules of searching compared: each replayed with many seeds, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import statistics
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from nas.config.search import Halving
from nas.fronts.geometry import Array
from nas.processes.threads import cpu_threads
from nas.replay.problem import Problem
from nas.replay.samplers import replay
from nas.replay.simulate import Moment

Spent: TypeAlias = Literal["proposals", "trainings", "compute", "seconds"]
"""What a search is measured by."""


class Rule(NamedTuple):
    """A way to search: a sampler, and halving or None."""

    sampler: str
    halving: Halving | None = None

    def __str__(self) -> str:
        """Return it in a few words."""
        return self.sampler + (f", halving by {self.halving.factor}" if self.halving else "")


class Course(NamedTuple):
    """A replayed search: its rule, its seed, and its moments."""

    rule: Rule
    seed: int
    moments: list[Moment]

    def spent_until(self, share: float, spent: Spent) -> float:
        """Return what was spent when the front had a share of the hypervolume; infinity where it never had."""
        return next((float(getattr(m, spent)) for m in self.moments if m.share >= share), float("inf"))

    def shares(self, spent: Spent, marks: Array) -> Array:
        """Return the shares of the hypervolume that the front had when so much was spent."""
        values = np.array([getattr(moment, spent) for moment in self.moments], dtype=float)
        shares = np.array([0.0, *(moment.share for moment in self.moments)])
        found: Array = shares[np.searchsorted(values, marks, side="right")]
        return found


class _Task(NamedTuple):
    load: bytes  # pickled here, so that a process can tell that it is the same as before
    rule: Rule
    seed: int
    proposals: int
    workers: int


def replay_rules(
    load: Callable[[], Problem],
    rules: Sequence[Rule],
    *,
    seeds: int,
    proposals: int,
    workers: int = 1,
    processes: int | None = None,
    on_course: Callable[[Course], None] | None = None,
) -> dict[Rule, list[Course]]:
    """Replay each rule with each seed.

    Args:
        load: Returns the problem; it is called in each process, so it must be picklable.
        rules: To compare.
        seeds: Number of seeds.
        proposals: Of each search.
        workers: Simulated ones.
        processes: Real ones; as many as there are cores without it.
        on_course: Called after each replay.
    """
    pickled = pickle.dumps(load)
    tasks = [_Task(pickled, rule, seed, proposals, workers) for seed in range(seeds) for rule in rules]
    found: dict[Rule, list[Course]] = {rule: [] for rule in rules}
    for course in _courses(tasks, processes or os.cpu_count() or 1):
        found[course.rule].append(course)
        if on_course is not None:
            on_course(course)
    return found


def median_spent(courses: Iterable[Course], *, share: float, spent: Spent) -> float:
    """Return what was spent until a share of the hypervolume was reached, in the median; it may be infinite."""
    return statistics.median_low([course.spent_until(share, spent) for course in courses])


def _courses(tasks: Sequence[_Task], processes: int) -> Iterable[Course]:
    if processes == 1 or len(tasks) == 1:
        yield from map(_run, tasks)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_run, tasks)


def _run(task: _Task) -> Course:
    with cpu_threads(1):
        moments = replay(
            _loaded(task.load),
            task.rule.sampler,
            proposals=task.proposals,
            seed=task.seed,
            halving=task.rule.halving,
            workers=task.workers,
        )
    return Course(task.rule, task.seed, moments)


@lru_cache(maxsize=1)
def _loaded(load: bytes) -> Problem:
    problem: Problem = pickle.loads(load)()
    return problem
