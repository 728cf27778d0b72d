"""The law of the training time: recovered where it is known, and honest about how far off it is."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas.errors import StudyError
from nas.fronts.geometry import Array
from nas.scaling.seconds import SecondsModel, fit_seconds, left_out

TRUTH = SecondsModel(constant=-20.0, flops=0.18, activations=0.76)
TABLE = Path(__file__).parents[2] / "studies" / "results" / "scaling_table" / "table_cifar10.csv.gz"


def networks(count: int, *, noise: float, seed: int = 0) -> tuple[Array, Array, Array]:
    """Return FLOPs, activations and seconds by the law, whose logarithms have noise."""
    generator = np.random.default_rng(seed)
    flops = np.exp(generator.uniform(np.log(3e5), np.log(2e7), count))
    activations = 5 * flops**0.6 * np.exp(generator.normal(0, 0.5, count))
    return flops, activations, TRUTH.predict(flops, activations) * np.exp(generator.normal(0, noise, count))


def test_a_known_law_is_recovered() -> None:
    flops, activations, seconds = networks(9, noise=0.0)
    found = fit_seconds(flops, activations, seconds)
    assert (found.constant, found.flops, found.activations) == pytest.approx((-20.0, 0.18, 0.76), abs=1e-5)
    error = left_out(flops, activations, seconds)
    assert error.largest < 1e-5
    many = fit_seconds(*networks(400, noise=0.15))
    assert (many.flops, many.activations) == pytest.approx((0.18, 0.76), abs=0.03)


def test_a_model_predicts_arrays_and_numbers_in_the_unit_that_it_was_fitted_to() -> None:
    assert float(TRUTH.predict(1, 1)) == pytest.approx(np.exp(-20))
    assert float(TRUTH.predict(32, 1) / TRUTH.predict(1, 1)) == pytest.approx(32**0.18)
    assert TRUTH.predict(np.ones((2, 3)), 5.0).shape == (2, 3)
    assert float(TRUTH.times(400).predict(7e6, 1e5)) == pytest.approx(400 * float(TRUTH.predict(7e6, 1e5)))


def test_what_leaving_one_out_tells_is_what_other_networks_show() -> None:
    told, shown = list[float](), list[float]()
    for seed in range(60):
        flops, activations, seconds = networks(209, noise=0.2, seed=seed)
        model = fit_seconds(flops[:9], activations[:9], seconds[:9])
        others = np.abs(model.predict(flops[9:], activations[9:]) / seconds[9:] - 1)
        shown.append(float(np.median(others)))
        told.append(left_out(flops[:9], activations[:9], seconds[:9]).median)
    assert np.mean(told) == pytest.approx(np.mean(shown), rel=0.15)
    assert np.mean(shown) > 0.1


def test_one_training_that_something_held_up_moves_the_law_little() -> None:
    flops, activations, seconds = networks(9, noise=0.02)
    held = seconds.copy()
    held[4] *= 10
    calm, model = fit_seconds(flops, activations, seconds), fit_seconds(flops, activations, held)
    assert model.predict(flops, activations) == pytest.approx(calm.predict(flops, activations), rel=0.1)
    error = left_out(flops, activations, held)
    assert error.median < 0.1 < 0.8 < error.largest


def test_larger_networks_never_take_less_time() -> None:
    flops, activations, _ = networks(9, noise=0.0)
    found = fit_seconds(flops, activations, 1 / flops)  # which no device does
    assert 0 <= found.flops < 1e-3 and 0 <= found.activations < 1e-3
    assert float(found.predict(1e6, 1e5)) == pytest.approx(float(np.median(1 / flops)), rel=1.0)


@pytest.mark.parametrize("fit", [fit_seconds, left_out])
def test_fewer_than_four_networks_of_different_cost_are_refused(fit: object) -> None:
    assert callable(fit)
    flops, activations, seconds = networks(4, noise=0.0)
    fit(flops, activations, seconds)
    flops[3], activations[3] = flops[0], activations[0]
    with pytest.raises(StudyError, match="needs 4 networks of different cost, but there are 3"):
        fit(flops, activations, seconds)


def test_real_trainings_follow_flops_and_activations_rather_than_flops() -> None:
    """260 networks of two families, trained on a machine that others used too."""
    with gzip.open(TABLE, "rt") as file:
        rows = pd.read_csv(file, comment="#")
    trainings = rows.groupby(["digest", "flops", "activations", "repeat"])["seconds"].sum().reset_index()
    own = trainings[trainings["repeat"] == 0]
    flops, activations, seconds = (own[key].to_numpy(float) for key in ("flops", "activations", "seconds"))
    both = fit_seconds(flops, activations, seconds).predict(flops, activations)
    alone = np.exp(np.polyval(np.polyfit(np.log(flops), np.log(seconds), 1), np.log(flops)))
    errors = [float(np.median(np.abs(model / seconds - 1))) for model in (both, alone)]
    assert errors[0] < 0.2 < 0.35 < errors[1]
