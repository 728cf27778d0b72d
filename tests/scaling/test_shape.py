"""The best shape at each cost and how it grows."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import BASELINE, CHEAPEST, LEVELS, POWERS, World, star

from nas.architecture.space import COEFFICIENTS
from nas.errors import StudyError
from nas.fronts.geometry import Array
from nas.scaling.shape import BestShape, best_shape
from nas.scaling.surface import fit_surface

COSTS = [CHEAPEST * level for level in LEVELS]
WORLD = World()


class Grows(NamedTuple):
    width: float
    depth: float
    resolution: float


EFFICIENTNET = Grows(width=1.1, depth=1.2, resolution=1.15)


def box() -> Array:
    """Return places in a box around the baseline, (120, 3)."""
    return np.log2(BASELINE) + np.random.default_rng(0).uniform(-1.2, 1.2, (120, 3))


def found(world: World = WORLD, *, seed: int = 0, places: Array | None = None, **options: object) -> BestShape:
    surface = fit_surface(world.train(star() if places is None else places, seed=seed))
    return best_shape(surface, **{"levels": COSTS, **options})


def test_the_true_growth_lies_in_nine_intervals_of_ten() -> None:
    inside = []
    for seed in range(50):
        shape = found(World(noise=0.02), seed=seed)
        inside.append(
            [
                shape.factors[name].low <= 2**exponent <= shape.factors[name].high
                for name, exponent in zip(COEFFICIENTS, World().exponents, strict=True)
            ]
        )
    assert 0.84 <= np.mean(inside) <= 0.99  # 150, in twos: as width grows, resolution does not


def test_it_finds_the_shapes_and_says_so() -> None:
    shape = found(World(noise=0.002))
    assert not shape.reason and all(shape.determined.values())
    for index, name in enumerate(COEFFICIENTS):
        assert shape.factors[name].value == pytest.approx(2 ** World().exponents[index], abs=0.02)
        path = [BASELINE[index] * level ** World().exponents[index] for level in LEVELS]
        assert [best.value for best in shape.best[name]] == pytest.approx(path, rel=0.03)
        assert all(best.low <= best.value <= best.high for best in shape.best[name])
    start, *_, end = shape.sentence.partition(" [")
    assert start == "per doubling of FLOPs: width × 1.19" and "cannot tell" not in end


def test_the_rule_doubles_the_measured_cost() -> None:
    shape = found(World(noise=0.03))
    growth = np.log2([shape.factors[name].value for name in COEFFICIENTS]) @ shape.surface.cost.exponents
    assert growth == pytest.approx(1)
    assert shape.surface.cost.log2(shape.place(np.log2(CHEAPEST) + 5)) == pytest.approx(np.log2(CHEAPEST) + 5)


def test_where_error_falls_to_the_border_there_is_no_telling() -> None:
    falling = World(exponents=(0.25, -3.0, 0.15))  # best at depths that nobody tried
    shape = found(falling)
    assert not shape.determined["depth"]
    assert shape.reasons["depth"].startswith("error still falls towards smaller depth; try below 0.")
    assert "depth cannot tell (error still falls" in shape.sentence and "depth: error" in shape.reason
    allowed = {"depth": (shape.best["depth"][2].value, 9.0)}
    assert "and the space has none below" in found(falling, ranges=allowed).reasons["depth"]
    assert "try above" in found(World(exponents=(0.25, 4.0, 0.15))).reasons["depth"]


def test_what_is_left_for_one_dimension_is_no_finding() -> None:
    shape = found(World(exponents=(0.0, -1.5, 1.0)), places=box(), levels=[2.5 * CHEAPEST, 4 * CHEAPEST])
    assert shape.reasons["width"] == "it has what the others leave"
    assert "smaller depth" in shape.reasons["depth"] and "larger resolution" in shape.reasons["resolution"]


def test_of_a_dimension_that_never_moved_nothing_is_told() -> None:
    places = box()
    places[:, 2] = np.log2(24)
    shape = found(World(exponents=(0.3, 0.4, 0.0), bowl=0.3), places=places, levels=[CHEAPEST, 2 * CHEAPEST])
    assert shape.reasons == {"resolution": "only 24 was tried"}
    assert shape.factors["resolution"] == pytest.approx((1, 1, 1))
    assert shape.factors["width"].low < 2**0.3 < shape.factors["width"].high


def test_a_bowl_that_noise_nearly_hides_is_no_border() -> None:
    shape = found(World(bowl=0.03, noise=0.02))
    assert set(shape.reasons) == {"depth"}
    assert shape.reasons["depth"].endswith("more trainings or a wider range would tell")


@settings(max_examples=6)
@given(st.floats(1e-3, 1e9), st.permutations(range(39)))
def test_neither_the_unit_of_the_cost_nor_the_order_of_networks_matters(unit: float, order: list[int]) -> None:
    evidence = World().train(star())
    changed = [replace(evidence.networks[i], flops=evidence.networks[i].flops * unit) for i in order]
    other = best_shape(fit_surface(replace(evidence, networks=tuple(changed))), levels=[unit * cost for cost in COSTS])
    shape = best_shape(fit_surface(evidence), levels=COSTS)
    for name in COEFFICIENTS:
        assert other.factors[name] == pytest.approx(shape.factors[name], rel=1e-4)


def true_penalty(rule: Grows, times: float) -> float:
    """Return what a rule from the baseline really costs, in a world whose best shape starts there."""
    direction = np.log2(rule)
    place = np.log2(BASELINE) + direction * np.log2(times) / (direction @ POWERS)
    best = np.log2(BASELINE) + np.array(World().exponents) * np.log2(times)
    errors = np.exp(World().log_errors(np.array([place, best])))
    return float(errors[0] - errors[1])


@pytest.mark.parametrize("rule", [EFFICIENTNET, Grows(2**0.5, 1, 1), Grows(1, 2, 1)])
def test_another_rule_costs_what_it_costs(rule: Grows) -> None:
    inside = []
    for seed in range(20):
        penalty = found(seed=seed).penalty(rule, times=4, start=BASELINE)
        assert penalty.points is not None
        inside.append(penalty.points.low <= true_penalty(rule, 4) <= penalty.points.high)
    assert np.mean(inside) >= 0.75


def test_the_found_rule_costs_nothing() -> None:
    shape = found()
    rule = Grows(*(shape.factors[name].value for name in COEFFICIENTS))
    points = shape.penalty(rule, times=4).points
    assert points is not None and points.value == pytest.approx(0, abs=1e-9)
    twice = Grows(*(factor**2 for factor in rule))  # the same direction
    assert shape.penalty(twice, times=4).points == pytest.approx(points, abs=1e-9)


def test_the_cost_of_a_rule_in_words() -> None:
    told = found().penalty(Grows(1, 2, 1), times=4).told("depth alone", 4)
    assert told.startswith("depth alone would cost ") and told.endswith(" points at 4×") and " ± " in told
    refused = found().penalty(EFFICIENTNET, times=16).told("EfficientNet's rule", 16)
    assert refused.startswith("what EfficientNet's rule would cost at 16× cannot be told (32M FLOPs are ")


def test_what_lies_far_outside_is_not_told() -> None:
    assert "times the largest tried" in found().penalty(EFFICIENTNET, times=8.2).reason
    assert found().penalty(EFFICIENTNET, times=7.9).points is not None
    far = found().penalty(Grows(1, 2, 1), times=7.9).reason
    assert far.startswith("depth 7.6") and "too far outside what was tried" in far


def test_of_a_table_the_levels_lie_within_it() -> None:
    shape = best_shape(fit_surface(World().train(box())))
    assert len(shape.levels) == 3
    assert all(type(level) is float for level in shape.levels)


def test_what_makes_no_sense_is_refused_in_one_line() -> None:
    shape = found()
    for levels, needle in (([CHEAPEST], "at least two costs"), ([0, CHEAPEST], "above zero")):
        with pytest.raises(StudyError, match=needle):
            best_shape(shape.surface, levels=levels)
    with pytest.raises(StudyError, match=r"0 networks of about 32M FLOPs tell nothing"):
        best_shape(shape.surface, levels=[CHEAPEST, 16 * CHEAPEST])
    for rule, times in ((Grows(1, 1, 1), 2), (Grows(0.5, 1, 1), 2), (EFFICIENTNET, 0)):
        with pytest.raises(StudyError, match="raises flops"):
            shape.penalty(rule, times=times)
