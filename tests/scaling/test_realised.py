"""All networks near a cost: none is missed, none is there twice, and every cost is the closed form's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from conftest import SPACES
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture.cost import Cost, count_cost
from nas.architecture.point import Point
from nas.architecture.space import Range, SearchSpace, load_space
from nas.architecture.spec import Architecture
from nas.errors import ArchitectureError, ConfigError
from nas.scaling.costs import COSTS, FLOPS, CostKind, train_seconds
from nas.scaling.realised import Grid, grid_of, realised_networks
from nas.scaling.seconds import SecondsModel

SECONDS = train_seconds(SecondsModel(-9.0, flops=0.18, activations=0.76))
KINDS = {**COSTS, "train_seconds": SECONDS}


def by_hand(near: Point, grid: Grid, accept: Callable[[Cost], bool]) -> set[Architecture]:
    """Return all networks of a grid whose cost is accepted, each made and counted on its own."""
    found = set()
    for width in grid.widths:
        for depth in grid.depths:
            for resolution in grid.resolutions:
                try:
                    network = near.at(width=width, depth=depth, resolution=resolution).architecture()
                except ArchitectureError:
                    continue
                if accept(count_cost(network)):
                    found.add(network)
    return found


@st.composite
def grids(draw: st.DrawFn) -> tuple[Point, Grid]:
    """Draw a space, its choices, and a small grid of its coefficients."""
    space = load_space(draw(st.sampled_from(SPACES)))
    if "squeeze_excitation" in space.dimensions:
        space = space.choose(squeeze_excitation=draw(st.booleans()))

    def values(allowed: Range, most: float) -> list[float]:
        return draw(st.lists(st.floats(allowed.min, min(allowed.max, most)), min_size=1, max_size=5))

    pixels = st.integers(space.resolution.min, min(space.resolution.max, 160))
    resolutions = draw(st.lists(pixels, min_size=1, max_size=4))
    resolutions.append(max(max(resolutions), space.smallest_resolution()))
    grid = Grid(tuple(values(space.width, 2)), tuple(values(space.depth, 2.5)), tuple(resolutions))
    return Point(space, 1.0, 1.0, space.base_resolution, draw(st.integers(2, 100)), draw(st.sampled_from((1, 3)))), grid


@settings(max_examples=40)
@given(grids(), st.sampled_from(sorted(KINDS)), st.floats(0.5, 2), st.sampled_from((0.0, 0.02, 0.3)))
def test_they_are_those_that_making_every_network_finds(
    drawn: tuple[Point, Grid], name: str, factor: float, tolerance: float
) -> None:
    near, grid = drawn
    kind: CostKind = KINDS[name]
    middle = near.at(width=grid.widths[0], depth=grid.depths[0], resolution=max(grid.resolutions))
    exact = float(kind.of(count_cost(middle.architecture())))
    target = exact if tolerance == 0 else factor * exact
    found = realised_networks(near, target=target, tolerance=tolerance, kind=kind, grid=grid)
    wanted = by_hand(near, grid, lambda cost: abs(kind.of(cost) - target) <= tolerance * target)
    assert len({one.digest for one in found}) == len(found)
    assert {one.architecture for one in found} == wanted
    assert [one.amount for one in found] == sorted(one.amount for one in found)
    for one in found:
        assert one.cost == count_cost(one.architecture) and one.amount == kind.of(one.cost)
        assert one.point.architecture() == one.architecture
        assert (one.point.num_classes, one.point.in_channels) == (near.num_classes, near.in_channels)


def test_the_coefficients_nearest_to_those_asked_for_stand_for_a_network() -> None:
    space = load_space("resnet_small")
    grid = Grid((0.8, 1.0, 1.03, 1.9), (0.6, 0.7, 1.0), (16, 32))
    flops = count_cost(space.architecture(resolution=32, num_classes=10)).flops
    (low,) = realised_networks(Point(space, 1.01, 0.65, 32, 10), target=flops, tolerance=0.01, grid=grid)
    assert (low.point.width, low.point.depth, low.point.resolution) == (1.0, 0.7, 32)
    (high,) = realised_networks(Point(space, 1.09, 2.0, 32, 10), target=flops, tolerance=0.01, grid=grid)
    assert high.digest == low.digest and (high.point.width, high.point.depth) == (1.03, 1.0)


def narrow_first(*strides: int) -> SearchSpace:
    """Return a space whose deeper networks alone have its largest blocks; stages of stride 1 are alike."""
    row = {"block": "mbconv", "expansion": 6, "channels": 32, "repeats": 1}
    return SearchSpace.model_validate(
        {
            "name": "narrow_first",
            "stem": [{"layer": "conv", "kernel": 3, "stride": 1, "channels": 8}],
            "stages": [{**row, "stride": stride} for stride in strides],
            "base_resolution": 32,
            "width": {"min": 0.5, "max": 2},
            "depth": {"min": 0.5, "max": 4},
            "resolution": {"min": 8, "max": 64},
        }
    )


@pytest.mark.parametrize("strides", [(1, 2), (1, 1, 2)])
@pytest.mark.parametrize("kind", COSTS.values(), ids=COSTS)
def test_blocks_that_only_deeper_networks_have_count_there_only(kind: CostKind, strides: tuple[int, ...]) -> None:
    near, grid = Point(narrow_first(*strides), 1.0, 1.0, 32, 10), Grid((0.5, 1.0, 1.5), (1.0, 2.0, 3.0), (9, 16, 32))
    amounts = {kind.of(count_cost(network)) for network in by_hand(near, grid, lambda cost: True)}
    for target in amounts:
        found = realised_networks(near, target=target, tolerance=0, kind=kind, grid=grid)
        assert {one.architecture for one in found} == by_hand(near, grid, partial(has, kind, target))


def has(kind: CostKind, amount: float, cost: Cost) -> bool:
    return kind.of(cost) == amount


def test_without_a_grid_the_steps_of_the_space_are_meant() -> None:
    grid = grid_of(load_space("resnet_small"))
    assert grid.widths[:2] == (0.25, 0.375) and grid.widths[-1] == 4.0 and len(grid.widths) == 31
    assert grid.resolutions == tuple(range(8, 65, 2))
    space = load_space("resnet_small").model_copy(
        update={"width": Range(min=0.5, max=1.5), "depth": Range(min=1, max=1)}
    )
    grid = grid_of(space)
    assert len(grid.widths) == 101 and grid.widths[1] == pytest.approx(0.51) and grid.depths == (1.0,)
    found = realised_networks(Point(space, 1.0, 1.0, 32, 10), target=5e6)
    assert found and all(abs(one.cost.flops - 5e6) <= 1e5 for one in found)


def test_efficientnet_has_every_step_up_to_its_borders() -> None:
    grid = grid_of(load_space("efficientnet"))
    assert (grid.widths[-1], grid.depths[-1], grid.resolutions[-1]) == (2.5, 4.0, 672)
    assert all(value == round(value, 2) for value in (*grid.widths, *grid.depths))


@pytest.mark.parametrize("target", [0, -1, float("nan"), float("inf")])
def test_a_target_that_is_none_is_refused(target: float) -> None:
    near = Point(load_space("resnet_small"), 1.0, 1.0, 32, 10)
    with pytest.raises(ConfigError, match="a target above 0 and a tolerance in"):
        realised_networks(near, target=target, kind=FLOPS)
    with pytest.raises(ConfigError, match="a target above 0 and a tolerance in"):
        realised_networks(near, target=1e6, tolerance=-target if target < 0 else target or 1.0)


def test_a_grid_beyond_the_space_is_refused() -> None:
    near = Point(load_space("resnet_small"), 1.0, 1.0, 32, 10)
    with pytest.raises(ConfigError, match="width 9 is out of range: resnet_small allows"):
        realised_networks(near, target=1e6, grid=Grid((1.0, 9.0), (1.0,), (32,)))
