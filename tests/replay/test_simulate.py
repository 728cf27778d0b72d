"""Replayed searches: what they count, and that they go as the real ones do."""

from __future__ import annotations

import multiprocessing
from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import FORKING, TINY
from optuna.distributions import CategoricalDistribution, IntDistribution

from nas.config.search import Halving
from nas.config.study import StudyConfig
from nas.replay.problem import Entry, Problem, problem_of
from nas.replay.rules import Course, Rule, median_spent, replay_rules
from nas.replay.samplers import SAMPLERS, replay
from nas.replay.simulate import Moment
from nas.search.run.start import run_study
from nas.search.study import Study
from nas.search.tabled import table_of


def plain_problem() -> Problem:
    """Return 60 points, of which the dearest twelve are outside the budget; two points are the same network."""
    points = {(a, b): (1.0 + a) * 2**b for a in range(10) for b in range(6) if b < 5 or a < 4}
    entries: dict[Any, Entry] = {}
    for (a, b), cost in points.items():
        final = 0.9 - 0.4 / cost**0.3 - 0.01 * ((7 * a + 3 * b) % 5)
        entries[min(a, 8), b] = Entry(cost, tuple(final * share for share in (0.4, 0.6, 0.7, 0.8, 0.9, 1.0)), 2.0)
    space = {"a": IntDistribution(0, 9), "b": CategoricalDistribution((0, 1, 2, 3, 4, 5))}
    return Problem(space, entries, lambda p: (min(p["a"], 8), p["b"]), lambda p: p["b"] < 5 or p["a"] < 4)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "gp"])
@pytest.mark.parametrize("halving", [None, Halving(first=1, factor=2)])
def test_a_replay_counts_what_it_spends(sampler: str, halving: Halving | None) -> None:
    moments = replay(plain_problem(), sampler, proposals=40, seed=1, halving=halving)
    assert moments[-1].proposals <= 40
    for before, after in zip(moments, moments[1:], strict=False):
        assert after.proposals >= before.proposals
        assert after.compute >= before.compute
        assert after.seconds >= before.seconds
        assert after.share >= before.share - 1e-12
    assert 0 < moments[-1].share <= 1
    assert moments[-1].trainings <= moments[-1].proposals


def test_without_halving_compute_is_that_of_whole_trainings_one_after_the_other() -> None:
    problem = plain_problem()
    moments = replay(problem, "pareto", proposals=1000, seed=0)
    assert moments[-1].share == pytest.approx(1)
    assert moments[-1].trainings == len(problem.entries)  # each once, none outside the budget
    assert moments[-1].compute == pytest.approx(problem.compute)
    assert moments[-1].seconds == pytest.approx(12.0 * len(problem.entries))


def test_workers_save_time_and_no_compute() -> None:
    alone = replay(plain_problem(), "random", proposals=30, seed=3)[-1]
    four = replay(plain_problem(), "random", proposals=30, seed=3, workers=4)[-1]
    assert four.compute == alone.compute
    assert alone.seconds / 4 <= four.seconds < alone.seconds / 2


def test_halving_saves_compute_and_trains_fewer_to_the_end() -> None:
    whole = replay(plain_problem(), "random", proposals=40, seed=2)[-1]
    halved = replay(plain_problem(), "random", proposals=40, seed=2, halving=Halving(first=1, factor=2))[-1]
    assert halved.compute < 0.7 * whole.compute
    assert 0 < halved.trainings < whole.trainings


def test_a_replay_is_the_same_again() -> None:
    def once(seed: int) -> list[Moment]:
        return replay(plain_problem(), "pareto", proposals=20, seed=seed, halving=Halving(first=1, factor=2), workers=2)

    assert once(5) == once(5)
    assert once(5) != once(6)


def run(name: str, **search: Any) -> Study:
    space = {"width": {"min": 0.25, "max": 0.75, "step": 0.25}, "depth": 0.5, "sampler": "pareto", "startup_trials": 3}
    sections = {
        "data": {"digits": True, "limit": 150},
        "recipe": {**TINY["recipe"], "epochs": 4},
        "search": {**TINY["search"], **space, **search},
    }
    return run_study(StudyConfig.model_validate({**TINY, "name": name, **sections}), device="cpu")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """Return the table of a study that trained everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("everything"))
        return problem_of(table_of(run("everything", trials=50)))


@pytest.mark.parametrize("halving", [None, {"first": 1, "factor": 2}])
def test_a_replay_goes_as_the_search_did(halving: dict[str, int] | None, everything: Problem) -> None:
    """A smaller search is replayed on the table, and really made."""
    problem = everything
    real = run("real", trials=6, halving=halving).trials()
    rungs = Halving(**halving) if halving else None
    replayed = replay(problem, "pareto", proposals=6, seed=0, halving=rungs, startup_trials=3)[-1]
    assert replayed.compute == pytest.approx(sum(trial.flops * (trial.epochs or 0) for trial in real))
    assert replayed.trainings == sum(trial.state == "trained" for trial in real)
    assert {trial.digest for trial in real} <= problem.entries.keys()


def test_rules_are_compared_in_several_processes_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: FORKING)  # new ones take seconds to load
    rules = [Rule("random"), Rule("pareto", Halving(first=1, factor=2))]
    assert [str(rule) for rule in rules] == ["random", "pareto, halving by 2"]
    several, told = replay_rules(plain_problem, rules, seeds=2, proposals=12, processes=2), list[Course]()
    one = replay_rules(partial(plain_problem), rules, seeds=2, proposals=12, processes=1, on_course=told.append)
    assert several == one
    assert len(told) == 4


def test_what_a_share_took_is_read_off_a_course() -> None:
    moments = [Moment(n, n, 10.0 * n, float(n), share) for n, share in enumerate((0.2, 0.5, 0.96), start=1)]
    course = Course(Rule("random"), 0, moments)
    assert course.spent_until(0.5, "compute") == 20
    assert course.spent_until(0.99, "proposals") == float("inf")
    assert course.shares("proposals", np.array([0, 1, 2.5, 9])).tolist() == [0.0, 0.2, 0.5, 0.96]
    worse = course._replace(moments=moments[:2])
    assert median_spent([course, course, worse], share=0.95, spent="seconds") == 3
    assert median_spent([course, worse, worse], share=0.95, spent="seconds") == float("inf")
