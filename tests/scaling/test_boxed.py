"""The least of a quadratic where a plane cuts a box."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nas.scaling.boxed import Box, least_on_plane


@given(st.integers(0, 10_000), st.booleans())
def test_no_point_of_the_box_on_the_plane_is_less(seed: int, bowl: bool) -> None:
    generator = np.random.default_rng(seed)
    root = generator.standard_normal((3, 3))
    hessian = root @ root.T if bowl else root + root.T
    gradient, normal = generator.standard_normal(3), generator.uniform(0.5, 2, 3)
    box = Box(-generator.uniform(0.1, 2, 3), generator.uniform(0.1, 2, 3))
    level = float(generator.uniform(normal @ box.low, normal @ box.high))
    found = least_on_plane(gradient[None], hessian[None], normal, level, box)
    place = found.places[0]
    assert abs(normal @ place - level) < 1e-8
    assert (place >= box.low - 1e-8).all() and (place <= box.high + 1e-8).all()
    axes = [np.linspace(low, high, 41) for low, high in zip(box.low[:2], box.high[:2], strict=True)]
    grid = np.stack(np.meshgrid(*axes), axis=-1)
    rest = (level - grid @ normal[:2]) / normal[2]
    points = np.concatenate([grid, rest[..., None]], -1).reshape(-1, 3)
    points = points[(rest.ravel() >= box.low[2]) & (rest.ravel() <= box.high[2])]

    def value(at: np.ndarray) -> np.ndarray:
        return at @ gradient + 0.5 * np.einsum("...i,ij,...j", at, hessian, at)

    assert (value(points) >= value(place) - 1e-8).all()
    at_end = np.where(found.ends[0] < 0, box.low, np.where(found.ends[0] > 0, box.high, place))
    assert np.allclose(at_end, place)


def test_a_plane_that_misses_the_box_has_no_least_point() -> None:
    box = Box(np.zeros(3), np.ones(3))
    found = least_on_plane(np.ones((2, 3)), np.tile(np.eye(3), (2, 1, 1)), np.ones(3), 4.0, box)
    assert np.isnan(found.places).all()


def test_a_variable_that_costs_nothing_is_free() -> None:
    box = Box(-np.ones(3), np.ones(3))
    found = least_on_plane(np.array([[0.0, 0.0, -0.5]]), np.eye(3)[None], np.array([1.0, 1.0, 0.0]), 0.5, box)
    assert np.allclose(found.places[0], [0.25, 0.25, 0.5])


def test_a_variable_that_cannot_move_lies_at_its_end() -> None:
    box = Box(np.array([-1.0, -1.0, 0.5]), np.array([1.0, 1.0, 0.5]))
    found = least_on_plane(np.zeros((1, 3)), np.diag([1.0, 1.0, 0.0])[None], np.array([1.0, 1.0, 0.0]), 0.5, box)
    assert np.allclose(found.places[0], [0.25, 0.25, 0.5])
    assert found.ends[0].tolist() == [0, 0, -1]
