"""Images that have changed, and images that are there twice."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from nas.data.sources import DataConfig, load_data


def identity(images: np.ndarray, labels: np.ndarray, **more: object) -> object:
    np.savez("data.npz", x=images, y=labels)
    return load_data(DataConfig.model_validate({"npz": "data.npz", **more})).identity


def test_content_tells_images_labels_and_order() -> None:
    images, labels = np.random.default_rng(0).integers(0, 256, (40, 4, 4), np.uint8), np.arange(40) % 2
    first, same = identity(images, labels), identity(images.copy(), labels)
    assert first == same
    order = np.random.default_rng(1).permutation(40)
    for other in (identity(images, 1 - labels), identity(images[order], labels[order])):
        assert other.content[:8] == first.content[:8] and other.content != first.content
    changed = images.copy()
    changed[3, 0, 0] ^= 1
    assert identity(changed, labels).content[:8] != first.content[:8]


def test_images_of_classes_that_are_not_kept_do_not_count() -> None:
    images, labels = np.random.default_rng(0).integers(0, 256, (60, 4, 4), np.uint8), np.arange(60) % 3
    first = identity(images, labels, classes=["0", "1"])
    images[labels == 2] = 0
    assert identity(images, labels, classes=["0", "1"]) == first


def test_equal_images_in_two_parts_or_classes_are_told() -> None:
    images, labels = np.random.default_rng(0).integers(0, 256, (40, 4, 4), np.uint8), np.arange(40) % 2
    test = np.random.default_rng(1).integers(0, 256, (6, 4, 4), np.uint8)
    test[:2] = images[0]
    np.savez("data.npz", x_train=images, y_train=labels, x_test=test, y_test=np.arange(6) % 2)
    parts, classes = load_data(DataConfig(npz=Path("data.npz"))).notes
    assert re.fullmatch("equal images are in two parts: 2 in (training|validation) and test", parts)
    assert classes == "1 image is there under two classes, namely under '0' and '1'"
