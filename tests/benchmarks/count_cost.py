"""Claim: the closed form counts EfficientNet-B0 at 224 px at least 500 times as fast as fvcore measures it.

The closed form is timed with the making of the architecture from its coefficients, which is what a proposal of a search
costs, and fvcore on a module that is built already, which is in its favour. Both run in one thread, and both give the
same figures or the claim fails. Blocks and their costs are remembered by value, so a network is slower to count when
none of its blocks was met before; that figure is shown too and is no part of the claim.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch

import nas
from nas.architecture.cost import _count_block
from nas.architecture.shapes import trace_block
from nas.architecture.spec import Architecture

REPEATS = 500
MEASUREMENTS = 7
CLAIM = 500


def main() -> int:
    """Time both, print the figures, return the exit code."""
    # on a busy machine fvcore's threads wait seconds for each other, which would flatter the closed form
    torch.set_num_threads(1)
    space = nas.load_space("efficientnet")

    def make() -> Architecture:
        return space.architecture(width=1.0, depth=1.0, resolution=224, num_classes=1000)

    def forget() -> None:
        trace_block.cache_clear()
        _count_block.cache_clear()

    architecture = make()
    model = nas.build_model(architecture)
    # the first calls import fvcore and fill the memory of blocks, and are not timed
    measured, counted = nas.measure_cost(model, architecture), nas.count_cost(make())

    unmade = median_seconds(lambda: nas.count_cost(architecture), repeats=REPEATS)
    made = median_seconds(lambda: nas.count_cost(make()), repeats=REPEATS)
    new = median_seconds(lambda: nas.count_cost(make()), repeats=REPEATS, before=forget)
    fvcore = median_seconds(lambda: nas.measure_cost(model, architecture), repeats=MEASUREMENTS)

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
    holds = measured == counted and fvcore / made >= CLAIM
    if measured != counted:
        print(f"fvcore measures {measured}, but the closed form gives {counted}")
    print(f"{'PASS' if holds else 'FAIL'}: closed form and making at least {CLAIM}x as fast as fvcore")
    return 0 if holds else 1


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
