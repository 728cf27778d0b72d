"""Width and depth that a network really has: coefficients after its channels and blocks were rounded.

Depth coefficients of 0.75 and 1 may make one network, and 1.25 one of half again as many blocks. Laws over coefficients
take that for scatter: on the two families of ``studies/results/scaling_table``, a plane through the logarithm of the
FLOPs misses by 0.18 and 0.30 octaves with coefficients as they were typed, and by 0.07 and 0.12 with these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nas.architecture.spec import Architecture, walk
from nas.fronts.geometry import Array
from nas.scaling.evidence import Evidence, TrainedNetwork


@dataclass(frozen=True, slots=True)
class Ruler:
    """Measures networks of one space beside one of them, whose coefficients count as they were typed.

    Attributes:
        width: Coefficient of that network.
        depth: Its coefficient.
        network: It.
    """

    width: float
    depth: float
    network: Architecture

    def width_of(self, architecture: Architecture) -> float:
        """Return the width of a network, by the geometric mean of the ratios of its stages' channels."""
        return self.width * float(np.exp(np.log(_channels(architecture) / _channels(self.network)).mean()))

    def depth_of(self, architecture: Architecture) -> float:
        """Return the depth of a network, by its number of blocks."""
        return self.depth * _blocks(architecture) / _blocks(self.network)


def effective(
    evidence: Evidence, made: Callable[[TrainedNetwork], Architecture], *, ruler: Ruler | None = None
) -> Evidence:
    """Return trainings of one family with effective coefficients.

    Args:
        evidence: Of one family.
        made: Returns the architecture of a network.
        ruler: Of whose network the coefficients count as they were typed; default: the dearest.
    """
    if not evidence.networks:
        return evidence
    dearest = evidence.networks[-1]
    ruler = ruler or Ruler(dearest.width, dearest.depth, made(dearest))
    networks = []
    for network in evidence.networks:
        architecture = made(network)
        networks.append(replace(network, width=ruler.width_of(architecture), depth=ruler.depth_of(architecture)))
    return evidence.only(networks)


def _channels(architecture: Architecture) -> Array:
    """Return the channels that leave each stage, (stages,)."""
    steps = ((step.where.partition(".")[0], step.after.channels) for step in walk(architecture))
    return np.array([channels for where, channels in dict(steps).items() if where.startswith("stages")], float)


def _blocks(architecture: Architecture) -> int:
    return sum(len(stage.blocks) for stage in architecture.stages)
