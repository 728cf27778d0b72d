"""Claims: counting EfficientNet-B0 is 2,000 times as fast as measuring it, and 100,000 networks take less than 15 s.

The closed form is timed with the making of the architecture from its coefficients, which is what a proposal of a search
costs, and fvcore on a module that is built already, which is in its favour. Both run in one thread, and both give the
same figures or the claim fails. Blocks and their costs are remembered by value, so a network is slower to count when
none of its blocks was met before; that figure is shown too and is no part of the claim.

The 100,000 networks are random (width, depth, resolution) points of the ``efficientnet`` space, made and counted in one
process that begins with nothing remembered.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable

import torch

import nas
from nas.architecture.cost import _count_block
from nas.architecture.memory import _block_peak
from nas.architecture.shapes import trace_block
from nas.architecture.spec import Architecture

REPEATS = 500
MEASUREMENTS = 7
RATIO_CLAIM = 2_000
POINTS = 100_000
POINTS_CLAIM_SECONDS = 15.0


def main() -> int:
    """Time both claims, print the figures, return the exit code."""
    # on a busy machine fvcore's threads wait seconds for each other, which would flatter the closed form
    torch.set_num_threads(1)
    holds = [claim_of_points(), claim_of_ratio()]
    return 0 if all(holds) else 1


def claim_of_points() -> bool:
    """Make and count random networks, and tell whether they took less than claimed."""
    space = nas.load_space("efficientnet")
    generator = random.Random(0)
    points = [
        (
            generator.uniform(space.width.min, space.width.max),
            generator.uniform(space.depth.min, space.depth.max),
            generator.randint(space.resolution.min, space.resolution.max),
        )
        for _ in range(POINTS)
    ]
    forget()
    start = time.perf_counter()
    for width, depth, resolution in points:
        nas.count_cost(space.architecture(width=width, depth=depth, resolution=resolution, num_classes=1000))
    seconds = time.perf_counter() - start
    holds = seconds < POINTS_CLAIM_SECONDS
    print(f"{POINTS:,} random networks of {space.name}: {seconds:.1f} s, {1e6 * seconds / POINTS:.0f} us each")
    print(f"{'PASS' if holds else 'FAIL'}: less than {POINTS_CLAIM_SECONDS:g} s")
    return holds


def claim_of_ratio() -> bool:
    """Time the closed form and fvcore on EfficientNet-B0, and tell whether the ratio is as claimed."""
    space = nas.load_space("efficientnet")

    def make() -> Architecture:
        return space.architecture(width=1.0, depth=1.0, resolution=224, num_classes=1000)

    architecture = make()
    model = nas.build_model(architecture)
    # the first calls import fvcore and fill the memory of blocks, and are not timed
    measured, counted = nas.measure_cost(model, architecture), nas.count_cost(make())
    fvcore_alone = fvcore_on(model, architecture)
    fvcore_alone()

    unmade = median_seconds(lambda: nas.count_cost(architecture), repeats=REPEATS)
    made = median_seconds(lambda: nas.count_cost(make()), repeats=REPEATS)
    new = median_seconds(lambda: nas.count_cost(make()), repeats=REPEATS, before=forget)
    fvcore = median_seconds(fvcore_alone, repeats=MEASUREMENTS)

    print(
        f"EfficientNet-B0 at 224 px, {counted.flops:,} FLOPs; medians of {REPEATS} counts, {MEASUREMENTS} measurements"
    )
    print(f"  fvcore on the built module       {1e6 * fvcore:10,.0f} us")
    for name, seconds in (
        ("closed form", unmade),
        ("closed form and making", made),
        ("the same, no block met before", new),
    ):
        print(f"  {name:<32} {1e6 * seconds:10,.0f} us  {fvcore / seconds:8,.0f}x")
    if measured != counted:
        print(f"measured is {measured}, but the closed form gives {counted}")
    holds = measured == counted and fvcore / made >= RATIO_CLAIM
    print(f"{'PASS' if holds else 'FAIL'}: closed form and making at least {RATIO_CLAIM:,}x as fast as fvcore")
    return holds


def fvcore_on(model: torch.nn.Module, architecture: Architecture) -> Callable[[], object]:
    """Return a function that has fvcore count FLOPs and activations, which is what ``measure_cost`` has it do."""
    from nas.models.measure import _analyse

    images = torch.zeros(1, architecture.in_channels, architecture.resolution, architecture.resolution)
    return lambda: _analyse(model.eval(), images)


def forget() -> None:
    """Empty what is remembered of blocks."""
    for remembered in (trace_block, _count_block, _block_peak):
        remembered.cache_clear()


def median_seconds(
    function: Callable[[], object], *, repeats: int, before: Callable[[], object] = lambda: None
) -> float:
    """Return the median time of a call; ``before`` runs ahead of each and is not timed."""
    seconds = []
    for _ in range(repeats):
        before()
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
