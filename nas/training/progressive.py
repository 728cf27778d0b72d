"""Which resolution the training images of an epoch have (Tan & Le 2021, arXiv:2104.00298, §4)."""

from __future__ import annotations

import dataclasses

from nas.architecture.spec import Architecture
from nas.errors import ArchitectureError


def resolution_in(architecture: Architecture, share: float, *, epoch: int, epochs: int) -> int:
    """Return the resolution in an epoch: it rises over the first four fifths, to what the network is meant for.

    Args:
        architecture: Tells the final resolution, and which ones it can be shown.
        share: The first epoch's, as a share of the final one.
        epoch: Counted from 1.
        epochs: Of the whole training.
    """
    final, rising = architecture.resolution, max(1, round(0.8 * epochs)) - 1
    if share == 1 or epoch > rising:
        return final
    wanted = round(final * (share + (1 - share) * (epoch - 1) / rising))
    return next(size for size in range(wanted, final + 1) if _fits(architecture, size))


def _fits(architecture: Architecture, resolution: int) -> bool:
    try:
        dataclasses.replace(architecture, resolution=resolution)
    except ArchitectureError:
        return False
    return True
