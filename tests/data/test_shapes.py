"""Shapes hold what their description says: texture only at full resolution, composition in no part alone."""

from __future__ import annotations

import numpy as np

from nas.data.batches import _resize
from nas.data.shapes import CLASSES, SIZE, make_shapes
from nas.data.sources import DataConfig, load_data


def test_classes_come_in_turn_and_fewer_are_the_first_of_more() -> None:
    many, few = make_shapes(40), make_shapes(12)
    assert many.train.images.shape == (40, SIZE, SIZE, 3) and many.classes == CLASSES
    assert np.bincount(many.train.labels).tolist() == [10] * 4
    assert np.array_equal(many.train.images[:12], few.train.images)
    assert len(load_data(DataConfig(shapes=200)).train) == 136


def striped(images: np.ndarray) -> np.ndarray:
    """Return how much more neighbouring columns differ than neighbouring rows: positive for vertical stripes."""
    middle = images.mean(axis=-1)[:, images.shape[1] // 4 : -images.shape[1] // 4]
    return np.abs(np.diff(middle, axis=2)).mean(axis=(1, 2)) - np.abs(np.diff(middle, axis=1)).mean(axis=(1, 2))


def test_texture_is_told_at_full_resolution_and_not_at_half() -> None:
    import torch

    source = make_shapes(400)
    vertical = source.train.labels >= 2
    assert ((striped(source.train.images.astype(float)) > 0) == vertical).mean() > 0.99
    half = _resize(torch.from_numpy(np.array(source.train.images)), SIZE // 2).numpy()
    score = striped(half.astype(float))
    assert abs(((score > np.median(score)) == vertical).mean() - 0.5) < 0.1


def test_neither_shape_alone_tells_whether_they_are_the_same() -> None:
    from nas.data import shapes

    kinds = []
    original = shapes._mask
    try:
        shapes._mask = lambda circle, center, radius: kinds.append(circle) or original(circle, center, radius)
        labels = make_shapes(2000).train.labels
    finally:
        shapes._mask = original
    outer, inner = np.array(kinds[::2]), np.array(kinds[1::2])
    different = labels % 2 == 1
    assert np.array_equal(outer != inner, different)
    for shape in (outer, inner):
        assert abs(np.corrcoef(shape, different)[0, 1]) < 0.07
