"""What is learned does not depend on the unit of the scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.fronts.geometry import Array
from nas.sampling.scores import as_errors


def example(count: int = 40, floor: float = 0.05) -> tuple[Array, Array]:
    """Return points and losses that fall towards a floor by a power of the first dimension."""
    points = np.random.default_rng(0).random((count, 2))
    return points, floor + 0.5 * np.exp(-3 * points[:, 0]) * (1 + 0.1 * points[:, 1])


@settings(max_examples=25)
@given(scale=st.floats(1e-3, 1e4), offset=st.floats(-1e3, 1e3), count=st.integers(1, 40))
def test_scale_and_offset_make_no_difference(scale: float, offset: float, count: int) -> None:
    points, losses = example(count)
    plain = as_errors(losses, points, np.zeros(2, bool))
    np.testing.assert_allclose(as_errors(scale * losses + offset, points, np.zeros(2, bool)), plain, rtol=1e-5)


@pytest.mark.parametrize("floor", [0.0, 0.05, 5.0])
def test_the_floor_is_found_whatever_is_added(floor: float) -> None:
    points, losses = example(floor=floor)
    errors = as_errors(losses, points, np.zeros(2, bool))
    true = losses - floor
    # up to a factor the errors above the floor, whose logarithm is nearly linear here
    assert np.std(np.log(errors) - np.log(true)) < 0.1 * np.std(np.log(true))


def test_few_and_equal_losses_are_errors_too() -> None:
    for losses in ([], [0.5], [0.5, 0.7], [0.3] * 5):
        errors = as_errors(np.array(losses), np.zeros((len(losses), 2)), np.zeros(2, bool))
        assert errors.shape == (len(losses),) and (errors > 0).all()


def test_order_is_kept() -> None:
    points, losses = example()
    errors = as_errors(losses, points, np.zeros(2, bool))
    assert (np.argsort(errors) == np.argsort(losses)).all()
