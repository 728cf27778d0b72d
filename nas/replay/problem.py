"""What a search is replayed on: a space, costs that are known, and what training each network would have shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from nas.fronts.geometry import Array, front_reference, hypervolume
from nas.sampling.points import Parameters, unit
from nas.search.proposals import Networks, distributions
from nas.tables import Table


class Entry(NamedTuple):
    """A network of a table.

    Attributes:
        cost: To be minimised, above zero.
        accuracies: After each epoch, in 0 to 1; what counts is the last.
        seconds: Of an epoch.
    """

    cost: float
    accuracies: tuple[float, ...]
    seconds: float = 1.0


@dataclass(frozen=True)
class Problem:
    """A table that searches are replayed on.

    Attributes:
        space: Distributions of the parameters.
        entries: Networks by identity.
        identity: Of a point; equal ones are the same network.
        allowed: Whether a point may be proposed.
    """

    space: Mapping[str, BaseDistribution]
    entries: Mapping[Hashable, Entry]
    identity: Callable[[Parameters], Hashable]
    allowed: Callable[[Parameters], bool]

    @property
    def epochs(self) -> int:
        """Epochs of a whole training: those of the longest."""
        return max(len(entry.accuracies) for entry in self.entries.values())

    @property
    def compute(self) -> float:
        """Sum of the cost over all epochs of all networks."""
        return sum(entry.cost * len(entry.accuracies) for entry in self.entries.values())


class Yardstick:
    """Measures fronts by their share of the hypervolume of the whole table's front.

    As for a study (``nas/fronts/growth.py``), in the plane of the logarithm of the cost and the error.
    """

    def __init__(self, problem: Problem) -> None:
        """Measure the whole front."""
        entries = list(problem.entries.values())
        self._reference = front_reference(*_plane(entries))
        self._whole = hypervolume(*_plane(entries), **self._reference._asdict())

    def share(self, entries: Sequence[Entry]) -> float:
        """Return the share, in 0 to 1, that some fully trained networks have."""
        return hypervolume(*_plane(entries), **self._reference._asdict()) / self._whole


def _plane(entries: Sequence[Entry]) -> tuple[Array, Array]:
    costs = np.array([math.log(entry.cost) for entry in entries])
    return costs, np.array([1 - entry.accuracies[-1] for entry in entries])


def problem_of(table: Table) -> Problem:
    """Return the problem of a table: its study's space, of which other points are taken for the nearest known."""
    networks = Networks(table.study, table.kind)
    space = distributions(table.study.search)
    first = table.frame[table.frame["repeat"] == 0].drop_duplicates("digest")
    epochs = {digest: curves[0] for digest, curves in table.curves.items() if 0 in curves}
    entries: dict[Hashable, Entry] = {
        digest: Entry(
            float(flops),
            tuple(epoch.val_accuracy for epoch in epochs[digest]),
            sum(epoch.seconds for epoch in epochs[digest]) / len(epochs[digest]),
        )
        for digest, flops in zip(first["digest"], first["flops"], strict=True)
    }
    known = [{name: row[name] for name in space if name in row} for row in first.to_dict("records")]
    places, digests = np.array([_place(point, space) for point in known]), list(first["digest"])

    def identity(parameters: Parameters) -> Hashable:
        network = networks(parameters)
        if network.digest in entries or not network.allowed:
            return network.digest
        apart = np.abs(places - _place(parameters, space)).sum(axis=1)
        return str(digests[int(apart.argmin())])

    return Problem(space, entries, identity, lambda parameters: networks(parameters).allowed)


def _place(parameters: Parameters, space: Mapping[str, BaseDistribution]) -> Array:
    """Return a point as numbers; categories that differ are one apart."""
    place = list[float]()
    for name, distribution in space.items():
        value = parameters.get(name)
        if isinstance(distribution, CategoricalDistribution):
            place += [0.5 * (choice == value) for choice in distribution.choices]
        else:
            inner = distribution.to_internal_repr(value if value is not None else distribution.low)  # type: ignore[attr-defined]
            place.append(float(unit(np.array([inner]), distribution)[0]))
    return np.array(place)
