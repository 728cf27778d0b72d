"""Points of an Optuna search space."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nas.sampling.points import all_points, drawn_points, mutations, unit, values_at

FAMILY = CategoricalDistribution(["plain", "deep"])


@pytest.mark.parametrize(
    ("distribution", "values", "expected"),
    [
        (IntDistribution(2, 6), [2, 3, 6], [0, 0.25, 1]),
        (FloatDistribution(0.5, 2.5, step=0.5), [0.5, 1.0, 2.5], [0, 0.25, 1]),
        (FloatDistribution(0.01, 1.0, log=True), [0.01, 0.1, 1.0], [0, 0.5, 1]),
        (IntDistribution(1, 16, log=True), [1, 2, 16], [0, 0.25, 1]),
        (IntDistribution(3, 3), [3], [0]),
        (CategoricalDistribution(["a", "b", "c"]), [0, 2], [0, 2]),
    ],
)
def test_values_lie_in_0_to_1(distribution: BaseDistribution, values: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(unit(np.array(values, dtype=float), distribution), expected, atol=1e-12)


def test_all_points_of_a_small_space() -> None:
    space = {"family": FAMILY, "width": FloatDistribution(0.1, 0.3, step=0.1), "depth": IntDistribution(1, 5, step=2)}
    points = all_points(space)
    assert points is not None
    expected = itertools.product(["plain", "deep"], [0.1, 0.2, 0.3], [1, 3, 5])
    assert [tuple(point.values()) for point in points] == [pytest.approx(values) for values in map(tuple, expected)]
    assert all(list(point) == ["family", "width", "depth"] for point in points)


def test_all_points_are_given_up_to_a_limit_and_not_beyond() -> None:
    space = {"a": IntDistribution(1, 3), "b": IntDistribution(1, 4)}
    assert len(all_points(space, limit=12) or []) == 12 and all_points(space, limit=11) is None
    assert len(all_points({"a": IntDistribution(1, 64), "b": IntDistribution(1, 64)}) or []) == 4096
    assert all_points({"a": IntDistribution(1, 17), "b": IntDistribution(1, 241)}) is None  # 4,097


@pytest.mark.parametrize(
    "fine",
    [
        FloatDistribution(0, 1),
        IntDistribution(1, 8, log=True),
        IntDistribution(0, 1000),
        FloatDistribution(0, 1, step=0.0005),
    ],
)
def test_a_space_with_a_fine_dimension_has_no_list_of_points(fine: BaseDistribution) -> None:
    assert all_points({"fine": fine}) is None and all_points({"family": FAMILY, "fine": fine}) is None
    assert len(all_points({"coarse": IntDistribution(0, 999)}) or []) == 1000


def test_few_points_are_drawn_all_and_in_random_order() -> None:
    space: dict[str, BaseDistribution] = {"family": FAMILY, "depth": IntDistribution(1, 20)}
    drawn = drawn_points(space, 3, np.random.default_rng(0))
    listed = all_points(space)
    assert listed is not None and drawn != listed
    assert sorted(map(str, drawn)) == sorted(map(str, listed))
    assert drawn_points(space, 3, np.random.default_rng(0)) == drawn != drawn_points(space, 3, np.random.default_rng(1))


def test_of_many_points_as_many_are_drawn_as_are_asked_for() -> None:
    space = {"family": FAMILY, "rate": FloatDistribution(0.01, 1.0, log=True), "lift": FloatDistribution(-1, 1)}
    drawn = drawn_points(space, 400, np.random.default_rng(0))
    assert len(drawn) == 400 and all(list(point) == list(space) for point in drawn)
    rates, lifts = np.log10([point["rate"] for point in drawn]), np.array([point["lift"] for point in drawn])
    for values, low, high in ((rates, -2, 0), (lifts, -1, 1)):
        assert low <= values.min() < low + 0.1 and high - 0.1 < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.1)
    assert abs(np.corrcoef(rates, lifts)[0, 1]) < 0.15
    assert 150 < sum(point["family"] == "deep" for point in drawn) < 250


@pytest.mark.parametrize(
    ("distribution", "shares", "expected"),
    [
        # each of few values has an equal part of the shares
        (CategoricalDistribution(["a", "b"]), [0, 0.49, 0.5, 1.0], ["a", "a", "b", "b"]),
        (IntDistribution(1, 7, step=2), [0, 0.24, 0.25, 0.5, 0.99, 1.0], [1, 1, 3, 5, 7, 7]),
        (FloatDistribution(0.25, 1.0, step=0.25), [0, 0.3, 0.6, 1.0], [0.25, 0.5, 0.75, 1.0]),
        # of many the nearest is taken, between the ends
        (FloatDistribution(-1, 3), [0, 0.25, 1.0], [-1, 0, 3]),
        (FloatDistribution(0.01, 1.0, log=True), [0, 0.5, 1.0], [0.01, 0.1, 1.0]),
        (IntDistribution(1, 256, log=True), [0, 0.25, 0.3, 1.0], [1, 4, 5, 256]),
        (IntDistribution(10, 20010, step=10), [0, 0.25, 0.25004, 0.2501, 1.0], [10, 5010, 5010, 5010, 20010]),
        (IntDistribution(10, 20010, step=10), [0.2503], [5020]),
        (FloatDistribution(0.5, 2000.5, step=0.5), [0, 0.5, 0.50017, 1.0], [0.5, 1000.5, 1001.0, 2000.5]),
        # what lies outside is brought in
        (FloatDistribution(-1, 3), [-0.1, 1.1], [-1, 3]),
        (FloatDistribution(0.01, 1.0, log=True), [-0.1, 1.1], [0.01, 1.0]),
        (IntDistribution(0, 5000), [-0.1, 1.1], [0, 5000]),
    ],
)
def test_values_at_shares(distribution: BaseDistribution, shares: list[float], expected: list[Any]) -> None:
    found = values_at(distribution, shares)
    assert found == [pytest.approx(value) if isinstance(value, float) else value for value in expected]
    assert all(distribution._contains(distribution.to_internal_repr(value)) for value in found)
    if isinstance(distribution, IntDistribution):
        assert all(type(value) is int for value in found)


def test_mutations_change_one_dimension_to_each_of_few_values() -> None:
    space = {"family": FAMILY, "depth": IntDistribution(1, 32), "width": FloatDistribution(0.5, 1.5, step=0.5)}
    point = {"family": "deep", "depth": 7, "width": 1.0}
    found = mutations(point, space, np.random.default_rng(0))
    changed = [(name, other[name]) for other in found for name in space if other[name] != point[name]]
    depths = [("depth", depth) for depth in range(1, 33) if depth != 7]
    assert changed == [("family", "plain"), *depths, ("width", 0.5), ("width", 1.5)]
    assert len(found) == len(changed) and all(list(other) == list(point) for other in found)


def test_mutations_of_finer_dimensions_are_six_near_and_four_anywhere() -> None:
    random = np.random.default_rng(0)
    space: dict[str, BaseDistribution] = {"rate": FloatDistribution(0.01, 1.0, log=True)}
    found = [mutations({"rate": 0.1}, space, random) for _ in range(200)]
    assert {len(points) for points in found} == {10}
    away = (np.log10([[point["rate"] for point in points] for points in found]) + 1) / 2
    near, anywhere = away[:, :6], away[:, 6:]
    assert near.std() == pytest.approx(0.1, abs=0.01) and near.mean() == pytest.approx(0, abs=0.01)
    assert anywhere.std() == pytest.approx(1 / 12**0.5, abs=0.02) and anywhere.mean() == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("at", [0, 99])
def test_mutations_at_an_end_stay_near_and_leave_out_the_point_itself(at: int) -> None:
    random = np.random.default_rng(0)
    space: dict[str, BaseDistribution] = {"depth": IntDistribution(0, 99)}
    depths = [point["depth"] for _ in range(100) for point in mutations({"depth": at}, space, random)]
    assert len(depths) < 750 and at not in depths  # half of the near ones are brought in, to the end itself
    assert np.mean([abs(depth - at) < 40 for depth in depths]) > 0.55  # 0.4 if all were anywhere
    assert set(depths) <= set(range(100))


def test_of_33_values_some_are_drawn() -> None:
    space: dict[str, BaseDistribution] = {"depth": IntDistribution(1, 33)}
    assert len(mutations({"depth": 7}, space, np.random.default_rng(0))) <= 10
