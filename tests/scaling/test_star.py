"""The plan of a star sweep, on real spaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from worlds import World

from nas.architecture.cost import count_cost
from nas.architecture.space import COEFFICIENTS, load_space
from nas.errors import ConfigError
from nas.scaling.effective import Ruler, effective
from nas.scaling.evidence import Evidence, TrainedNetwork
from nas.scaling.shape import BestShape, best_shape
from nas.scaling.star import Candidate, StarPlan, star_plan
from nas.scaling.surface import fit_surface

SPACES = ("efficientnet_small", "resnet_small")
RANGES = {"width": (0.25, 1.5), "depth": (0.25, 3.5), "resolution": (12.0, 54.0)}


@cache
def networks(name: str) -> tuple[Candidate, list[Candidate]]:
    """Return a baseline and all networks of a part of a space."""
    space, found = load_space(name), dict[str, Candidate]()
    architecture = space.architecture(width=0.5, depth=1.0, resolution=24, num_classes=10)
    ruler = Ruler(0.5, 1.0, architecture)

    def candidate(width: float, depth: float, resolution: int) -> Candidate:
        made = space.architecture(width=width, depth=depth, resolution=resolution, num_classes=10)
        shape = ruler.width_of(made), ruler.depth_of(made)
        return Candidate(width, depth, resolution, made.digest, count_cost(made).flops, shape)

    for width in np.arange(0.25, 1.51, 0.125):
        for depth in np.arange(0.5, 3.6, 0.5):
            for resolution in range(12, 55, 2):
                one = candidate(float(width), float(depth), resolution)
                found.setdefault(one.digest, one)
    return candidate(0.5, 1.0, 24), list(found.values())


def near(all_of_them: list[Candidate]) -> Callable[[float, float], list[Candidate]]:
    return lambda cost, share: [one for one in all_of_them if abs(one.cost / cost - 1) <= share]


@cache
def plan(name: str) -> StarPlan:
    baseline, others = networks(name)
    return star_plan(near(others), baseline, ranges=RANGES)


@pytest.mark.parametrize("name", SPACES)
def test_distinct_networks_at_each_cost(name: str) -> None:
    points, baseline = plan(name).points, networks(name)[0]
    assert 30 <= len(points) <= 40
    assert len({point.network.digest for point in points}) == len(points)
    assert points[0].network.digest == baseline.digest
    for point in points:
        share = point.network.cost / (point.level * baseline.cost) - 1
        assert share == pytest.approx(point.off)
        assert point.near == (abs(share) <= 0.05)
    assert np.mean([point.near for point in points]) > 0.85
    assert all(abs(point.off) <= 0.2 for point in points)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("level", [1.0, 2.0, 4.0])
def test_at_each_cost_every_dimension_moves_by_an_octave_and_more(name: str, level: float) -> None:
    places = np.array([point.network.place for point in plan(name).points if point.level == level])
    assert (np.ptp(places, axis=0) > 1).all()
    for index, dimension in enumerate(COEFFICIENTS):
        steps = {
            p.step: p.network.place[index] for p in plan(name).points if (p.level, p.dimension) == (level, dimension)
        }
        assert min(steps) < 0 < max(steps)
        assert steps[min(steps)] < steps[max(steps)]


def test_a_network_stands_for_one_place_the_nearest() -> None:
    baseline, other = Candidate(0.5, 1.0, 24, "b", 1e6), Candidate(0.5, 1.1, 21, "a", 1e6)
    points = star_plan(near([other, baseline]), baseline, ranges=RANGES, levels=(1.0,)).points
    assert [(point.network, point.dimension, point.step) for point in points] == [
        (baseline, "center", 0),
        (other, "depth", 1),  # it is near the place of less resolution too
    ]


def test_the_order_of_networks_does_not_matter() -> None:
    baseline, others = networks("resnet_small")
    assert star_plan(near(others[::-1]), baseline, ranges=RANGES) == plan("resnet_small")


def test_places_outside_the_space_are_named() -> None:
    baseline, others = networks("resnet_small")
    narrow = [one for one in others if one.resolution <= 26]
    found = star_plan(near(narrow), baseline, ranges={**RANGES, "resolution": (12.0, 26.0)})
    assert any("resolution is 12 to 26 in this space" in text for text in found.missing)
    assert all(point.network.resolution <= 26 for point in found.points)
    assert all("\n" not in text for text in found.missing)


def swept(name: str, world: World, *, seed: int = 0) -> BestShape:
    """Return the answer of a sweep of real networks at their real cost, with pretended errors."""
    baseline, points = networks(name)[0], plan(name).points
    evidence = world.train(np.array([point.network.place for point in points]), seed=seed)
    costly = evidence.only(replace(n, flops=points[int(n.digest)].network.cost) for n in evidence.networks)
    return best_shape(fit_surface(costly), levels=[level * baseline.cost for level in (1, 2, 4)])


@pytest.mark.parametrize("name", SPACES)
def test_a_sweep_of_real_networks_finds_the_true_growth(name: str) -> None:
    world = World(bowl=0.15, exponents=(0.22, 0.22, 0.17))
    truth = [swept(name, replace(world, noise=1e-5)).factors[dimension].value for dimension in COEFFICIENTS]
    # channels in eights follow the cost less closely than the world's own cost does
    assert truth == pytest.approx([2**exponent for exponent in world.exponents], abs=0.05)
    inside = []
    for seed in range(20):
        factors = swept(name, world, seed=seed).factors.values()
        inside.append([factor.low < true < factor.high for factor, true in zip(factors, truth, strict=True)])
    assert 0.8 < np.mean(inside) < 1


def test_effective_coefficients_are_those_of_channels_and_blocks() -> None:
    space = load_space("resnet_small")

    def made(network: TrainedNetwork) -> object:
        return space.architecture(
            width=network.width, depth=network.depth, resolution=int(network.resolution), num_classes=10
        )

    typed = [(0.25, 0.5, 16), (0.5, 0.75, 16), (1.0, 1.0, 16), (1.0, 2.0, 24)]
    rows = [
        TrainedNetwork(str(i), "x", w, d, r, int(1e6 * (i + 1)), 1, 1, {0: 0.5}) for i, (w, d, r) in enumerate(typed)
    ]
    found = effective(Evidence("typed", (), {}, 1, 100).only(rows), made).networks
    assert [network.depth for network in found] == [0.5, 1.0, 1.0, 2.0]  # of two blocks for each stage, rounded up
    # 4, 8 and 16 channels become 8, 8 and 16; the others divide by eight
    assert [network.width for network in found] == pytest.approx([(0.5 * 0.25 * 0.25) ** (1 / 3), 0.5, 1.0, 1.0])
    assert effective(Evidence("none", (), {}, 1, 100), made).networks == ()


def test_what_makes_no_sense_is_refused_in_one_line() -> None:
    baseline, others = networks("resnet_small")
    for wrong in ({"levels": ()}, {"levels": (0,)}, {"step": 1.0}, {"exponents": (2, 1, 0)}, {"exponents": (2, 1)}):
        with pytest.raises(ConfigError, match="a star needs") as refused:
            star_plan(near(others), baseline, ranges=RANGES, **wrong)
        assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match="no network of the space lies on the star"):
        star_plan(near([]), baseline, ranges=RANGES)
