"""Laws of error against cost: recovered where points determine them, refused where they do not.

``regnetx.csv`` holds the twelve RegNetX networks of Radosavovic et al. 2020 (arXiv:2003.13678) with the top-1 error on
ImageNet that the timm library publishes (results-imagenet.csv of huggingface/pytorch-image-models) at 224 pixels, and
the GMACs, activations and parameters that it lists for them.
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas.errors import UserError
from nas.scaling.crossing import crossing
from nas.scaling.laws import JointLaw, Law, fit_joint_law, fit_law

COSTS = np.geomspace(1e7, 1e9, 12)
POINTS = Path(__file__).parent / "regnetx.csv"


def truth(cost: Any, *, end: float = 0.1, factor: float = 0.2, exponent: float = 0.35) -> Any:
    return end + factor * (np.asarray(cost) / 1e7) ** -exponent


def noisy(cost: Any, spread: float, seed: int, **law: float) -> Any:
    errors = truth(cost, **law)
    return errors + spread * np.sqrt(errors / 0.2) * np.random.default_rng(seed).standard_normal(len(cost))


def regnetx() -> tuple[Any, Any]:
    with POINTS.open() as file:
        rows = [(float(row["gmacs"]), float(row["top1_error"])) for row in csv.DictReader(file)]
    cost, error = np.array(rows).T
    return cost, error


# what was published


@pytest.mark.parametrize("chance", [None, 0.999])
def test_regnetx_is_foretold_from_its_cheap_networks(chance: float | None) -> None:
    cost, error = regnetx()
    cheap = cost < 4
    law = fit_law(cost[cheap], error[cheap], chance=chance)
    mean, low, high = law.predict(cost[~cheap])
    assert np.abs(mean - error[~cheap]).max() < 0.002
    assert ((low <= error[~cheap]) & (error[~cheap] <= high)).all()
    assert law.form == ("power law with an offset" if chance is None else "M4")
    missed = {candidate.fitted.form.name: candidate.missed for candidate in law.candidates}
    assert missed["power law without an offset"] > 5 * missed["power law with an offset"]


def test_all_of_regnetx_determines_a_law() -> None:
    law = fit_law(*regnetx())
    assert (law.determined, law.reason) == (True, "")
    assert 0.18 < law.intervals["E"][0] < law.parameters["E"] < law.intervals["E"][1] < 0.195


def test_without_an_offset_it_would_be_missed_by_two_points() -> None:
    cost, error = regnetx()
    slope, level = np.polyfit(np.log(cost[cost < 4]), np.log(error[cost < 4]), 1)
    assert np.abs(np.exp(level) * cost[cost > 4] ** slope - error[cost > 4]).mean() > 0.02


# laws that are known


@settings(max_examples=scaled(15, 150))
@given(
    end=st.floats(0, 0.5),
    factor=st.floats(0.05, 0.5),
    exponent=st.floats(0.1, 1.0),
    unit=st.sampled_from((1e-3, 1.0, 1e6, 1e12)),
)
def test_a_law_without_noise_is_recovered(end: float, factor: float, exponent: float, unit: float) -> None:
    cost = np.geomspace(unit, 1000 * unit, 9)
    law = fit_law(cost, end + factor * (cost / unit) ** -exponent)
    assert law.determined, law.reason
    found = law.parameters
    assert found["E"] == pytest.approx(end, abs=2e-3) and found["alpha"] == pytest.approx(exponent, rel=1e-2)
    assert found["A"] == pytest.approx(factor * unit**exponent, rel=2e-2 + 2e-2 * abs(np.log(unit)))
    far = law.predict(10 * cost[-1:])
    assert far.mean[0] == pytest.approx(end + factor * 10_000**-exponent, abs=1e-3)


@pytest.mark.parametrize(
    ("count", "spread", "reach", "end"), [(8, 0.003, 30.0, 0.1), (12, 0.01, 160.0, 0.1), (30, 0.01, 50.0, 0.0)]
)
def test_intervals_hold_what_they_promise(count: int, spread: float, reach: float, end: float) -> None:
    """Nine of ten intervals hold the truth, at the dearest network and ten times beyond it."""
    repeats = scaled(20, 400)
    cost, held, told = np.geomspace(1e7, reach * 1e7, count), np.zeros(2), 0
    for seed in range(repeats):
        law = fit_law(cost, noisy(cost, spread, seed, end=end), seed=seed)
        if law.determined:
            asked = cost[-1] * np.array([1.0, 10.0])
            mean, low, high = law.predict(asked)
            held, told = held + ((low <= truth(asked, end=end)) & (truth(asked, end=end) <= high)), told + 1
            assert (low <= mean).all() and (mean <= high).all()
    assert told > 0.9 * repeats
    slack = 2.6 * (0.9 * 0.1 / told) ** 0.5  # of counting so many
    assert (held / told >= 0.82 - slack).all(), held / told


def test_a_few_odd_points_do_not_decide() -> None:
    clean = fit_law(COSTS, noisy(COSTS, 0.002, 0))
    errors = noisy(COSTS, 0.002, 0)
    errors[4] += 0.1
    odd = fit_law(COSTS, errors)
    far = 10 * COSTS[-1:]
    assert abs(odd.predict(far).mean[0] - clean.predict(far).mean[0]) < 0.01


# refusals


@pytest.mark.parametrize("count", [5, 6, 8, 12, 40])
def test_noise_without_a_trend_is_refused(count: int) -> None:
    repeats = scaled(30, 1000)
    draws = (np.random.default_rng([count, seed]).standard_normal(count) for seed in range(repeats))
    laws = [fit_law(np.geomspace(1, 50, count), 0.3 + 0.02 * away) for away in draws]
    assert sum(law.determined for law in laws) <= max(1, 0.015 * repeats)
    assert all("needs" in law.reason for law in laws if not law.determined)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_four_points_never_determine_a_law(count: int) -> None:
    law = fit_law(COSTS[:: 12 // count][:count], truth(COSTS[:: 12 // count][:count]))
    assert (law.determined, law.parameters, law.intervals) == (False, {}, {})
    assert law.reason.startswith("needs at least 5 different costs; there")


def test_five_points_over_a_decade_may() -> None:
    cost = np.geomspace(1e8, 1e9, 5)
    assert fit_law(cost, truth(cost)).determined
    assert fit_law(cost, noisy(cost, 0.0005, 1)).determined
    assert not fit_law(cost, noisy(cost, 0.02, 1)).determined


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        (truth(COSTS)[::-1], "needs errors that fall with cost"),
        (np.full(12, 0.2), "needs errors that fall with cost"),
        (0.6 - 0.1 * np.log10(COSTS / 1e7), "needs dearer networks, where the error begins to flatten"),
        (0.6 - 0.01 * np.log(COSTS / 1e7) ** 2, "needs dearer networks, where the error begins to flatten"),
        (0.4 - 3e-10 * COSTS, "needs dearer networks, where the error begins to flatten"),
    ],
    ids=["rising", "constant", "straight in the logarithm", "ever steeper", "straight"],
)
def test_curves_that_tell_of_no_end_are_refused(errors: Any, reason: str) -> None:
    law = fit_law(COSTS, errors)
    assert not law.determined
    assert law.reason.startswith(reason)


def test_a_narrow_range_is_refused() -> None:
    cost = np.geomspace(1e8, 3e8, 12)
    assert fit_law(cost, truth(cost)).reason == (
        "needs a wider range of costs: the largest is 3 times the smallest, not 4 times"
    )


def test_a_law_that_is_less_sure_than_the_points_are_apart_is_refused() -> None:
    refused = [fit_law(cost, noisy(cost, 0.02, seed)) for seed in range(8) for cost in [np.geomspace(1e8, 5e8, 30)]]
    reasons = [law.reason for law in refused if "needs more networks, dearer ones, or more seeds" in law.reason]
    assert reasons and all("at ten times the largest cost the error may be 0." in reason for reason in reasons)


def test_a_law_that_is_not_determined_foretells_nothing() -> None:
    law = fit_law(COSTS[:4], truth(COSTS[:4]))
    with pytest.raises(UserError, match="cannot tell, needs at least 5 different costs; there are 4"):
        law.predict([1e9])


# what must make no difference


@settings(max_examples=scaled(10, 100))
@given(order=st.permutations(range(12)), factor=st.sampled_from((1e-6, 1e3, 1e9)), seed=st.integers(0, 5))
def test_order_and_unit_of_the_points_make_no_difference(order: list[int], factor: float, seed: int) -> None:
    errors, asked = noisy(COSTS, 0.004, seed), np.array([1e7, 1e9, 1e10])
    one = fit_law(COSTS, errors)
    other = fit_law(factor * COSTS[order], errors[order])
    assert one.form == other.form
    for mine, theirs in zip(one.predict(asked), other.predict(factor * asked), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4)


def test_percent_are_as_good_as_shares() -> None:
    errors, asked = noisy(COSTS, 0.004, 3), np.array([1e7, 1e9, 1e10])
    shares, percent = fit_law(COSTS, errors).predict(asked), fit_law(COSTS, 100 * errors).predict(asked)
    for mine, theirs in zip(shares, percent, strict=True):
        np.testing.assert_allclose(100 * mine, theirs, rtol=1e-4)


def test_points_of_weight_zero_are_not_there() -> None:
    errors, asked = noisy(COSTS, 0.004, 1), np.array([1e9])
    weights = np.ones(12)
    weights[[3, 7]] = 0
    without = fit_law(COSTS[weights > 0], errors[weights > 0])
    wild = np.where(weights > 0, errors, 0.9)
    assert fit_law(COSTS, wild, weights=weights).predict(asked) == without.predict(asked)


def test_what_weighs_more_counts_more() -> None:
    errors, often = noisy(COSTS, 0.01, 2), np.arange(12) % 2 == 1
    errors[often] = truth(COSTS[often])
    weights = np.where(often, 400, 1)
    away = [abs(fit_law(COSTS, errors, weights=w).predict([1e9]).mean[0] - truth(1e9)) for w in (None, weights)]
    assert away[1] < 0.1 * away[0]
    sevenfold, once = (fit_law(COSTS, errors, weights=factor * weights).predict([1e9]) for factor in (7, 1))
    np.testing.assert_allclose(sevenfold, once)


def test_the_same_seed_gives_the_same_law_and_another_the_same_mean() -> None:
    errors = noisy(COSTS, 0.004, 0)
    one, same, other = (fit_law(COSTS, errors, seed=seed).predict([1e10]) for seed in (1, 1, 2))
    assert one == same and one.mean == other.mean and one.low != other.low


def test_arrays_of_any_shape_come_back_in_it() -> None:
    law = nas.fit_law(list(COSTS), list(truth(COSTS)))
    assert isinstance(law, Law)
    for shape in ((), (3,), (2, 2)):
        assert {part.shape for part in law.predict(np.full(shape, 1e8))} == {shape}


# bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cost": [np.nan, *COSTS[1:]]}, r"cost: nan \(point 1\) is not a number above zero"),
        ({"cost": [*COSTS[1:], -1]}, r"cost: -1 \(point 12\) is not a number above zero"),
        ({"error": [0.0] * 12}, r"error: 0 \(point 1\) is not a number above zero"),
        ({"error": [np.inf] * 12}, r"error: inf \(point 1\) is not a number above zero"),
        ({"error": [0.1] * 11}, "there must be as many numbers of each, not 12 of cost, 11 of error, 11 of weights"),
        ({"error": ["a"] * 12}, "error: must be numbers"),
        ({"error": [[0.1] * 12]}, r"error: must be a list of numbers, not of shape \(1, 12\)"),
        ({"weights": [-1.0] * 12}, r"weights: -1 \(point 1\) is not a number from zero"),
        ({"weights": [0.0] * 12}, "there are no points to fit a law to"),
        ({"cost": [], "error": []}, "there are no points to fit a law to"),
        ({"chance": 0.2}, "chance: 0.2 is the error of guessing and must be above all errors, up to 0.3"),
    ],
)
def test_bad_input_is_told_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        fit_law(**{"cost": COSTS, "error": truth(COSTS), **change})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("cost", [0.0, -1.0, np.nan, "much"])
def test_a_law_is_asked_for_costs_above_zero(cost: Any) -> None:
    with pytest.raises(UserError, match="cost: "):
        fit_law(COSTS, truth(COSTS)).predict([1e8, cost])


# cost and images

GRID = np.array(list(itertools.product(np.geomspace(1e6, 1e8, 4), (1000, 4000, 16_000, 64_000)))).T


def joint(cost: Any, images: Any) -> Any:
    return 0.1 + 0.1 * (np.asarray(cost) / 1e6) ** -0.3 + 0.15 * (np.asarray(images) / 1000) ** -0.4


def test_a_joint_law_is_recovered() -> None:
    law = nas.fit_joint_law(*GRID, joint(*GRID))
    assert isinstance(law, JointLaw) and law.determined
    expected = {"E": 0.1, "A": 0.1 * 1e6**0.3, "alpha": 0.3, "B": 0.15 * 1000**0.4, "beta": 0.4}
    assert law.parameters == pytest.approx(expected, rel=1e-4)
    assert all(low <= expected[name] <= high for name, (low, high) in law.intervals.items())
    assert law.predict(1e9, [[1000, 64_000]]).mean.shape == (1, 2)
    gain = law.gain(cost=1e8, images=64_000, times_images=10)
    assert gain.value == pytest.approx(float(joint(1e8, 64_000) - joint(1e8, 640_000)), rel=1e-3)
    assert law.gain(cost=1e8, images=64_000).value == 0


def test_joint_intervals_hold_what_they_promise() -> None:
    repeats, held = scaled(16, 200), np.zeros(2)
    for seed in range(repeats):
        law = fit_joint_law(*GRID, joint(*GRID) + 0.003 * np.random.default_rng(seed).standard_normal(16))
        far, gain = law.predict(1e9, 640_000), law.gain(cost=1e8, images=64_000, times_cost=10)
        true_gain = joint(1e8, 64_000) - joint(1e9, 64_000)
        held += [far.low <= joint(1e9, 640_000) <= far.high, gain.low <= true_gain <= gain.high]
    assert (held >= 0.82 * repeats - 2.6 * (0.09 * repeats) ** 0.5).all(), held


def test_what_makes_no_difference_determines_no_joint_law() -> None:
    noise = 0.003 * np.random.default_rng(0).standard_normal(16)
    by_images = fit_joint_law(*GRID, 0.1 + 0.15 * (GRID[1] / 1000) ** -0.4 + noise)
    by_cost = fit_joint_law(*GRID, 0.1 + 0.15 * (GRID[0] / 1e6) ** -0.4 + noise)
    assert by_images.reason.startswith("needs errors that fall with cost: ")
    assert by_cost.reason.startswith("needs errors that fall with images: ")
    with pytest.raises(UserError, match="cannot tell, needs errors"):
        by_cost.gain(cost=1e6, images=1000, times_cost=10)


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (GRID[0] < 1e7, "needs at least 3 different costs; there are 2"),
        (GRID[1] == 1000, "needs at least 3 different numbers of images; there is 1"),
        (np.arange(16) % 5 == 0, "needs at least 8 different pairs of cost and images; there are 4"),
    ],
)
def test_too_few_trainings_determine_no_joint_law(chosen: Any, reason: str) -> None:
    assert fit_joint_law(*GRID[:, chosen], joint(*GRID[:, chosen])).reason == reason


def test_a_joint_law_is_not_asked_for_nothing() -> None:
    law = fit_joint_law(*GRID, joint(*GRID))
    with pytest.raises(UserError, match="images: 0 is not a number above zero"):
        law.predict(1e8, 0)
    with pytest.raises(UserError, match="times_cost: -2 is not a number above zero"):
        law.gain(cost=1e8, images=1000, times_cost=-2)


# one law and another


def test_where_one_law_overtakes_another_is_found() -> None:
    first = fit_law(COSTS, noisy(COSTS, 0.002, 0, end=0.15, exponent=0.8))
    second = fit_law(COSTS, noisy(COSTS, 0.002, 1, end=0.1, exponent=0.3))
    within, marks = (1e8, 1e10), np.geomspace(1e8, 1e10, 10_000)
    found = crossing(first, second, within=within)
    below = truth(marks, end=0.15, exponent=0.8) < truth(marks, end=0.1, exponent=0.3)
    place = marks[below].max()
    assert found.answer == "crosses" and found.cost is not None
    assert found.cost.low <= place <= found.cost.high < 2 * found.cost.low
    assert (found.ahead, crossing(second, first, within=within).ahead) == (1, 0)
    assert crossing(second, first, within=within).cost.value == found.cost.value  # type: ignore[union-attr]


def test_laws_that_do_not_meet_are_told_apart_and_others_are_not() -> None:
    low = fit_law(COSTS, noisy(COSTS, 0.002, 0))
    high = fit_law(COSTS, noisy(COSTS, 0.002, 1, end=0.2))
    assert (crossing(low, high).answer, crossing(low, high).ahead) == ("none", 0)
    assert (crossing(high, low).answer, crossing(high, low).ahead) == ("none", 1)
    same = fit_law(COSTS, noisy(COSTS, 0.002, 2))
    assert crossing(low, same).answer == "cannot tell"
    none = fit_law(COSTS[:3], truth(COSTS[:3]))
    assert crossing(low, none).reason == "the second needs at least 5 different costs; there are 3"
