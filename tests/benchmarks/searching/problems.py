"""Problems that searches are replayed on: every network is known, so the front is too."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from nas.replay.problem import Entry, Problem, problem_of
from nas.tables import read_table

TABLE = Path("studies/results/scaling_table/table_cifar10.csv.gz")


def scaling_table(path: Path) -> Problem:
    return problem_of(read_table(path))


def categorical() -> Problem:
    """Seven dimensions of four categories; the error has a term for each and for each pair, the cost one for each."""
    random = np.random.default_rng(7)
    names, choices = [f"layer_{i}" for i in range(7)], ("conv3", "conv5", "pool", "skip")
    factor = np.exp(random.normal(0, 0.35, (7, 4)))
    alone, pairs = random.normal(0, 0.5, (7, 4)), random.normal(0, 0.22, (7, 7, 4, 4))

    def entry(point: tuple[int, ...]) -> Entry:
        cost = 1e6 * float(np.prod([factor[i, c] for i, c in enumerate(point)]))
        score = sum(alone[i, c] for i, c in enumerate(point))
        score += sum(pairs[i, j, point[i], point[j]] for i, j in itertools.combinations(range(7), 2))
        return Entry(cost, (1 - error_of(score - 0.9 * math.log(cost / 1e6), seed=hash(point)),))

    return _whole({name: CategoricalDistribution(choices) for name in names}, entry)


def interactions() -> Problem:
    """Scaling with a ridge: what a dimension is worth depends on the others, and differs between two families."""
    space: dict[str, BaseDistribution] = {
        "family": CategoricalDistribution(("a", "b")),
        "width": IntDistribution(4, 40, step=2),
        "depth": IntDistribution(1, 12),
        "resolution": IntDistribution(8, 40, step=4),
    }

    def entry(point: tuple[int, ...]) -> Entry:
        family, width, depth, pixels = point[0], 4 + 2 * point[1], 1 + point[2], 8 + 4 * point[3]
        cost = 40.0 * depth * width**2 * (pixels / 8) ** 2
        balance = math.log(width) - 1.3 * math.log(depth) - (0.8 if family else 1.6)
        sharp = math.log(pixels) - 0.7 * math.log(width) - (1.5 if family else 1.1)
        score = 0.55 * balance**2 + 0.9 * sharp**2 - 0.32 * math.log(cost / 1e5) - 0.15 * family * (depth > 4)
        return Entry(cost, (1 - error_of(score, seed=hash(point)),))

    return _whole(space, entry)


def public(path: Path, prefix: str) -> Problem:
    frame = pd.read_csv(path)
    names = [name for name in frame.columns if name.startswith(prefix)]
    entries = {
        tuple(row[: len(names)]): Entry(float(row[-2]), (float(row[-1]),))
        for row in frame[[*names, "flops", "accuracy"]].itertuples(index=False, name=None)
    }
    space = {name: CategoricalDistribution(sorted(frame[name].unique())) for name in names}
    return Problem(space, entries, lambda point: tuple(point[name] for name in names), lambda point: True)


def error_of(score: float, *, seed: int) -> float:
    """Return an error between 5 and 95 %, with half a percent of noise that belongs to the point."""
    noise = np.random.default_rng(abs(seed)).normal(0, 0.005)
    return float(np.clip(0.05 + 0.9 / (1 + math.exp(-score)) * 0.6 + noise, 0.01, 0.99))


def _whole(space: Mapping[str, BaseDistribution], entry: Callable[[tuple[int, ...]], Entry]) -> Problem:
    """Return the problem of all points of a space; points are tuples of the positions of their values."""
    values = {name: _values(distribution) for name, distribution in space.items()}
    positions = {name: {value: index for index, value in enumerate(found)} for name, found in values.items()}
    entries = {point: entry(point) for point in itertools.product(*(range(len(found)) for found in values.values()))}
    return Problem(
        space, entries, lambda point: tuple(positions[name][point[name]] for name in values), lambda point: True
    )


def _values(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution)
    return list(range(distribution.low, distribution.high + 1, distribution.step))
