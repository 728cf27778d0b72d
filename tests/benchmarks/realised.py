"""Claim: all networks within 2 % of a FLOPs target among a million coefficients are found in 10 s of one core.

The grid is a hundred widths, depths and resolutions each, spread over the ranges of a space; the target is twice the
cost of the space at (1, 1). Finding includes making the networks and counting each by the closed form.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import nas
from nas.scaling.realised import Grid

SPACES = ("efficientnet", "efficientnet_v2", "resnet", "inception")
VALUES = 100
CLAIM_SECONDS = 10.0


def main() -> int:
    """Time each space, print the figures, return the exit code."""
    return 0 if all([claim(name) for name in SPACES]) else 1


def claim(name: str) -> bool:
    """Find all networks of a space at twice its cost, and tell whether that took less than claimed."""
    space = nas.load_space(name)
    start = nas.Point(space, 1.0, 1.0, space.base_resolution)
    widths, depths, pixels = (
        np.linspace(allowed.min, allowed.max, VALUES) for allowed in (space.width, space.depth, space.resolution)
    )
    grid = Grid(tuple(map(float, widths)), tuple(map(float, depths)), tuple(int(round(value)) for value in pixels))
    target = 2 * nas.count_cost(start.architecture()).flops
    begun = time.process_time()
    found = nas.realised_networks(start, target=target, tolerance=0.02, grid=grid)
    seconds = time.process_time() - begun
    holds = seconds < CLAIM_SECONDS
    print(f"{'PASS' if holds else 'FAIL'}: {name}: {len(found):,} networks of {VALUES**3:,} points, {seconds:.1f} s")
    return holds


if __name__ == "__main__":
    sys.exit(main())
