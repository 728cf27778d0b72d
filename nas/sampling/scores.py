"""What a learned objective says, as errors: positive, to be minimised, the same whatever unit the objective is in."""

from __future__ import annotations

import numpy as np

from nas.fronts.geometry import Array

_FLOOR = 2.0  # below the least loss, in units of the spread of the losses


def as_errors(losses: Array) -> Array:
    """Return losses as errors above a floor; losses times a number, or plus one, give the same errors.

    The logarithm of an error is modelled, so it matters what an error is zero at. An accuracy in percent does not say
    where it ends, nor does a loss. The floor lies twice as far below the least loss as the median lies above it.

    Args:
        losses: To be minimised, (values,), finite.

    Returns:
        Shape (values,), above zero, without a unit.
    """
    if not len(losses):
        return losses
    above: Array = losses - losses.min()
    # of the better half, so that some that learned nothing do not set the scale
    spread = float(np.quantile(above, 0.5)) or float(above.max())
    return np.ones(len(losses)) if spread == 0 else above / spread + _FLOOR
