"""Parts of a source: disjoint, complete, in proportion, and no class left out that has the images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.sources import DataConfig, load_data, load_test
from nas.data.split import Minimum, _in_proportion, at_most, carve, nested
from nas.data.types import ImageSet, part_of, resembles_part
from nas.errors import DataError


def images_of(counts: list[int]) -> ImageSet:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)
    return ImageSet(np.zeros((len(labels), 1, 1, 1), np.uint8), labels)


def names(counts: list[int]) -> tuple[str, ...]:
    return tuple(f"class{i}" for i in range(len(counts)))


@settings(max_examples=150)
@given(
    counts=st.lists(st.integers(0, 40), min_size=2, max_size=8).filter(lambda counts: sum(counts) > 1),
    share=st.floats(0.01, 0.99),
    kept=st.integers(1, 2),
    seed=st.integers(0, 3),
)
def test_parts_are_whole_in_proportion_and_leave_no_class_out(
    counts: list[int], share: float, kept: int, seed: int
) -> None:
    images, everything = images_of(counts), np.arange(sum(counts))
    first, second = carve(everything, images, share, seed, names(counts), minimum=Minimum(kept, 1))
    assert np.array_equal(np.sort(np.concatenate([first, second])), everything)
    carved = np.bincount(images.labels[second], minlength=len(counts))
    for number, count in zip(carved, counts, strict=True):
        assert abs(number - share * count) <= (2 if kept == 2 and count * (1 - share) < 1 else 1) + 1e-9
        assert count - number >= min(count, kept)
        assert number >= 1 or count <= kept
    plain = _in_proportion(images.labels, share, seed)
    if plain is not None and all(
        np.bincount(images.labels[plain[1]], minlength=len(counts))[i] in range(1, count - kept + 1)
        for i, count in enumerate(counts)
    ):
        assert np.array_equal(second, np.sort(plain[1]))


@settings(max_examples=100)
@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=8), data=st.data())
def test_a_limit_is_kept_and_rare_classes_too(counts: list[int], data: st.DataObject) -> None:
    limit = data.draw(st.integers(2 * len(counts), max(2 * len(counts), sum(counts))))
    images = images_of(counts)
    chosen = at_most(np.arange(sum(counts)), images, limit, 0, names(counts), least=2)
    assert len(chosen) == min(limit, sum(counts)) == len(set(chosen.tolist()))
    kept = np.bincount(images.labels[chosen], minlength=len(counts))
    assert all(number >= min(2, count) for number, count in zip(kept, counts, strict=True))


def test_three_images_of_each_class_suffice() -> None:
    np.savez("three.npz", x=np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4), y=np.arange(6) % 2)
    config = DataConfig.model_validate({"npz": "three.npz"})
    dataset, test = load_data(config), load_test(config)
    parts = (dataset.train, dataset.validation, test)
    assert all(sorted(part.labels.tolist()) == [0, 1] for part in parts)
    earlier = config.model_copy(update={"every_class": False})
    with pytest.raises(DataError, match="too few to split"):
        load_data(earlier)


def test_two_images_of_each_class_are_too_few() -> None:
    np.savez("two.npz", x=np.arange(4 * 16, dtype=np.uint8).reshape(4, 4, 4), y=np.arange(4) % 2)
    with pytest.raises(DataError, match="two: has too few images: there are no test images; three of a class"):
        load_data(DataConfig.model_validate({"npz": "two.npz"}))


def test_rare_classes_are_told() -> None:
    labels = np.array([0] * 50 + [1] * 40 + [2] * 2 + [3])
    np.savez("rare.npz", x=np.zeros((93, 4, 4), np.uint8), y=labels, classes=np.array(["a", "b", "c", "d", "e"]))
    dataset = load_data(DataConfig.model_validate({"npz": "rare.npz", "limit": 20}))
    assert (len(dataset.train) + len(dataset.validation)) == 20
    assert 2 in dataset.train.labels and 2 in dataset.validation.labels and 3 in dataset.train.labels
    told = "\n".join(dataset.notes)
    assert "there are no training images of class 'e'" in told
    assert "there are no validation images of classes 'd', 'e'" in told
    assert "there are no test images of classes 'c', 'd', 'e'" in told


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Training", "train"),
        ("TRAIN", "train"),
        ("train_set", "train"),
        ("trainset", "train"),
        ("TrainImages", "train"),
        ("Valid", "validation"),
        ("dev", "validation"),
        ("ValSet", "validation"),
        ("evaluation", "validation"),
        ("test_images", "test"),
        ("Testing Data", "test"),
        ("steam train", None),
        ("tester", None),
        ("dataset", None),
        ("", None),
    ],
)
def test_parts_are_known_by_their_common_names(name: str, part: str | None) -> None:
    assert part_of(name) == part
    assert resembles_part("seg_train") == "train" and part_of("seg_train") is None


@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=8),
    numbers=st.lists(st.integers(1, 300), min_size=2, max_size=2).map(sorted),
)
def test_fewer_training_images_are_among_more_and_in_proportion(counts: list[int], numbers: list[int]) -> None:
    images, everything = images_of(counts), np.arange(sum(counts))[::2]
    fewer, more = (nested(everything, images, number, 0) for number in numbers)
    assert set(fewer) <= set(more) <= set(everything)
    assert len(fewer) == min(numbers[0], len(everything))
    shares = np.bincount(images.labels[everything], minlength=len(counts)) * len(fewer) / len(everything)
    assert np.all(np.abs(np.bincount(images.labels[fewer], minlength=len(counts)) - shares) <= 1)


def test_fewer_training_images_leave_the_validation_images_as_they_are() -> None:
    whole, half = (load_data(DataConfig(digits=True, train_images=number)) for number in (None, 300))
    assert len(half.train) == 300
    assert np.array_equal(whole.validation.stored, half.validation.stored)
    assert half.identity.content == whole.identity.content
