"""Which trainings go on from a rung: the ranking, and what follows for those that arrive and those that wait."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import TINY, Outcome
from hypothesis import given
from hypothesis import strategies as st
from optuna.study._multi_objective import _fast_non_domination_rank

from nas.config.search import Halving
from nas.config.study import StudyConfig
from nas.errors import ConfigError
from nas.fronts.halving import Reached, goes_on, promotable, ranked, survivors
from nas.search.run.start import run_study

Point = tuple[float, float]
COSTS, ERRORS = st.integers(1, 10**6).map(float), st.integers(0, 200).map(lambda wrong: wrong / 200)
POINTS = st.lists(st.tuples(st.integers(1, 9).map(float), st.integers(0, 5).map(lambda wrong: wrong / 5)), max_size=25)
"""With many that are equal in one objective or both."""
DISTINCT = st.lists(st.tuples(COSTS, ERRORS), max_size=25, unique_by=(lambda p: p[0], lambda p: p[1]))


def order(points: list[Point]) -> list[Point]:
    costs, errors = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    return [points[index] for index in ranked(costs, errors)]


def beats(one: Point, other: Point) -> bool:
    return one[0] <= other[0] and one[1] <= other[1] and one != other


@given(POINTS)
def test_wherever_a_ranking_is_cut_no_kept_one_is_beaten_by_one_left_out(points: list[Point]) -> None:
    found = order(points)
    assert sorted(found) == sorted(points)
    for cut in range(len(found)):
        assert not any(beats(out, kept) for out in found[cut:] for kept in found[:cut])


@given(DISTINCT)
def test_the_ranking_is_by_optunas_fronts(points: list[Point]) -> None:
    ranks = dict(zip(points, _fast_non_domination_rank(np.array(points).reshape(-1, 2)), strict=True))
    found = [ranks[point] for point in order(points)]
    assert found == sorted(found)


@given(DISTINCT, st.randoms(use_true_random=False))
def test_the_order_in_which_trials_come_does_not_matter(points: list[Point], generator: random.Random) -> None:
    shuffled = points.copy()
    generator.shuffle(shuffled)
    assert order(shuffled) == order(points)


@given(POINTS)
def test_the_ends_of_the_first_front_are_kept_before_all_others(points: list[Point]) -> None:
    found = order(points)
    front = [p for p in points if not any(beats(other, p) for other in points)]
    if len(set(front)) > 1:
        assert set(found[:2]) == {min(front), max(front)}
    elif front:
        assert found[0] == front[0]


@pytest.mark.parametrize("kept", [3, 5])
def test_what_is_kept_of_a_front_is_spread_over_it(kept: int) -> None:
    front = [(1000 * 2.0**step, 0.9 - step / 10) for step in range(9)]  # evenly spaced
    assert sorted(order(front)[:kept]) == front[:: 8 // (kept - 1)]


@st.composite
def searches(draw: st.DrawFn) -> list[Reached]:
    """Draw trials that have come to up to three rungs, some of them waiting there."""
    rungs = draw(st.lists(st.integers(1, 3), max_size=25))
    return [
        Reached(number, draw(COSTS), tuple(1 - draw(ERRORS) for _ in range(rung)), draw(st.booleans()))
        for number, rung in enumerate(rungs)
    ]


def test_each_rung_has_its_own_accuracies() -> None:
    late, early = Reached(0, 10.0, (0.2, 0.8), False), Reached(1, 10.0, (0.9, 0.1), False)
    assert survivors([late, early], rung=1, factor=2) == [1]
    assert survivors([late, early], rung=2, factor=2) == [0]


def test_cost_and_error_weigh_the_same_whatever_their_extent() -> None:
    ends = [(math.exp(10), 0.0), (1.0, 1.0)]
    near, far = (math.exp(4), 0.9), (math.exp(8), 0.55)  # 0.41 and 0.59 of the extents from the nearest end
    assert order([near, *ends, far]) == [*ends, far, near]


@given(searches(), st.integers(1, 4), st.integers(2, 4))
def test_one_in_so_many_goes_on_from_a_rung(trials: list[Reached], rung: int, factor: int) -> None:
    here = {trial.number for trial in trials if len(trial.accuracies) >= rung}
    going_on = survivors(trials, rung=rung, factor=factor)
    assert len(going_on) == len(set(going_on)) == len(here) // factor
    assert set(going_on) <= here


@given(searches(), st.integers(2, 4))
def test_the_next_to_go_on_waits_furthest_on_among_those_that_may(trials: list[Reached], factor: int) -> None:
    waiting = {trial.number: len(trial.accuracies) for trial in trials if trial.paused}
    may = {number: rung for number, rung in waiting.items() if number in survivors(trials, rung=rung, factor=factor)}
    found = promotable(trials, factor=factor)
    assert (found is None) == (not may)
    if found is not None:
        assert may[found] == max(may.values())
        best = [number for number in survivors(trials, rung=may[found], factor=factor) if number in may]
        assert found == next(number for number in best if may[number] == may[found])


@given(searches(), st.integers(2, 4))
def test_one_that_arrives_goes_on_where_it_would_be_next_if_it_waited(trials: list[Reached], factor: int) -> None:
    for trial in trials:
        waiting = [other._replace(paused=True) if other == trial else other for other in trials]
        assert goes_on(trials, trial.number, factor=factor) == (promotable(waiting, factor=factor) == trial.number)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_search_ends_when_all_winners_went_on(factor: int, seed: int) -> None:
    draw, trials, proposed = random.Random(seed), dict[int, Reached](), 40
    while True:
        number = promotable(list(trials.values()), factor=factor)
        if number is None:
            if len(trials) == proposed:
                break
            number = len(trials)
            trials[number] = Reached(number, draw.uniform(1, 100), (), paused=True)
        trials[number] = trials[number]._replace(paused=False)
        while len(trials[number].accuracies) < 3:
            so_far = (*trials[number].accuracies, draw.random())
            trials[number] = trials[number]._replace(accuracies=so_far)
            if not goes_on(list(trials.values()), number, factor=factor):
                trials[number] = trials[number]._replace(paused=True)
                break
    found = list(trials.values())
    for rung in (1, 2, 3):
        there = [trial for trial in found if len(trial.accuracies) >= rung]
        gone_on = {t.number for t in there if len(t.accuracies) > rung or not t.paused}
        assert set(survivors(found, rung=rung, factor=factor)) <= gone_on
        assert len(there) // factor <= len(gone_on) < len(there)


@given(st.integers(1, 10), st.integers(2, 5), st.integers(1, 400))
def test_rungs_lie_within_the_first_half(first: int, factor: int, epochs: int) -> None:
    rungs = Halving(first=first, factor=factor).rungs(epochs)
    assert rungs == tuple(rung for rung in (first * factor**k for k in range(12)) if rung <= epochs / 2)


def test_as_many_trials_as_one_winner_needs_are_enough() -> None:
    Halving(first=1).require(epochs=18, trials=27)
    with pytest.raises(ValueError, match="one network in 27 to the end .* at least 27, but is 26"):
        Halving(first=1).require(epochs=18, trials=26)


def halved(epochs: int = 6, trials: int = 12, **halving: Any) -> dict[str, Any]:
    halving = {"first": 1, **halving}
    search = {**TINY["search"], "trials": trials, "halving": halving}
    return {**TINY, "search": search, "recipe": {**TINY["recipe"], "epochs": epochs}}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (halved(first=0), "search.halving.first: input should be greater than 0, but 0 was given"),
        (halved(factor=1), "search.halving.factor: input should be greater than or equal to 2, but 1 was given"),
        (halved(rungs=3), "search.halving: unknown key 'rungs'; known: first, factor"),
        (halved(first=4), "search.halving.first must be at most half the epochs of a training (6), but is 4"),
        (halved(epochs=1), "search.halving.first must be at most half the epochs of a training (1), but is 1"),
        (
            halved(epochs=18, trials=20),
            "search.halving trains one network in 27 to the end (rungs after epochs 1, 3, 9), so search.trials must be"
            " at least 27, but is 20",
        ),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    document: dict[str, Any], message: str, nas_command: Callable[..., Outcome]
) -> None:
    with open("mine.yaml", "w") as file:
        yaml.safe_dump({**document, "name": "mine"}, file)
    outcome = nas_command("search", "mine.yaml")
    assert (outcome.code, outcome.err) == (2, f"nas: mine.yaml: {message}\n")


def test_a_training_whose_epochs_follow_from_the_images_needs_a_rung_too(tiny_config: StudyConfig) -> None:
    document = {**halved(first=2, factor=3), "recipe": {"steps": 10, "batch_size": 64}}  # two epochs
    with pytest.raises(
        ConfigError, match=r"study 'tiny': search.halving.first must be at most half .* \(2\), but is 2"
    ):
        run_study(StudyConfig.model_validate(document))
