"""Claim: the closed form equals what is measured on the built module, for 2,000 random networks over all spaces.

Networks are drawn from every shipped space at random width, depth and resolution, with a random choice of kernel,
expansion, cardinality, activation and squeeze-and-excitation. FLOPs by operator, activations and parameters are
compared with fvcore's, and the peak of activation memory with the module's traced graph, each section by section.

Run as ``python tests/benchmarks/equality.py [NETWORKS]``; 2,000 take about ten minutes on one core.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter

import torch
from rich.progress import track

import nas
from nas.architecture.space import SearchSpace
from nas.architecture.spec import Architecture
from nas.schema import shipped

VALUES = {
    "kernel": (1, 3, 5, 7),
    "expansion": (1, 2, 3, 4, 6),
    "cardinality": (1, 2, 4, 8, 16, 32),
    "activation": ("relu", "prelu", "leaky_relu", "elu", "silu", "gelu", "hardswish"),
    "squeeze_excitation": (True, False),
}


def main() -> int:
    """Compare the networks, print the count of each space and of the differences, return the exit code."""
    networks = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    torch.set_num_threads(1)
    spaces = [nas.load_space(path) for path in sorted(shipped("search_spaces").glob("*.yaml"))]
    generator = random.Random(0)
    compared: Counter[str] = Counter()
    digests, differences = set(), []
    start = time.perf_counter()
    for index in track(range(networks), description="comparing", transient=True):
        space = spaces[index % len(spaces)]
        architecture = draw(space, generator)
        if nas.measure_cost(nas.build_model(architecture), architecture) != nas.count_cost(architecture):
            differences.append(architecture.name)
        compared[space.name] += 1
        digests.add(architecture.digest)
    for name, count in compared.items():
        print(f"  {name:<22} {count:5}")
    print(f"{networks} networks, {len(digests)} of them distinct, in {time.perf_counter() - start:.0f} s")
    for name in differences:
        print(f"  differs: {name}")
    print(f"{'PASS' if not differences else 'FAIL'}: {len(differences)} differences")
    return 1 if differences else 0


def draw(space: SearchSpace, generator: random.Random) -> Architecture:
    """Return a random network; large spaces are drawn small, since measuring is what takes the time."""
    opened = [key for key in space.dimensions if generator.random() < 0.5]
    space = space.choose(**{key: generator.choice(VALUES[key]) for key in opened})
    small = space.base_resolution <= 64
    lowest = max(space.resolution.min, space.smallest_resolution())
    highest = max(lowest, min(space.resolution.max, 64 if small else 128))
    return space.architecture(
        width=generator.uniform(space.width.min, 2.0 if small else 1.0),
        depth=generator.uniform(space.depth.min, 2.0 if small else 1.0),
        resolution=generator.randint(lowest, highest),
        num_classes=generator.choice((2, 10, 100, 1000)),
        in_channels=generator.choice((1, 3)),
    )


if __name__ == "__main__":
    sys.exit(main())
