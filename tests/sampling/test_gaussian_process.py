"""The Gaussian process of the sampler, against the textbook's formulas with scikit-learn's and SciPy's parts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.gaussian_process.kernels import Matern

from nas.sampling.gaussian_process import GaussianProcess

CATEGORICAL = np.array([False, True, False])
PARAMETERS = np.log([2.0, 0.8, 5.0, 0.7, 0.4, 0.05])  # three weights, two scales, noise


def data(count: int, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    return np.column_stack([random.random(count), random.integers(0, 3, count), random.random(count)])


def covariance(first: Any, second: Any, parameters: Any) -> Any:
    """Return the documented kernel: a product over all dimensions, and the mean of one for each alone."""
    *weights, joint, alone, _ = np.exp(parameters)
    kernels = []
    for index, weight in enumerate(weights):
        if CATEGORICAL[index]:
            kernels.append(np.exp(-weight * (first[:, index, None] != second[:, index])))
        else:
            kernels.append(Matern(1 / weight, nu=2.5)(first[:, [index]], second[:, [index]]))
    ordered = Matern([1 / weights[0], 1 / weights[2]], nu=2.5)(first[:, [0, 2]], second[:, [0, 2]])
    return joint * ordered * kernels[1] + alone * np.mean(kernels, axis=0)


def test_predictions_are_the_textbooks_in_the_units_of_the_values() -> None:
    points, others = data(25), data(12, seed=1)
    values = 70 + 5 * np.sin(4 * points[:, 0]) + 3 * points[:, 1]
    process = GaussianProcess(points, values, categorical=CATEGORICAL)
    process.parameters = PARAMETERS
    spread = values.std()
    known = np.linalg.inv(covariance(points, points, PARAMETERS) + 0.05 * np.eye(25))
    cross = covariance(others, points, PARAMETERS)
    found = process.predict(others)
    expected = values.mean() + cross @ known @ (values - values.mean())
    np.testing.assert_allclose(found.mean, expected, rtol=1e-6)
    variance = np.diag(covariance(others, others, PARAMETERS) - cross @ known @ cross.T)
    np.testing.assert_allclose(found.std, spread * np.sqrt(variance), rtol=1e-5)
    assert process.noise == pytest.approx(spread * math.sqrt(0.05))


def test_a_fit_is_the_most_likely_a_posteriori() -> None:
    points = data(40)
    random = np.random.default_rng(2)
    values = np.sin(5 * points[:, 0]) + points[:, 1] * points[:, 2] + random.normal(0, 0.3, 40)
    values = (values - values.mean()) / values.std()
    process = GaussianProcess(points, 70 + 5 * values, categorical=CATEGORICAL)
    assert process.fit(iterations=200) is process
    means, stds = np.log([0.7] * 3 + [0.5, 0.5, 0.01]), np.array([1.0] * 5 + [1.5])

    def log_posterior(parameters: Any) -> float:
        matrix = covariance(points, points, parameters) + math.exp(parameters[-1]) * np.eye(40)
        likelihood = multivariate_normal(np.zeros(40), matrix).logpdf(values)
        return float(likelihood + norm(means, stds).logpdf(parameters).sum())

    best = log_posterior(process.parameters)
    for step in 0.03 * np.concatenate([np.eye(6), -np.eye(6)]):
        assert log_posterior(process.parameters + step) < best


def test_a_fit_ends_four_deviations_from_the_priors_or_after_its_iterations() -> None:
    points = np.linspace(0, 1, 60)[:, None]
    exact = GaussianProcess(points, np.sin(3 * points[:, 0]), categorical=np.array([False])).fit()
    assert exact.parameters[-1] == pytest.approx(math.log(0.01) - 4 * 1.5)
    once = GaussianProcess(points, np.sin(3 * points[:, 0]), categorical=np.array([False])).fit(iterations=1)
    assert not np.allclose(once.parameters, exact.parameters)


def test_what_is_believed_changes_no_mean_and_makes_what_is_near_more_certain() -> None:
    points, others, running = data(20), data(10, seed=1), data(3, seed=2)
    process = GaussianProcess(points, 1000 + 50 * points[:, 0] ** 2, categorical=CATEGORICAL).fit()
    before = process.predict(others)
    believing = process.believing(running)
    np.testing.assert_allclose(believing.predict(others).mean, before.mean, rtol=1e-6)
    assert (believing.predict(others).std <= before.std + 1e-9).all()
    assert (believing.predict(running).std < 0.9 * process.predict(running).std).all()
    twice = believing.believing(running)
    assert (twice.predict(running).std < believing.predict(running).std).all()


def test_nothing_to_believe_is_no_change() -> None:
    process = GaussianProcess(data(5), np.arange(5.0), categorical=CATEGORICAL)
    assert process.believing(np.empty((0, 3))) is process
    assert process.believing(data(1)) is not process


def test_new_parameters_are_predicted_with() -> None:
    points, others = data(20), data(5, seed=1)
    process = GaussianProcess(points, points[:, 0], categorical=CATEGORICAL)
    first = process.predict(others).std
    process.parameters = PARAMETERS
    second = process.predict(others).std
    assert not np.allclose(first, second)
    fresh = GaussianProcess(points, points[:, 0], categorical=CATEGORICAL)
    fresh.parameters = PARAMETERS
    np.testing.assert_allclose(fresh.predict(others).std, second)


def test_equal_values_are_predicted_everywhere_with_little_doubt_where_they_were_seen() -> None:
    points = np.concatenate([data(5), data(5)])  # each twice, without noise
    process = GaussianProcess(points, np.full(10, 7.0), categorical=CATEGORICAL)
    process.parameters = np.append(np.log([2.0, 0.8, 5.0, 0.7, 0.4]), -40.0)
    seen, far = process.predict(points), process.predict(np.array([[9.0, 7.0, -9.0]]))
    np.testing.assert_allclose(seen.mean, 7.0)
    np.testing.assert_allclose(far.mean, 7.0)
    assert (seen.std < 1e-3).all() and (seen.std > 0).all()
    # far from everything it is as uncertain as without data
    assert 0.9 < far.std[0] <= math.sqrt(0.7 + 0.4)
