"""What a candidate may add to the hypervolume, where its error is certain."""

from __future__ import annotations

import numpy as np
import pytest

from nas.fronts.geometry import front_steps
from nas.sampling.gaussian_process import Prediction
from nas.sampling.improvement import expected_improvement

STEPS = front_steps(np.array([1.0]), np.array([0.5]), reference_cost=2.0, reference_error=1.0)


@pytest.mark.parametrize(
    ("cost", "error", "expected"),
    [
        (0.5, 0.25, 0.5 * 0.75 + 1.0 * 0.25),
        (0.5, 0.7, 0.5 * 0.3),
        (1.0, 0.25, 0.25),
        (1.5, 0.25, 0.5 * 0.25),
        (1.5, 0.7, 0.0),  # beaten
        (0.5, 1.2, 0.0),  # beyond the reference
        (2.0, 0.1, 0.0),
        (3.0, 0.1, 0.0),
    ],
)
def test_of_a_certain_error_it_is_the_area_that_is_added(cost: float, error: float, expected: float) -> None:
    for std in (0.0, 1e-7):
        certain = Prediction(np.log([error]), np.array([std]))
        assert expected_improvement(STEPS, np.array([cost]), certain) == pytest.approx([expected], abs=1e-6)


def test_an_uncertain_error_promises_more() -> None:
    stds = np.array([0.01, 0.1, 0.5])
    gains = expected_improvement(STEPS, np.full(3, 1.5), Prediction(np.log([0.6] * 3), stds))
    assert 0 <= gains[0] < 1e-9 < gains[1] < gains[2]
