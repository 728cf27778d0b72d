"""Which share of the cost's growth width, depth and resolution should get."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from worlds import BASELINE, POWERS, World

from nas.architecture.space import COEFFICIENTS
from nas.errors import StudyError
from nas.fronts.geometry import Array
from nas.scaling.simplex import Simplex, simplex, simplex_points
from nas.scaling.star import Candidate
from nas.scaling.surface import fit_surface


class Grows(NamedTuple):
    width: float
    depth: float
    resolution: float


def twice(count: int = 60) -> Array:
    """Return places of twice the baseline's cost, in the triangle and a little around it, (count, 3)."""
    shares = np.random.default_rng(0).dirichlet((1, 1, 1), count) * 1.6 - 0.2
    return np.log2(BASELINE) + shares / POWERS


def found(world: World, *, seed: int = 0) -> Simplex:
    return simplex(fit_surface(world.train(twice(), seed=seed), exponents=POWERS), BASELINE)


WORLD = World(exponents=(0.2, 0.3, 0.15), bowl=0.5)
SHARES = {"width": 0.4, "depth": 0.3, "resolution": 0.3}


def test_the_true_shares_lie_in_nine_intervals_of_ten() -> None:
    inside = []
    for seed in range(25):
        best = found(WORLD, seed=seed).best
        inside.append([best[name].low <= SHARES[name] <= best[name].high for name in COEFFICIENTS])
    assert 0.8 <= np.mean(inside) <= 1


def test_it_finds_the_shares_and_says_so() -> None:
    exact = found(World(exponents=WORLD.exponents, bowl=0.5, noise=0.001))
    assert {name: share.value for name, share in exact.best.items()} == pytest.approx(SHARES, abs=0.03)
    assert sum(share.value for share in exact.best.values()) == pytest.approx(1)
    assert exact.factors["width"].value == pytest.approx(2**0.2, abs=0.01)
    assert exact.sentence.startswith("for 2 times the FLOPs: width × 1.1") and not exact.reasons


def test_the_triangle_and_what_is_likely_of_it() -> None:
    answer = found(World(exponents=WORLD.exponents, bowl=0.5, noise=0.05))
    assert answer.shares.shape == (231, 3) and answer.shares.sum(axis=1) == pytest.approx(1)
    assert answer.chances.sum() == pytest.approx(1)
    assert 0.9 <= answer.chances[answer.region].sum() < 0.95
    assert answer.chances[answer.region].min() >= answer.chances[~answer.region].max()
    assert answer.shares[answer.errors.argmin()] == pytest.approx([answer.best[n].value for n in COEFFICIENTS], abs=0.1)


def test_where_a_rule_lies() -> None:
    answer = found(WORLD)
    rule = Grows(*(answer.factors[name].value for name in COEFFICIENTS))
    best = answer.place(rule)
    assert best.shares == pytest.approx([answer.best[name].value for name in COEFFICIENTS])
    assert best.penalty.value == pytest.approx(0, abs=1e-9) and best.likely
    depth = answer.place(Grows(1, 3, 1))
    assert depth.shares == pytest.approx((0, 1, 0)) and not depth.likely
    # 0.5 (0.2^2 + 0.7^2 / 4 + 0.15^2) is lost of the logarithm, at an error of about 0.46
    assert depth.penalty.low < 0.046 < depth.penalty.high and depth.penalty.low > 0


def test_a_share_of_nothing_is_no_finding() -> None:
    answer = found(World(exponents=(0.4, -0.6, 0.4), bowl=0.5))
    assert set(answer.reasons) == {"depth"}
    assert "depth cannot tell (its best share may be none or less" in answer.sentence
    perhaps = found(World(exponents=(0.245, 0.02, 0.245), bowl=0.5, noise=0.02))
    assert set(perhaps.reasons) == {"depth"} and perhaps.best["depth"].low == 0 < perhaps.best["depth"].value


def test_networks_that_shrink_nowhere() -> None:
    def network(name: str, width: float, depth: float, resolution: int) -> Candidate:
        return Candidate(width, depth, resolution, name, 1.0)

    baseline = network("baseline", 0.5, 1.0, 24)
    grown, flat = network("grown", 0.55, 1.5, 26), network("flat", 0.5, 2.0, 24)
    shrunk, nearly = network("shrunk", 0.4, 3.0, 30), network("nearly", 0.5, 2.2, 23)
    same, large = network("same", 0.5, 1.0, 24), network("large", 0.5, 4.8, 22)
    kept = simplex_points([shrunk, nearly, grown, flat, same, large], baseline, slack=0.15)
    assert [one.digest for one in kept] == ["flat", "grown", "large", "nearly"]  # 2 log2 (22 / 24) = -0.13 of 2.01
    assert [one.digest for one in simplex_points([nearly, flat], baseline, slack=0.05)] == ["flat"]


def test_what_makes_no_sense_is_refused_in_one_line() -> None:
    surface = fit_surface(WORLD.train(twice()), exponents=POWERS)
    with pytest.raises(StudyError, match="above 1 is needed, but is 1"):
        simplex(surface, BASELINE, times=1.0)
    flat = fit_surface(WORLD.train(twice()), exponents=(2, 1, 0))
    with pytest.raises(StudyError, match="do not rise with resolution"):
        simplex(flat, BASELINE)
    for rule in (Grows(1, 1, 1), Grows(2, 0.9, 1)):
        with pytest.raises(StudyError, match="only a rule that makes no dimension smaller"):
            simplex(surface, BASELINE).place(rule)
