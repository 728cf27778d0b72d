"""What is learned does not depend on the unit of the scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.fronts.geometry import Array
from nas.sampling.scores import as_errors


def example(count: int = 40) -> Array:
    """Return losses that fall towards a floor."""
    return 0.05 + 0.5 * np.exp(-3 * np.random.default_rng(0).random(count))


@settings(max_examples=25)
@given(scale=st.floats(1e-3, 1e4), offset=st.floats(-1e3, 1e3), count=st.integers(1, 40))
def test_scale_and_offset_make_no_difference(scale: float, offset: float, count: int) -> None:
    losses = example(count)
    np.testing.assert_allclose(as_errors(scale * losses + offset), as_errors(losses), rtol=1e-5)


@pytest.mark.parametrize("outlier", [0.6, 1e3])
def test_the_better_half_sets_the_scale(outlier: float) -> None:
    np.testing.assert_allclose(as_errors(np.array([0.3, 0.1, 0.2, 0.2, outlier]))[:3], [4, 2, 3])


def test_few_and_equal_losses_are_errors_too() -> None:
    for losses in ([], [0.5], [0.5, 0.7], [0.3] * 5, [0.3, 0.3, 0.3, 0.7]):
        errors = as_errors(np.array(losses))
        assert errors.shape == (len(losses),) and (errors > 0).all()


def test_order_is_kept() -> None:
    losses = example()
    assert (np.argsort(as_errors(losses)) == np.argsort(losses)).all()
