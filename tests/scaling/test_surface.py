"""A surface of error over width, depth and resolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import CHEAPEST, POWERS, World, network, star

from nas.architecture.space import COEFFICIENTS
from nas.errors import StudyError
from nas.scaling.evidence import Evidence
from nas.scaling.surface import FEWEST, fit_surface


def shapes(evidence: Evidence) -> dict[str, np.ndarray]:
    return {name: evidence.column(name) for name in COEFFICIENTS}


def test_true_errors_lie_in_nine_intervals_of_ten() -> None:
    world, inside = World(), []
    for seed in range(20):
        evidence = world.train(star(), seed=seed)
        truth = np.exp(world.log_errors(star((1.4, 2.8))))
        found = fit_surface(evidence).predict(*(2 ** star((1.4, 2.8)).T))
        inside.append((found.low < truth) & (truth < found.high))
    assert 0.86 < np.mean(inside) < 0.99  # 520 of them, those of one seed alike


def test_the_scatter_of_networks_is_in_the_interval() -> None:
    inside, generator = [], np.random.default_rng(0)
    for seed in range(10):
        merits = 0.03 * generator.standard_normal(39)
        evidence = World().train(star(), seed=seed)
        evidence = evidence.only(
            replace(n, accuracies={s: 1 - (1 - a) * np.exp(merit) for s, a in n.accuracies.items()})
            for n, merit in zip(evidence.networks, merits, strict=True)
        )
        places = star((1.4, 2.8))
        truth = np.exp(World().log_errors(places) + 0.03 * generator.standard_normal(len(places)))
        found = fit_surface(evidence).predict(*(2**places.T))
        inside.append((found.low < truth) & (truth < found.high))
    assert 0.84 < np.mean(inside) < 0.97  # 260 of them


def test_it_finds_the_bowl_and_the_cost() -> None:
    surface = fit_surface(World(noise=0.001).train(star()))
    assert surface.cost.exponents == pytest.approx(POWERS, abs=1e-6)
    assert 2 ** surface.cost.log2(np.log2([[0.5, 1, 24]])) == pytest.approx([CHEAPEST])
    truth = World().log_errors(star((3.0,)))
    assert surface.mean_log_errors(star((3.0,))) == pytest.approx(truth, abs=0.005)


def test_bends_are_drawn_to_none_as_far_as_noise_hides_them() -> None:
    bends, squares = [], []
    for noise in (0.001, 0.3):
        evidence = World(noise=noise).train(star())
        surface = fit_surface(evidence)
        u = surface.places - surface.center
        columns = np.column_stack([np.ones(len(u)), u, *(u[:, i] * u[:, j] for i in range(3) for j in range(i, 3))])
        least = np.linalg.lstsq(columns, np.log(evidence.column("error")), rcond=None)[0]
        bends.append(np.abs(surface.mean[4:]).max())
        squares.append(np.abs(least[4:]).max())
    assert bends[0] == pytest.approx(squares[0], rel=0.02)
    assert bends[1] < 0.4 * squares[1]


def test_errors_are_shares_whatever_is_asked() -> None:
    found = fit_surface(World().train(star())).predict([[1e-3, 1e3]], 1.0, 24)
    assert found.mean.shape == found.low.shape == (1, 2)
    assert (found.low <= found.mean).all() and (found.mean <= found.high).all() and (found.high <= 1).all()


def test_a_network_that_never_learned_does_not_bend_the_surface() -> None:
    evidence = World().train(star())
    victim = evidence.networks[20]
    broken = evidence.only(replace(n, accuracies={0: 0.1}) if n is victim else n for n in evidence.networks)
    surface = fit_surface(broken)
    assert [network.digest for network in surface.aside] == [victim.digest]
    sound = fit_surface(evidence.only(n for n in evidence.networks if n is not victim))
    where = 2 ** star((1.5,)).T
    assert surface.predict(*where).mean == pytest.approx(sound.predict(*where).mean, rel=2e-3)
    assert not fit_surface(evidence).aside


def test_further_trainings_make_it_surer() -> None:
    widths = []
    for seeds in (1, 9):
        found = fit_surface(World(noise=0.03).train(star(), seeds=seeds)).predict(0.5, 1.0, 24)
        widths.append(float(found.high - found.low))
    assert widths[1] < 0.8 * widths[0]


def test_a_dimension_that_was_never_varied_is_not_known() -> None:
    places = star()
    places[:, 2] = np.log2(24)
    surface = fit_surface(World().train(places))
    near, far = (surface.predict(0.5, 1.0, pixels) for pixels in (24, 48))
    assert near.high - near.low < 0.03
    assert far.high - far.low > 0.5


@settings(max_examples=8)
@given(st.integers(0, 1000), st.permutations(range(39)))
def test_the_order_of_networks_and_of_their_names_does_not_matter(seed: int, order: list[int]) -> None:
    evidence = World().train(star(), seed=seed)
    other = replace(evidence, networks=tuple(evidence.networks[i] for i in order))
    one, two = (fit_surface(each).predict(*(2 ** star((1.5,)).T)) for each in (evidence, other))
    for figures in zip(one, two, strict=True):
        assert figures[0] == pytest.approx(figures[1], rel=1e-6)


@pytest.mark.parametrize("cost", ["params", "activations", "seconds"])
def test_any_cost_will_do(cost: str) -> None:
    evidence = World().train(star())
    evidence = evidence.only(replace(n, seconds=n.flops / 1e6) for n in evidence.networks)
    assert fit_surface(evidence, cost=cost).cost.exponents == pytest.approx(POWERS, abs=1e-6)


def test_exponents_of_the_cost_may_be_given() -> None:
    surface = fit_surface(World().train(star()), exponents=(1, 1, 2))
    assert surface.cost.exponents == pytest.approx([1, 1, 2])
    assert surface.cost.log2(surface.places).mean() == pytest.approx(surface.costs.mean())


def test_networks_of_one_cost_do_not_tell_how_it_grows() -> None:
    evidence = World().train(star((1.0,)))
    with pytest.raises(StudyError, match="all networks cost about the same"):
        fit_surface(evidence)
    assert fit_surface(evidence, exponents=POWERS).cost.exponents == pytest.approx(POWERS)


def test_what_is_no_evidence_is_refused_in_one_line() -> None:
    evidence = World().train(star())
    few = evidence.only(evidence.networks[: FEWEST - 1])
    mixed = evidence.only([*evidence.networks, network("other", star()[0], {0: 0.5}, space="y")])
    alike = World().train(np.repeat(star()[:1], 10, axis=0))
    for case, needle in ((few, "at least 8"), (mixed, "families"), (alike, "the same width, depth and resolution")):
        with pytest.raises(StudyError, match=needle) as refused:
            fit_surface(case)
        assert "\n" not in str(refused.value)
    for wrong, needle in (({"cost": "memory"}, "allowed: flops"), ({"exponents": (0, 0, 0)}, "rises with none")):
        with pytest.raises(StudyError, match=needle):
            fit_surface(evidence, **wrong)
    with pytest.raises(StudyError, match="seconds of some networks are not known"):
        fit_surface(evidence, cost="seconds")
    with pytest.raises(StudyError, match="above zero"):
        fit_surface(evidence).predict(0.0, 1.0, 24)


def test_no_error_at_all_is_half_an_image() -> None:
    evidence = World().train(star())
    perfect = evidence.only(replace(n, accuracies={0: 1.0}) for n in evidence.networks)
    assert fit_surface(perfect).predict(0.5, 1.0, 24).mean == pytest.approx(0.5 / 5000, rel=0.05)
