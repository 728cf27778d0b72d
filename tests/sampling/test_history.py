"""What the model of the sampler sees of a study."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.sampling.history import CostScale, Encoder, History, clipped, reference, telling

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE: dict[str, BaseDistribution] = {
    "family": CategoricalDistribution(["plain", "deep", "wide"]),
    "depth": IntDistribution(2, 6),
    "rate": FloatDistribution(0.01, 1.0, log=True),
}
POINT = {"family": "deep", "depth": 3, "rate": 0.1}
MAXIMIZE, MINIMIZE = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE


def trial(values: list[float] | None = None, state: TrialState = TrialState.COMPLETE, **changed: Any) -> FrozenTrial:
    params = {name: value for name, value in {**POINT, **changed}.items() if value is not None}
    wide: dict[str, BaseDistribution] = {"depth": IntDistribution(1, 9), "extra": IntDistribution(0, 9)}
    distributions = {name: {**SPACE, **wide}[name] for name in params}
    return optuna.trial.create_trial(params=params, distributions=distributions, values=values, state=state)


def history(
    trials: list[FrozenTrial],
    *,
    earlier: list[FrozenTrial] | None = None,
    directions: tuple[StudyDirection, StudyDirection] = (MAXIMIZE, MINIMIZE),
    cost_index: int = 1,
    partial: dict[int, dict[float, float]] | None = None,
) -> History:
    """Return the history of trials that are numbered as a study would number them."""
    study = optuna.create_study(directions=directions)
    study.add_trials(trials)
    return History.of(earlier or [], study.trials, SPACE, directions, cost_index, partial or {})


def test_only_complete_trials_have_values_and_all_were_proposed() -> None:
    found = history(
        [
            trial([0.75, 1.0], depth=2),
            trial(state=TrialState.RUNNING, depth=3),
            trial(state=TrialState.FAIL, depth=4),
            trial([0.9, 1.0], TrialState.PRUNED, depth=5),
            trial([0.5, 1.0], depth=6),
        ]
    )
    assert [point["depth"] for point in found.known] == [2, 6]
    assert found.errors.tolist() == [0.25, 0.5] and found.shares.tolist() == [1, 1]
    assert found.running == [{**POINT, "depth": 3}]
    assert [point["depth"] for point in found.all] == [2, 3, 4, 5, 6]


def test_trials_outside_of_the_space_or_without_parameters_do_not_count() -> None:
    nothing = optuna.trial.create_trial(params={}, distributions={}, values=[0.5, 1.0])
    found = history([nothing, trial([0.5, 1.0], depth=8), trial([0.5, 1.0]), trial(state=TrialState.RUNNING, depth=1)])
    assert found.known == found.all == [POINT] and found.running == []


def test_a_trial_has_its_own_parameters_and_those_outside_of_the_space_are_left_out() -> None:
    found = history([trial([0.5, 1.0], family=None, rate=None), trial([0.5, 1.0], extra=4)])
    assert found.known == found.all == [{"depth": 3}, POINT]
    absent = {"family": "plain", "depth": 2, "rate": 0.5}
    whole = found.completed(absent)
    assert whole.known == whole.all == [{"family": "plain", "depth": 3, "rate": 0.5}, POINT]
    encode = Encoder(SPACE, smallest_share=1.0)
    points = encode([{"depth": 3}, {**absent, "depth": 3, "rate": 0.01}], np.ones(2), np.ones(2))
    np.testing.assert_allclose(points[0], points[1])  # what a trial lacks is there as its first value


def test_what_failed_and_what_was_measured() -> None:
    measured = optuna.trial.create_trial(
        params={"depth": 4},
        distributions={"depth": SPACE["depth"]},
        state=TrialState.PRUNED,
        system_attrs={"constraints:latency": 0.25},
    )
    states = {2: TrialState.FAIL, 3: TrialState.RUNNING, 5: TrialState.PRUNED}
    trials = [trial(state=state, depth=depth) for depth, state in states.items()]
    endless = trial([float("inf"), 1.0], depth=6)
    found = history([*trials, measured, endless, trial([0.5, 8.0])])
    assert [point["depth"] for point in found.failed] == [2, 6]
    assert found.constraints == [({"depth": 4}, {"latency": 0.25})]
    assert found.known == [POINT] and found.losses.tolist() == [-0.5] and found.costs.tolist() == [8.0]


def test_earlier_trials_are_known_and_not_proposed() -> None:
    partial = {0: {0.5: 0.25}, -1: {0.5: 0.125}}  # numbers are those of this study
    earlier = [trial([0.9, 1.0], depth=2), trial(state=TrialState.RUNNING)]
    found = history([trial([0.5, 1.0])], earlier=earlier, partial=partial)
    assert found.known == [{**POINT, "depth": 2}, POINT] and found.all == [POINT] and found.running == []
    assert found.shares.tolist() == [1, 0.5]
    np.testing.assert_allclose(found.errors, [0.1, 0.75])


def test_values_on_the_way_replace_those_of_a_trial_whatever_its_state() -> None:
    partial = {0: {0.25: 0.3, 1.0: 0.6}, 1: {0.5: 0.4}, 2: {0.125: 0.2}, 9: {0.5: 0.1}}
    states = [(TrialState.COMPLETE, [0.9, 1.0]), (TrialState.RUNNING, None), (TrialState.PRUNED, None)]
    found = history([trial(values, state) for state, values in states] + [trial([0.8, 1.0])], partial=partial)
    assert found.shares.tolist() == [0.25, 1, 0.5, 0.125, 1]
    np.testing.assert_allclose(found.errors, [0.7, 0.4, 0.6, 0.8, 0.2])
    assert len(found.running) == 1 and len(found.all) == 4


@pytest.mark.parametrize(
    ("direction", "values", "expected"),
    [
        (MAXIMIZE, [0.0, 0.75, 1.0], [1.0, 0.25, 1e-6]),  # shares of 1
        (MAXIMIZE, [0.5, 1.5], [1.1, 0.1]),  # no shares: a tenth of their extent from the best
        (MAXIMIZE, [-0.5, 0.5], [1.1, 0.1]),
        (MINIMIZE, [0.25, 3.0], [0.25, 3.0]),
        (MINIMIZE, [0.0, 1.0], [0.1, 1.1]),
        (MINIMIZE, [-3.0, -1.0, 1.0], [0.4, 2.4, 4.4]),
        (MAXIMIZE, [7.0, 7.0], [1e-6, 1e-6]),
    ],
)
@pytest.mark.parametrize("cost_index", [0, 1])
def test_values_as_errors(
    direction: StudyDirection, values: list[float], expected: list[float], cost_index: int
) -> None:
    order = 1 if cost_index else -1
    found = history(
        [trial([value, 100.0][::order]) for value in values],
        directions=(direction, MINIMIZE)[::order],
        cost_index=cost_index,
    )
    np.testing.assert_allclose(found.errors, expected)


def test_a_study_that_has_shown_nothing() -> None:
    found = history([trial(state=TrialState.RUNNING)])
    assert found.known == [] and len(found.errors) == len(found.shares) == 0 and len(found.running) == 1


def test_some_values_are_taken() -> None:
    complete = [trial([share, 1.0], depth=depth) for depth, share in enumerate((0.1, 0.3, 0.6), start=2)]
    whole = history([*complete, trial(state=TrialState.RUNNING)])
    some = whole.take([2, 0])
    assert [point["depth"] for point in some.known] == [4, 2]
    np.testing.assert_allclose(some.errors, [0.4, 0.9])
    assert len(some.shares) == 2 and some.all == whole.all and some.running == [POINT]


def test_half_of_the_telling_values_lie_nearest_to_the_front_and_half_are_spread_over_the_rest() -> None:
    # the front: 0.8 from a cost of 1 on, 0.2 from 10 on
    points = [
        (1, 0.8),
        (20, 0.6),  # three times the front's error
        (5, 1.6),  # two times
        (10, 0.8),  # four times: the front's error is 0.2 at this cost
        (10, 0.2),
        (30, 0.4),  # two times
        (4, 8.0),
        (1, 1.2),  # one and a half
        (3, 8.0),
        (2, 8.0),
        (2, 9.0),
    ]
    costs, errors = np.array(points, dtype=float).T
    assert telling(costs, errors, 6) == [0, 1, 4, 6, 7, 10]
    assert telling(costs, errors, 7) == [0, 1, 3, 4, 7, 8, 10]
    assert telling(costs, errors, 8) == [0, 1, 2, 4, 5, 7, 8, 10]
    assert telling(costs, errors, 11) == list(range(11))


def test_outliers_are_cut_and_what_is_one_depends_on_the_share() -> None:
    costs = np.array([1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 1.0])
    log_errors = np.array([0.0, -1.0, -2.0, 3.0, 5.0, 5.25, 7.0, 9.0])
    shares = np.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25])
    # at the end the cheapest member has 0, and on the way the median is 5.25: 0.05 and a half more are let through
    np.testing.assert_allclose(clipped(costs, log_errors, shares), [0, -1, -2, 0.55, 5, 5.25, 5.8, 9])
    assert log_errors[3] == 3.0


@pytest.mark.parametrize(
    ("log_errors", "expected"),
    [([0.0, -1.0, -2.0, 3.0], 0.05), ([-2.0, 0.0, 1.0, 2.0], 0.55), ([-2.0, -3.0, 1.0, 2.0], -0.45)],
)
def test_the_reference_is_the_larger_of_the_median_and_the_cheapest_member(
    log_errors: list[float], expected: float
) -> None:
    assert reference(np.array([1.0, 2.0, 3.0, 4.0]), np.array(log_errors)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("costs", "sign", "expected"),
    [
        ([1.0, 10.0, 100.0], 1.0, [0, 0.5, 1]),
        ([1.0, 10.0, 100.0], -1.0, [1, 0.5, 0]),
        ([1.0, 1.01, 1.0201], 1.0, [0, 0.5, 1]),
        ([0.0, 5.0, 10.0], 1.0, [0, 0.5, 1]),  # which has no logarithm
        ([-5.0, 0.0, 5.0], -1.0, [1, 0.5, 0]),
    ],
)
def test_costs_lie_in_0_to_1_with_a_fiftieth_beyond(costs: list[float], sign: float, expected: list[float]) -> None:
    scale = CostScale.over(np.array(costs), sign)
    np.testing.assert_allclose(scale(np.array(costs)), np.array(expected) / 1.02, atol=1e-12)


def test_equal_costs_lie_at_0() -> None:
    assert CostScale.over(np.array([2.0, 2.0]), 1.0)(np.array([2.0, 2.0])).tolist() == [0, 0]


def test_parameters_cost_and_share_as_points() -> None:
    encode = Encoder(SPACE, smallest_share=0.25)
    assert encode.categorical.tolist() == [True, False, False, False, False]
    other = {"family": "wide", "depth": 6, "rate": 0.01}
    points = encode([POINT, other], np.array([10.0, 1000.0]), np.array([1.0, 0.25]))
    np.testing.assert_allclose(points, [[1, 0.25, 0.5, 0, 0], [2, 1, 0, 1, 1]], atol=1e-12)
    # the first call has set the range of the costs
    points = encode([POINT, other], np.array([100.0, 1.0]), np.array([0.5, 1.0]))
    np.testing.assert_allclose(points, [[1, 0.25, 0.5, 0.5, 0.5], [2, 1, 0, -0.5, 0]], atol=1e-12)
    assert encode([], np.array([]), np.array([])).shape == (0, 5)


def test_where_no_share_differs_it_is_no_dimension() -> None:
    encode = Encoder(SPACE, smallest_share=1.0)
    assert encode.categorical.tolist() == [True, False, False, False]
    points = encode([POINT, POINT], np.array([math.e, 1.0]), np.ones(2))
    np.testing.assert_allclose(points, [[1, 0.25, 0.5, 1], [1, 0.25, 0.5, 0]], atol=1e-12)


@pytest.mark.parametrize("costs", [[1e-4, 1e-3, 1e-2], [1.0, 1.01, 1.0201]])
def test_small_costs_and_those_that_differ_little_are_encoded_from_0_to_1(costs: list[float]) -> None:
    encode = Encoder(SPACE, smallest_share=1.0)
    np.testing.assert_allclose(encode([POINT] * 3, np.array(costs), np.ones(3))[:, -1], [0, 0.5, 1], atol=1e-9)


def test_costs_without_a_logarithm_are_encoded_as_they_are() -> None:
    encode = Encoder(SPACE, smallest_share=1.0)
    points = encode([POINT] * 3, np.array([0.0, 1.0, 4.0]), np.ones(3))
    np.testing.assert_allclose(points[:, -1], [0, 0.25, 1], atol=1e-12)
    equal = Encoder(SPACE, smallest_share=1.0)([POINT] * 2, np.array([3.0, 3.0]), np.ones(2))
    assert equal[:, -1].tolist() == [0, 0]
