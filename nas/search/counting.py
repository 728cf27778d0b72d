"""Which networks a study may propose: all of a box of coefficients, or a sample of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nas.architecture.cost import Cost, count_cost
from nas.architecture.spec import Architecture
from nas.config.search import SearchConfig
from nas.config.study import StudyConfig
from nas.data.sources import Dataset
from nas.errors import BudgetError
from nas.sampling.points import Parameters, drawn_points
from nas.search.proposals import all_proposals, architecture_of, distributions
from nas.units import format_count

_WHOLE = 20_000  # points that are few enough to count them all, in seconds or, of large networks, half a minute
_SAMPLES = 2000  # drawn where there are more


@dataclass(frozen=True, slots=True)
class Network:
    """A network and what it costs."""

    architecture: Architecture
    cost: Cost


@dataclass(frozen=True, slots=True)
class Counted:
    """Points of a box, and the distinct networks of the feasible ones, cheapest first by FLOPs."""

    exact: bool
    points: int
    feasible_points: int
    networks: list[Network]

    @property
    def feasible_share(self) -> float:
        """Share of the points whose network meets the budget, in 0 to 1."""
        return self.feasible_points / self.points


def count_networks(config: StudyConfig, dataset: Dataset) -> Counted:
    """Realise all points of the box, or random ones of too many, and keep the networks that the budget allows."""
    points = all_proposals(config.search, limit=_WHOLE)
    exact = points is not None
    if points is None:
        points = drawn_points(distributions(config.search), _SAMPLES, np.random.default_rng(0))
    networks, times_named = _realise(config.search, dataset, points)
    feasible = {digest: network for digest, network in networks.items() if config.budget.allows(network.cost)}
    if not feasible:
        flops = [network.cost.flops for network in networks.values()]
        raise BudgetError(
            f"budget {config.budget}: none of the {'' if exact else 'sampled '}{len(networks)} networks meets it; they"
            f" have {format_count(min(flops))} to {format_count(max(flops))} FLOPs"
        )
    return Counted(
        exact,
        points=len(points),
        feasible_points=sum(times_named[digest] for digest in feasible),
        networks=sorted(feasible.values(), key=lambda network: network.cost.flops),
    )


def _realise(
    search: SearchConfig, dataset: Dataset, points: Iterable[Parameters]
) -> tuple[dict[str, Network], Counter[str]]:
    """Return the distinct networks of points by digest, and how many points name each."""
    networks, times_named = {}, Counter[str]()
    for parameters in points:
        architecture = architecture_of(search, parameters, dataset)
        digest = architecture.digest
        times_named[digest] += 1
        if digest not in networks:
            networks[digest] = Network(architecture, count_cost(architecture))
    return networks, times_named


def evenly_spread(networks: list[Network], number: int) -> list[Network]:
    """Return so many networks, or all of fewer, from the first to the last."""
    last = len(networks) - 1
    return [networks[index] for index in sorted({round(last * i / (number - 1)) for i in range(number)})]


def expected_trainings(search: SearchConfig, counted: Counted) -> float:
    """Return how many trainings to expect of a study."""
    proposed = search.trials * (1.0 if search.sampler == "pareto" else counted.feasible_share)
    return min(proposed, len(counted.networks)) if counted.exact else proposed
