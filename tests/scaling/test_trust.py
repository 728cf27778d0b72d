"""How far a short training tells the order of a long one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from nas.errors import StudyError
from nas.fronts.geometry import Array
from nas.scaling.evidence import Evidence, TrainedNetwork
from nas.scaling.trust import Trust, drawn_counts, drawn_taus, seed_ceiling, tau, tau_interval, trust


def trained(accuracies: Array, *, epochs: int = 8, seeds: int = 1, noise: float = 0.0) -> Evidence:
    """Return trainings of networks of rising cost."""
    generator = np.random.default_rng(epochs)
    networks = [
        TrainedNetwork(
            str(number), "x", 1, 1, 32, int(1e6 * 1.1**number), 1, 1,
            dict(enumerate(accuracy + noise * generator.standard_normal(seeds))),
        )
        for number, accuracy in enumerate(accuracies)
    ]  # fmt: skip
    return Evidence("pretended", (), {}, 1000, 5000, epochs).only(networks)


GENERATOR = np.random.default_rng(3)
WORTH = GENERATOR.uniform(0.4, 0.7, 48)


def of(first: Array, last: Array = WORTH, **options: int) -> Trust:
    return trust(trained(first), trained(last, epochs=32), **options)


def test_where_the_order_holds_and_where_it_is_not_known() -> None:
    last, first = WORTH.copy(), WORTH.copy()
    first[32:] += 0.12 * np.random.default_rng(1).standard_normal(16)
    found = of(first, last)
    assert [band.networks for band in found.bands] == [16, 16, 16]
    assert [band.holds for band in found.bands] == [True, True, False]
    assert len(found.holding) == 2
    assert found.bands[0].tau == (1, 1, 1) and found.bands[0].regret == (0, 0, 0)
    assert found.sentence.startswith(
        "up to 19.2M FLOPs the order of 8 epochs holds (τ 1.00 [1.00, 1.00], τ 1.00 [1.00, 1.00]);"
        " above, it is not known (τ 0.53 ["
    )
    assert found.together is not None and 0.5 < found.together.tau.value < 1


def test_an_order_that_is_turned_round_does_not_hold() -> None:
    first = WORTH.copy()
    first[32:] = 1 - first[32:]
    assert "; above, it does not hold (τ -1.00" in of(first).sentence
    assert "is not known to hold for any cost (τ -1.00" in of(1 - WORTH).sentence
    assert of(WORTH).sentence.endswith(")") and "above" not in of(WORTH).sentence


def test_regret_is_what_the_choice_loses() -> None:
    last = np.linspace(0.4, 0.6, 12)
    first = last.copy()
    first[8] = 0.9
    band = trust(trained(first), trained(last, epochs=32)).together
    assert band is not None
    assert band.regret.value == pytest.approx(last[11] - last[8], abs=0.01)  # a little less: means are shrunk
    assert band.regret.low == 0 < band.regret.high


def test_too_few_networks_are_refused_with_the_reason() -> None:
    found = trust(trained(WORTH[:30]), trained(WORTH[:7], epochs=32))
    assert not found.bands and found.together is None
    assert found.sentence == (
        "cannot tell whether 8 epochs order networks as 32 epochs do:"
        " needs 8 networks that were trained both ways; there are 7"
    )
    assert len(of(WORTH[:15]).bands) == 1 and len(of(WORTH[:16]).bands) == 2
    assert len(of(WORTH, bands=2).bands) == 2
    with pytest.raises(StudyError, match="at least one band"):
        of(WORTH, bands=0)


def test_the_ceiling_is_the_tau_of_two_seeds() -> None:
    assert seed_ceiling(trained(WORTH).networks) is None
    assert seed_ceiling(trained(WORTH[:7], seeds=3).networks) is None
    assert seed_ceiling(trained(WORTH, seeds=3).networks) == 1
    noisy = trained(WORTH, seeds=2, noise=0.05)
    seeds = np.array([list(network.accuracies.values()) for network in noisy.networks])
    assert seed_ceiling(noisy.networks) == pytest.approx(kendalltau(*seeds.T).statistic)
    thrice = trained(WORTH, seeds=3, noise=0.05)
    seeds_of_three = np.array([list(network.accuracies.values()) for network in thrice.networks]).T
    pairs = [kendalltau(seeds_of_three[i], seeds_of_three[j]).statistic for i, j in ((0, 1), (0, 2), (1, 2))]
    assert seed_ceiling(thrice.networks) == pytest.approx(np.mean(pairs))
    one_more = noisy.only([*noisy.networks[1:], replace(noisy.networks[0], accuracies={0: 0.5})])
    assert seed_ceiling(one_more.networks) == pytest.approx(kendalltau(*seeds[1:].T).statistic)
    three = noisy.only([*noisy.networks[1:], replace(noisy.networks[0], accuracies={0: 0.5, 1: 0.6, 2: 0.7})])
    assert seed_ceiling(three.networks) is not None  # the third seed of one network has no like
    assert trust(trained(WORTH), trained(WORTH, epochs=32, seeds=2)).ceiling == 1


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12), st.integers(0, 99))
def test_drawn_taus_are_those_of_scipy(pairs: list[tuple[int, int]], draw: int) -> None:
    one, other = np.array(pairs, float).T
    drawn = drawn_counts(len(one), 100)[draw : draw + 1]
    some = np.repeat(np.arange(len(one)), drawn[0].astype(int))
    assert drawn_taus(one, other, drawn)[0] == pytest.approx(tau(one[some], other[some]))


def test_the_interval_holds_the_true_tau_in_nine_of_ten() -> None:
    correlation, inside = 0.8, []
    truth = 2 / np.pi * np.arcsin(correlation)  # of two normal numbers
    for seed in range(60):
        generator = np.random.default_rng(seed)
        one = generator.standard_normal(30)
        other = correlation * one + np.sqrt(1 - correlation**2) * generator.standard_normal(30)
        found = tau_interval(one, other, drawn_counts(len(one), 300))
        inside.append(found.low < truth < found.high)
    assert 0.78 <= np.mean(inside) <= 0.98


def test_the_order_of_networks_does_not_matter() -> None:
    short, long = trained(WORTH + 0.02 * GENERATOR.standard_normal(48)), trained(WORTH, epochs=32)
    for turned in (replace(short, networks=short.networks[::-1]), short):
        assert trust(turned, replace(long, networks=long.networks[::-1])) == trust(short, long)


def test_equal_accuracies_tell_nothing() -> None:
    assert of(np.full(20, 0.5), WORTH[:20]).bands[0].tau.value == 0
