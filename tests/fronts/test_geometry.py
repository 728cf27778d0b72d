"""Fronts worked out by hand; their hypervolume is compared with Optuna's beside the sampler."""

from __future__ import annotations

import numpy as np
import pytest

from nas.fronts.geometry import Reference, front_members, front_reference, front_steps, hypervolume

COSTS, ERRORS = np.array([4.0, 3.0, 1.0, 2.0]), np.array([0.1, 0.6, 0.8, 0.5])


def test_of_equal_points_the_first_is_the_member() -> None:
    assert front_members(COSTS, ERRORS) == [2, 3, 0]
    assert front_members(np.array([1.0, 1.0, 2.0]), np.array([0.5, 0.5, 0.5])) == [0]


def test_points_at_the_reference_count_for_nothing() -> None:
    steps = front_steps(COSTS, ERRORS, reference_cost=4.0, reference_error=0.8)
    assert (steps.ends.tolist(), steps.levels.tolist()) == ([2.0, 4.0], [0.8, 0.5])
    assert hypervolume(COSTS, ERRORS, reference_cost=4.0, reference_error=0.8) == pytest.approx(2 * 0.3)


def test_the_reference_lies_a_tenth_of_the_fronts_extent_beyond_it() -> None:
    assert front_reference(COSTS, ERRORS) == pytest.approx(Reference(4.3, 0.87))
    assert front_reference(np.array([5.0, 6.0]), np.array([0.3, 0.9])) == Reference(6.0, 1.3)  # of one member
    assert front_reference(np.zeros(0), np.zeros(0)) == Reference(0.0, 0.0)
