"""Accuracies drawn towards what others have: exact where it can be worked out, and right as often as it says."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.fronts.noise import NoiseGuess
from nas.fronts.posterior import Data, ImageNoise, Trainings
from nas.fronts.shrinkage import Shrunk, fitted, shrink

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import front_noise  # noqa: E402


def networks(*accuracies: tuple[float, ...], family: str = "a") -> tuple[Trainings, ...]:
    return tuple(Trainings(1.2**i, family, values) for i, values in enumerate(accuracies))


def flat(count: int, *, spread: float, noise: float, seed: int = 0) -> tuple[Trainings, ...]:
    """Return networks whose true accuracies differ by ``spread`` and not with the cost, each trained three times."""
    random = np.random.default_rng(seed)
    truths = 0.7 + spread * random.standard_normal(count)
    return networks(*(tuple(truth + noise * random.standard_normal(3)) for truth in truths))


def guess(trained: tuple[Trainings, ...], *, assumed: float = 0.01) -> NoiseGuess:
    squares = sum(float(np.var(one.accuracies)) * len(one.accuracies) for one in trained)
    return NoiseGuess(assumed, squares, sum(len(one.accuracies) - 1 for one in trained))


def kept(trained: tuple[Trainings, ...], found: Shrunk) -> float:
    """Return the share of their distance from the mean that networks keep."""
    means = np.array([np.mean(one.accuracies) for one in trained])
    return float(np.polyfit(means - means.mean(), found.means - means.mean(), 1)[0])


@pytest.mark.parametrize(("spread", "noise"), [(0.01, 0.01), (0.01, 0.02), (0.03, 0.01)])
def test_networks_keep_the_share_of_their_distance_that_is_merit(spread: float, noise: float) -> None:
    trained = flat(400, spread=spread, noise=noise)
    found = shrink(trained, guess(trained))
    assert kept(trained, found) == pytest.approx(spread**2 / (spread**2 + noise**2 / 3), abs=0.07)
    assert found.spread == pytest.approx(spread, rel=0.12)
    expected = math.sqrt(1 / (1 / spread**2 + 3 / noise**2))
    assert np.median(found.errors) == pytest.approx(expected, rel=0.12)


def test_a_network_of_more_seeds_keeps_more() -> None:
    others = flat(60, spread=0.005, noise=0.01)
    once, thrice = (Trainings(30.0, "a", (0.73,) * count) for count in (1, 3))
    found = [shrink((*others, one), guess((*others, one))).means[-1] for one in (once, thrice)]
    assert 0.7 < found[0] < found[1] < 0.73


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_networks_keep_what_they_have(count: int) -> None:
    trained = networks(*((0.5 + 0.1 * i,) for i in range(count)))
    found = shrink(trained, NoiseGuess(0.005, 0.0, 0))
    assert found.means == pytest.approx([0.5, 0.6, 0.7][:count], abs=0.004)
    assert found.on_front.all() and found.chances[0] == 1


def test_nothing_is_known_of_no_network() -> None:
    found = shrink((), NoiseGuess(0.01, 0.0, 0))
    assert len(found.means) == len(found.chances) == len(found.before) == 0


def test_what_fell_far_below_neither_moves_nor_widens() -> None:
    others = flat(60, spread=0.005, noise=0.01)
    fallen = (*others[:30], Trainings(others[30].cost, "a", (0.1, 0.1, 0.1)), *others[31:])
    clean, found = shrink(others, guess(others)), shrink(fallen, guess(fallen))
    assert found.means[30] == pytest.approx(0.1, abs=1e-3)
    assert found.spread == pytest.approx(clean.spread, rel=0.25)
    rest = np.arange(60) != 30
    assert np.abs(found.means[rest] - clean.means[rest]).max() < 0.004


def test_each_family_has_a_line_of_its_own() -> None:
    random = np.random.default_rng(0)
    trained = tuple(
        Trainings(1.1**i, "ab"[i % 2], (0.7 + 0.05 * (i % 2) + 0.01 * random.standard_normal(),)) for i in range(80)
    )
    one = tuple(network._replace(family="a") for network in trained)
    apart, together = (shrink(known, NoiseGuess(0.01, 0.0, 0)) for known in (trained, one))
    assert apart.spread < 0.01 < together.spread
    truth = np.array([0.7 + 0.05 * (i % 2) for i in range(80)])
    assert np.abs(apart.means - truth).mean() < np.abs(together.means - truth).mean()


def test_noise_of_the_images_is_no_merit() -> None:
    trained = flat(200, spread=0.01, noise=0.002)
    plain, paired = (shrink(trained, guess(trained), images) for images in (ImageNoise(), ImageNoise(alone=5e-5)))
    assert kept(trained, plain) > 0.95
    assert kept(trained, paired) == pytest.approx(0.5, abs=0.1)


def test_without_further_trainings_the_networks_do_not_change_what_is_assumed() -> None:
    random = np.random.default_rng(0)
    trained = networks(*((0.7 + 0.03 * random.standard_normal(),) for _ in range(100)))
    found = shrink(trained, NoiseGuess(0.005, 0.0, 0))
    assert kept(trained, found) > 0.93  # noise of three times what is assumed is not believed for its own sake


def test_few_further_trainings_leave_the_noise_uncertain() -> None:
    agreeing = NoiseGuess(0.028, 0.0, 2)  # sixty images, and two further trainings as accurate as the first
    assert 0.01 < agreeing.std < 0.028
    assert NoiseGuess(0.028, 0.0, 0).std == pytest.approx(0.028)
    many = NoiseGuess(0.028, 40 * 0.012**2, 40)
    assert many.std == pytest.approx(0.012, rel=0.06)
    pair = networks((0.7, 0.71, 0.69), (0.72, 0.73, 0.71))
    few, sure = (shrink(pair, NoiseGuess(0.01, count * 1e-4, count)) for count in (2, 400))
    assert few.errors[1] > sure.errors[1]


@given(st.lists(st.tuples(st.integers(1, 6), st.floats(0, 1)), min_size=1, max_size=12))
def test_whatever_was_measured_there_is_a_front(points: list[tuple[int, float]]) -> None:
    trained = tuple(Trainings(float(cost), "a", (accuracy,)) for cost, accuracy in sorted(points))
    found = shrink(trained, NoiseGuess(0.01, 0.0, 0))
    assert ((found.means >= 0) & (found.means <= 1)).all() and (found.errors > 0).all()
    assert found.on_front.any() and ((found.chances >= 0) & (found.chances <= 1)).all()
    front = found.means[found.on_front]
    assert (np.diff(front) > 0).all()
    for index in range(len(trained)):
        before = found.before[index]
        assert before < 0 or (found.on_front[before] and trained[before].cost <= trained[index].cost)


def test_the_chance_that_one_is_above_another_is_that_of_drawing() -> None:
    random = np.random.default_rng(0)
    trained = tuple(
        Trainings(1.3**i, "ab"[i % 2], (0.7 + 0.003 * i + 0.01 * random.standard_normal(),) * (1 + i % 3))
        for i in range(12)
    )
    posterior = fitted(trained, NoiseGuess(0.02, 0.0, 0))
    first, second = np.triu_indices(len(trained), 1)
    drawn = np.concatenate([part.copy() for part in posterior.draw(np.random.default_rng(1))])
    shares = (drawn[:, first] > drawn[:, second]).mean(axis=0)
    assert np.abs(posterior.above(first, second) - shares).max() < 4 * 0.5 / np.sqrt(len(drawn))
    assert posterior.above(first, second) + posterior.above(second, first) == pytest.approx(1)
    assert ((shares > 0.1) & (shares < 0.9)).mean() > 0.3


def test_thousands_of_networks_take_no_two_seconds() -> None:
    random = np.random.default_rng(0)
    costs = np.sort(np.exp(random.uniform(12, 18, 2000)))
    trained = tuple(
        Trainings(float(cost), "ab"[i % 2], tuple(0.6 + 0.01 * random.standard_normal(1 + 2 * (i % 50 == 0))))
        for i, cost in enumerate(costs)
    )
    started = time.process_time()
    shrink(trained, guess(trained))
    assert time.process_time() - started < 2
    again = time.process_time()
    shrink(trained, guess(trained))
    assert time.process_time() - again < 0.1


def test_a_front_of_three_seeds_is_as_good_as_it_says() -> None:
    """A miniature of tests/benchmarks/front_noise.py: fewer studies, so wider limits."""
    kind = front_noise.Kind(30, 0.01, 0.012)
    made = [front_noise.study(kind, np.random.default_rng(one)) for one in range(15)]
    once, thrice = (front_noise.row(kind, seeds, [study[seeds] for study in made]) for seeds in (1, 3))
    assert abs(thrice["bias"]) < 0.15 < once["raw_bias"]
    assert once["bias"] < 0.8 * once["raw_bias"]
    rows = front_noise.calibration([study[3] for study in made])
    assert all(abs(row.off) < 0.2 for row in rows if row.networks >= 40)


def test_the_error_of_a_tenth_counts_studies_and_not_networks() -> None:
    def one(members: float) -> front_noise.Outcome:
        right = np.arange(10) < members
        return front_noise.Outcome(*[np.zeros(1)] * 3, chances=np.full(10, 0.55), members=right, noise=0.01)

    (alike,), (apart,) = (front_noise.calibration(list(map(one, counts))) for counts in ([5, 5, 5, 5], [0, 10, 0, 10]))
    assert (alike.networks, apart.networks) == (40, 40)
    assert alike.off == apart.off == pytest.approx(0.05)
    assert alike.error == pytest.approx(0) and apart.error == pytest.approx(0.25)  # a half, over the root of four


def test_weak_networks_vary_more_than_strong_ones() -> None:
    """From a trend of .6 to one of .95, noise falls to less than half by the binomial law."""
    random = np.random.default_rng(0)
    trend = np.linspace(0.6, 0.95, 80)
    noise = 0.03 * np.sqrt(trend * (1 - trend))
    truths = (trend + 0.015 * random.standard_normal(80)).clip(0, 0.99)
    trained = networks(*(tuple(t + n * random.standard_normal(3)) for t, n in zip(truths, noise, strict=True)))
    found = shrink(trained, guess(trained))
    exact = 1 / np.sqrt(1 / 0.015**2 + 3 / noise**2)
    for ten in (slice(0, 10), slice(70, 80)):
        assert found.errors[ten].mean() == pytest.approx(exact[ten].mean(), rel=0.12)


def test_what_weak_networks_vary_is_less_for_usual_ones() -> None:
    trained = networks((0.5, 0.54), (0.9, 0.91), (0.9,))
    data = replace(Data.of(trained, ImageNoise()), relative=np.array([2.0, 1.0, 1.0]))
    assert data.worth == pytest.approx([0.5, 2, 1])
    assert data.usual_noise(guess(trained)).squares == pytest.approx(0.02**2 * 2 / 4 + 0.005**2 * 2)
    assert data.usual_noise(NoiseGuess(0.01, 0.0, 0)) == NoiseGuess(0.01, 0.0, 0)


def test_noise_at_the_ends_is_neither_nothing_nor_without_limit() -> None:
    trained = networks(*((share,) * 2 for share in (0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0, 1.0, 1.0, 1.0)))
    found = shrink(trained, NoiseGuess(0.01, 10 * 1e-4, 10))
    assert (found.errors > 0.002).all() and (found.errors < 0.03).all()
    certain = networks(*((1.0,) * 2 for _ in range(10)))
    assert (shrink(certain, NoiseGuess(0.01, 0.0, 10)).errors > 0).all()
