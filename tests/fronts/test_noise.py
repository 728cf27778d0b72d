"""What seeds do to accuracies, and what that leaves of a front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from nas.config.search import Replicates
from nas.fronts.geometry import Array
from nas.fronts.noise import (
    WORTH_REPEATING,
    Noise,
    fewest_images,
    front_probabilities,
    measured,
    over_seeds,
    seed_noise,
    times_on_front,
)
from nas.records import Repeat, TrialRecord
from nas.search.run.wanted import wanted_repeats

BASE = TrialRecord(0, "s", 1.0, 1.0, 8, "d", 1, 1, 1, state="trained")
TOLERANCE = 0.035
"""More than four standard errors of a share of 4,000 draws."""


def trial(number: int, flops: int, accuracy: float, **changes: object) -> TrialRecord:
    return replace(BASE, **{"number": number, "digest": f"d{number}", "flops": flops, "accuracy": accuracy, **changes})


def once_more(number: int, repeat: int, accuracy: float | None) -> Repeat:
    return Repeat(number, repeat, state="diverged" if accuracy is None else "trained", accuracy=accuracy)


@st.composite
def points(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """Draw costs, rising and some of them equal, mean accuracies and their errors."""
    count = draw(st.integers(1, 12))
    costs = sorted(draw(st.lists(st.integers(1, 6), min_size=count, max_size=count)))
    means = draw(st.lists(st.floats(0.3, 0.9), min_size=count, max_size=count))
    errors = draw(st.lists(st.floats(0.001, 0.1), min_size=count, max_size=count))
    return np.array(costs, float), np.array(means), np.array(errors)


def brute_force(costs: Array, means: Array, errors: Array, *, draws: int = 4000) -> Array:
    """Return the share of draws in which nothing of at most a point's cost is as accurate, point by point."""
    drawn = np.random.default_rng(1).normal(means, errors, (draws, len(means)))
    shares = []
    for i, cost in enumerate(costs):
        rivals = [j for j in range(len(costs)) if j != i and costs[j] <= cost]
        shares.append(np.mean([all(row[i] > row[j] for j in rivals) for row in drawn]))
    return np.array(shares)


@given(points())
def test_probabilities_are_those_of_brute_force(drawn: tuple[Array, Array, Array]) -> None:
    found = front_probabilities(*drawn)
    assert np.abs(found - brute_force(*drawn)).max() < TOLERANCE * math.sqrt(2)


@given(points())
def test_probabilities_sum_up_to_the_expected_size_of_the_front(drawn: tuple[Array, Array, Array]) -> None:
    costs, means, errors = drawn
    found = front_probabilities(costs, means, errors)
    assert ((found >= 0) & (found <= 1)).all()
    assert found[costs == costs[0]].sum() == pytest.approx(1)  # one of the cheapest is always on it
    assert 1 - 1e-9 <= found.sum() <= len(set(costs)) + 1e-9
    alone = front_probabilities(np.ones(len(costs)), means, errors)
    assert alone.sum() == pytest.approx(1)


@given(st.floats(-0.05, 0.05), st.floats(0.005, 0.05), st.floats(0.005, 0.05))
def test_of_two_the_dearer_is_on_the_front_as_the_normal_distribution_says(gain: float, a: float, b: float) -> None:
    cheap, dear = front_probabilities(np.array([1.0, 2.0]), np.array([0.5, 0.5 + gain]), np.array([a, b]))
    assert cheap == 1
    assert dear == pytest.approx(ndtr(gain / math.hypot(a, b)), abs=TOLERANCE)


@given(points())
def test_without_noise_the_front_is_certain(drawn: tuple[Array, Array, Array]) -> None:
    costs, means, _ = drawn
    means = means + np.arange(len(means)) * 1e-3  # apart from one another
    found = front_probabilities(costs, means, np.full(len(means), 1e-9))
    others = [(costs <= cost) & (np.arange(len(costs)) != i) for i, cost in enumerate(costs)]
    apart = [np.abs(means[other] - means[i]).min(initial=1) > 1e-7 for i, other in enumerate(others)]
    expected = [means[i] > means[other].max(initial=0) for i, other in enumerate(others)]
    assert all(chance == best for chance, best, clear in zip(found, expected, apart, strict=True) if clear)


def test_probabilities_are_the_same_whenever_they_are_asked_for() -> None:
    found = front_probabilities(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.51, 0.505]), np.full(3, 0.01))
    assert found.tolist() == [1.0, 0.7575, 0.31025]  # of seed 0; others draw otherwise


@given(st.integers(2, 6))
def test_equal_twins_share_a_place(count: int) -> None:
    found = front_probabilities(np.ones(count), np.full(count, 0.5), np.full(count, 0.01))
    assert found == pytest.approx(np.full(count, 1 / count), abs=TOLERANCE)


def test_of_two_equal_for_certain_the_cheaper_is_on_the_front() -> None:
    assert front_probabilities(np.array([1.0, 2.0]), np.full(2, 0.5), np.zeros(2)).tolist() == [1, 0]


def test_no_points_have_no_probabilities() -> None:
    assert len(front_probabilities(np.zeros(0), np.zeros(0), np.zeros(0))) == 0


@given(st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=5), min_size=1, max_size=6))
def test_noise_is_pooled_as_in_an_analysis_of_variance(groups: list[list[float]]) -> None:
    within = [value - np.mean(group) for group in groups for value in group]
    expected = math.sqrt(np.square(within).sum() / (len(within) - len(groups)))
    noise = seed_noise([*groups, [0.2], [0.9]], val_images=10**6)
    assert noise.std == pytest.approx(max(expected, 1e-6 / math.sqrt(12)))
    assert noise.further == len(within) - len(groups)
    assert seed_noise(groups[:1], val_images=10**9).std == pytest.approx(np.std(groups[0], ddof=1), abs=1e-9)


def test_the_noise_that_was_put_in_comes_out() -> None:
    generator = np.random.default_rng(0)
    groups = [generator.normal(mean, 0.013, 3).tolist() for mean in generator.uniform(0.4, 0.9, 2000)]
    assert seed_noise(groups, val_images=1000).std == pytest.approx(0.013, rel=0.03)


def test_without_further_trainings_the_noise_is_binomial() -> None:
    noise = seed_noise([[0.5], [0.9], [0.8]], val_images=400)
    assert noise == Noise(math.sqrt(0.8 * 0.2 / 400), 0, 400)
    assert (
        str(noise) == "Noise of one training: ± 2.00 % (assumed: that of drawing 400 validation images;"
        " search.replicates measures it)."
    )
    assert seed_noise([], val_images=100).std == 0.05
    drawn = np.random.default_rng(0).binomial(400, 0.8, 20_000) / 400
    assert noise.std == pytest.approx(drawn.std(), rel=0.03)


@pytest.mark.parametrize("accuracies", [[[1.0], [1.0]], [[0.9, 0.9], [0.8]]])
def test_equal_accuracies_are_no_certainty(accuracies: list[list[float]]) -> None:
    assert seed_noise(accuracies, val_images=100).std == pytest.approx(0.01 / math.sqrt(12))


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), max_size=20))))
def test_the_fewest_images_are_as_many_as_there_may_be(counted: tuple[int, list[int]]) -> None:
    images, right = counted
    found = fewest_images(count / images for count in right)
    assert images % found == 0
    assert math.gcd(images, *right) * found == images


def test_a_network_that_two_workers_trained_counts_once() -> None:
    trials = [trial(4, 10, 0.5, digest="a"), trial(5, 10, 0.5, digest="a"), trial(6, 5, 0.4)]
    repeats = [once_more(5, 1, 0.7), once_more(4, 1, 0.7), once_more(6, 1, None), once_more(4, 2, 0.6)]
    assert over_seeds(trials, repeats) == {trials[2]: (0.4,), trials[0]: (0.5, 0.7, 0.6)}
    assert [network.probability for network in measured(trials[:2], [], val_images=100)] == [1]


def test_a_network_that_learned_nothing_has_an_accuracy() -> None:
    assert over_seeds([trial(0, 10, 0.0)], [once_more(0, 1, 0.5)]) == {trial(0, 10, 0.0): (0.0, 0.5)}


def test_a_mean_over_seeds_is_as_uncertain_as_their_number_says() -> None:
    once, twice = measured([trial(0, 10, 0.8), trial(1, 20, 0.5)], [once_more(1, 1, 0.6)], val_images=400)
    noise = math.sqrt(0.005)  # of 0.5 and 0.6
    assert (once.accuracies, once.mean, once.std) == ((0.8,), 0.8, None)
    assert (twice.accuracies, twice.mean, twice.std) == ((0.5, 0.6), 0.55, pytest.approx(noise))
    assert (once.standard_error, twice.standard_error) == pytest.approx((noise, noise / math.sqrt(2)))
    assert (once.probability, twice.probability) == (1, pytest.approx(0.002, abs=0.002))


@pytest.mark.parametrize(("further", "words"), [(1, "1 further training"), (2, "2 further trainings")])
def test_a_noise_that_was_measured_says_on_how_much(further: int, words: str) -> None:
    assert str(Noise(0.02, further, 400)) == f"Noise of one training: ± 2.00 % (pooled from {words})."


def test_what_was_not_trained_takes_no_part() -> None:
    states = ("running", "stopped", "repeated", "infeasible", "diverged", "failed", "interrupted")
    trials = [trial(number, 10, 0.9, state=state) for number, state in enumerate(states)]
    assert measured(trials, [], val_images=100) == []
    assert wanted_repeats(Replicates(), trials, [], measured(trials, [], val_images=100)) == []


def make_all(asked: Replicates, trials: Sequence[TrialRecord], accuracy: float | None) -> list[Repeat]:
    """Make the most wanted further training, again and again, each with the same outcome."""
    made: list[Repeat] = []
    while wanted := wanted_repeats(asked, trials, made, measured(trials, made, val_images=400)):
        made.append(once_more(wanted[0][0].number, wanted[0][1], accuracy))
    return made


@given(
    st.lists(st.tuples(st.integers(10, 10**6), st.integers(40, 95)), min_size=1, max_size=15),
    st.sampled_from(("front", "spread")),
    st.integers(1, 6),
    st.integers(2, 4),
    st.sampled_from((None, 0.3, 0.7)),
)
def test_no_more_is_trained_than_was_asked_for(
    drawn: list[tuple[int, int]], of: str, networks: int, seeds: int, outcome: float | None
) -> None:
    trials = [trial(number, flops, right / 100) for number, (flops, right) in enumerate(drawn)]
    asked = Replicates.model_validate({"of": of, "networks": networks, "seeds": seeds})
    made = make_all(asked, trials, outcome)
    assert len({(repeat.number, repeat.repeat) for repeat in made}) == len(made)
    assert {repeat.repeat for repeat in made} <= set(range(1, seeds))
    assert len({repeat.number for repeat in made}) <= networks
    if of == "spread":
        assert len(made) == (seeds - 1) * min(networks, len(trials))


def test_the_likely_are_trained_once_more_and_the_unlikely_are_not() -> None:
    trials = [trial(0, 10, 0.6), trial(1, 20, 0.8), trial(2, 30, 0.79), trial(3, 40, 0.3)]
    wanted = wanted_repeats(Replicates(), trials, [], measured(trials, [], val_images=400))
    assert wanted == [
        (trials[n], repeat) for repeat in (1, 2) for n in (0, 1, 2)
    ]  # the likeliest first, round by round
    chances = {network.trial.number: network.probability for network in measured(trials, [], val_images=400)}
    assert chances[2] >= WORTH_REPEATING > chances[3]


def test_a_spread_covers_the_cost() -> None:
    trials = [trial(number, 2**number, 0.5) for number in range(13)]
    asked = Replicates(of="spread", networks=4, seeds=2)
    assert [found.number for found, _ in wanted_repeats(asked, trials, [], measured(trials, [], val_images=100))] == [
        0,
        4,
        8,
        12,
    ]
    more = [*trials, trial(13, 2**24, 0.5)]  # the study went on: what has begun keeps its place
    begun = [once_more(number, 1, 0.5) for number in (0, 4, 8, 12)]
    assert wanted_repeats(asked, more, begun, measured(more, begun, val_images=100)) == []
    longer = asked.model_copy(update={"seeds": 3})
    assert {
        (t.number, repeat) for t, repeat in wanted_repeats(longer, more, begun, measured(more, begun, val_images=100))
    } == {(number, 2) for number in (0, 4, 8, 12)}


def test_probabilities_are_borne_out() -> None:
    generator = np.random.default_rng(0)
    said, true = [], []
    for _ in range(150):  # forty networks whose accuracy rises with the cost, each trained once
        costs = np.sort(generator.uniform(0, 1, 40))
        merits = 0.5 + 0.3 * costs + generator.normal(0, 0.03, 40)
        said.append(front_probabilities(costs, merits + generator.normal(0, 0.01, 40), np.full(40, 0.01)))
        true.append(merits >= np.maximum.accumulate(merits))
    chances, members = np.concatenate(said), np.concatenate(true)
    for low in (0.05, 0.2, 0.4, 0.6, 0.8, 0.95):
        group = (chances >= low) & (chances < low + 0.2)
        assert members[group].mean() == pytest.approx(chances[group].mean(), abs=0.12)
    assert members[chances < 0.05].mean() < 0.03


@given(st.integers(0, 10_000))
def test_times_on_the_front_are_those_of_looking_at_each_draw(seed: int) -> None:
    generator = np.random.default_rng(seed)
    costs = np.sort(generator.integers(0, 6, size=generator.integers(1, 9))).astype(float)
    drawn = generator.integers(0, 4, size=(7, len(costs))) / 4
    expected = [
        sum(
            all(
                row[i] >= row[j] if costs[j] == costs[i] else row[i] > row[j]
                for j in range(len(costs))
                if costs[j] <= costs[i]
            )
            for row in drawn
        )
        for i in range(len(costs))
    ]
    assert times_on_front(costs, drawn).tolist() == expected
