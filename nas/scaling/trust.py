"""How far a short training tells which network is better after a long one.

Networks that were trained both ways are put in the order of either; Kendall's tau says how far the orders agree, band
by band of the FLOPs, for over a wide range of cost any training tells cheap from dear. What seeds alone leave of an
order is the ceiling: the tau between two trainings of the same kind.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import kendalltau

from nas.errors import StudyError
from nas.fronts.geometry import Array
from nas.scaling.evidence import Evidence, TrainedNetwork
from nas.scaling.intervals import Interval, interval
from nas.scaling.ridge import DRAWS
from nas.units import format_count

FEWEST = 8
"""Networks that a band needs."""
BANDS = 3
HOLDS = 0.5
"""An order holds where the whole interval of tau is above this: three pairs of four are in the same order."""


class Band(NamedTuple):
    """Networks of about the same cost.

    Attributes:
        flops: Of the cheapest and of the dearest.
        networks: How many.
        tau: Kendall's, of the two orders.
        regret: Accuracy lost by the choice of the short training, by what the long ones are expected to be worth.
    """

    flops: tuple[float, float]
    networks: int
    tau: Interval
    regret: Interval

    @property
    def holds(self) -> bool:
        """Whether the order of the short trainings is that of the long ones."""
        return self.tau.low > HOLDS


@dataclass(frozen=True, slots=True)
class Trust:
    """What a short training tells of a long one.

    Attributes:
        short: The short training in words.
        long: The long training in words.
        bands: By cost; empty where it cannot be told.
        together: All networks as one band; None where it cannot be told.
        ceiling: Mean tau between two seeds of the long training, over networks that have several; None where fewer
            than eight have.
        reason: Why it cannot be told; empty where it can.
    """

    short: str
    long: str
    bands: tuple[Band, ...]
    together: Band | None
    ceiling: float | None
    reason: str = ""

    @property
    def holding(self) -> tuple[Band, ...]:
        """The bands from the cheapest on in which the order holds."""
        return tuple(itertools.takewhile(lambda band: band.holds, self.bands))

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        if self.reason:
            return f"cannot tell whether {self.short} order networks as {self.long} do: {self.reason}"
        holding, beyond = self.holding, self.bands[len(self.holding) :]
        if not holding:
            return (
                f"the order of {self.short} is not known to hold for any cost ({_tau(self.bands[0])} for the cheapest)"
            )
        upto = f"up to {format_count(holding[-1].flops[1])} FLOPs the order of {self.short} holds"
        return "; ".join([f"{upto} ({', '.join(map(_tau, holding))})", *map(_beyond, beyond[:1])])


def trust(short: Evidence, long: Evidence, *, bands: int = BANDS) -> Trust:
    """Compare the orders of two kinds of training.

    Args:
        short: Trainings that a search would go by.
        long: Longer ones of the same networks.
        bands: Largest number of bands of cost.

    Raises:
        StudyError: The number of bands is not above zero.
    """
    if bands < 1:
        raise StudyError(f"at least one band of cost is needed, but {bands} were given")
    names = _name(short), _name(long)
    known = {network.digest: network for network in short.networks}
    both = [
        (known[network.digest], network) for network in long.only(long.networks).networks if network.digest in known
    ]
    if len(both) < FEWEST:
        return Trust(
            *names, (), None, None, f"needs {FEWEST} networks that were trained both ways; there are {len(both)}"
        )
    first = np.array([one.accuracy for one, _ in both])
    last = np.array([other.accuracy for _, other in both])
    flops = np.array([other.flops for _, other in both], float)
    worth = long.expected([other for _, other in both])
    count = min(bands, len(both) // FEWEST)
    parts = [
        _band(*(values[part] for values in (flops, first, last, worth)))
        for part in np.array_split(np.arange(len(both)), count)
    ]
    return Trust(*names, tuple(parts), _band(flops, first, last, worth), seed_ceiling(long.networks))


def seed_ceiling(networks: Sequence[TrainedNetwork]) -> float | None:
    """Return the mean tau between two seeds over the networks that have several; None where fewer than eight have."""
    several = [tuple(network.accuracies.values()) for network in networks if len(network.accuracies) > 1]
    if len(several) < FEWEST:
        return None
    seeds = np.array([values[: min(map(len, several))] for values in several])
    pairs = itertools.combinations(range(seeds.shape[1]), 2)
    return float(np.mean([tau(seeds[:, one], seeds[:, other]) for one, other in pairs]))


def tau(one: Array, other: Array) -> float:
    """Return Kendall's tau-b; 0 where all values of one are equal, which tell nothing of an order."""
    found = float(kendalltau(one, other).statistic)
    return 0.0 if math.isnan(found) else found


def tau_interval(one: Array, other: Array, drawn: Array) -> Interval:
    """Return Kendall's tau of two orders of networks and its interval, where they were drawn anew so often.

    Args:
        one: Of shape (networks,).
        other: Of shape (networks,).
        drawn: Of shape (draws, networks).
    """
    low, high = interval(drawn_taus(one, other, drawn))
    return Interval(tau(one, other), float(low), float(high))


def drawn_counts(count: int, draws: int = DRAWS) -> Array:
    """Return how often each of some things is drawn, (draws, things)."""
    generator = np.random.default_rng(0)
    return generator.multinomial(count, np.full(count, 1 / count), size=draws).astype(float)


def drawn_taus(one: Array, other: Array, drawn: Array) -> Array:
    """Return tau-b of things that were drawn so often, (draws,); two of the same thing are no pair.

    Args:
        one: By which the things are ordered, (things,).
        other: By which they are ordered too, (things,).
        drawn: Of shape (draws, things).
    """
    signs = np.sign(one[:, None] - one), np.sign(other[:, None] - other)
    agreed = _pairs(signs[0] * signs[1], drawn)
    untied = np.sqrt(_pairs(signs[0] ** 2, drawn) * _pairs(signs[1] ** 2, drawn))
    taus: Array = np.divide(agreed, untied, out=np.zeros_like(agreed), where=untied > 0)
    return taus


def _pairs(values: Array, drawn: Array) -> Array:
    """Return the sums of values over all pairs that were drawn."""
    found: Array = np.einsum("dn,dn->d", drawn @ values, drawn)
    return found


def _band(flops: Array, first: Array, last: Array, worth: Array) -> Band:
    drawn = drawn_counts(len(flops))
    lost = np.array([_regret(first[some], worth[some]) for some in (row > 0 for row in drawn)])
    regret = Interval(_regret(first, worth), *map(float, interval(lost)))
    return Band(
        (float(flops.min()), float(flops.max())),
        len(flops),
        tau_interval(first, last, drawn),
        regret,
    )


def _regret(first: Array, worth: Array) -> float:
    return float(worth.max() - worth[first.argmax()])


def _name(evidence: Evidence) -> str:
    return f"{evidence.epochs} epochs" if evidence.epochs else f"the trainings of {evidence.source}"


def _tau(band: Band) -> str:
    return f"τ {band.tau.value:.2f} [{band.tau.low:.2f}, {band.tau.high:.2f}]"


def _beyond(band: Band) -> str:
    """Say what is known of the first band in which the order does not hold."""
    known = "does not hold" if band.tau.high < HOLDS else "is not known"
    return f"above, it {known} ({_tau(band)})"
