"""Which networks tell a law: all of few, and of many the best of each band of cost."""

from __future__ import annotations

import numpy as np
import pytest

from nas.errors import StudyError
from nas.scaling.bands import BANDS, told_by
from nas.scaling.evidence import Evidence, TrainedNetwork
from nas.scaling.laws import fit_law


def family(accuracies: list[tuple[float, ...]], *, seconds: float | None = None) -> Evidence:
    """Return networks whose costs rise by a tenth each."""
    networks = tuple(
        TrainedNetwork(
            f"{index:04d}",
            "space",
            1.0,
            1.0,
            32,
            int(1e6 * 1.1**index),
            100 + index,
            10,
            dict(enumerate(values)),
            seconds,
        )
        for index, values in enumerate(accuracies)
    )
    return Evidence("made", networks, {}, train_images=1000, val_images=1000)


def test_few_networks_are_taken_as_they_were_measured() -> None:
    told = told_by(family([(0.5 + index / 100,) * (1 + index % 3) for index in range(BANDS)]))
    np.testing.assert_allclose(told.error, 0.5 - np.arange(BANDS) / 100)
    assert (told.cost[0], told.best) == (1e6, False)
    assert told.weights.tolist() == [1 + index % 3 for index in range(BANDS)]


def test_of_many_networks_each_band_is_told_by_its_best() -> None:
    wave = np.sin(np.arange(60) * 2.4) * 0.1
    told = told_by(family([(float(0.5 + index / 300 + wave[index]),) * 3 for index in range(60)]))
    assert told.best and len(told.cost) == BANDS
    bands = np.arange(60).reshape(BANDS, 5)
    best = bands[np.arange(BANDS), (np.arange(60) / 300 + wave).reshape(BANDS, 5).argmax(axis=1)]
    np.testing.assert_allclose(np.log(told.cost / 1e6) / np.log(1.1), best, atol=1e-3)


def test_choosing_the_best_makes_no_law_of_noise() -> None:
    """The front of these networks falls with cost, as any front does."""
    determined = 0
    for seed in range(30):
        draws = 0.6 + 0.02 * np.random.default_rng(seed).standard_normal(100)
        told = told_by(family([(float(accuracy),) for accuracy in draws]))
        determined += fit_law(told.cost, told.error, seed=seed).determined
    assert determined <= 1


def test_another_cost_may_be_asked_for() -> None:
    few = family([(0.5,), (0.6,)], seconds=2.0)
    assert told_by(few, cost="params").cost.tolist() == [100, 101]
    assert told_by(few, cost="seconds").cost.tolist() == [2, 2]
    with pytest.raises(StudyError, match="made: the seconds of its networks are not all known"):
        told_by(family([(0.5,), (0.6,)]), cost="seconds")


def test_an_error_of_none_is_half_an_image() -> None:
    assert told_by(family([(1.0,), (0.9,)])).error.tolist() == pytest.approx([0.0005, 0.1])
