"""The scaling law of the sampler's third version, and what an earlier study tells it."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError

from nas.config.prior import Prior
from nas.errors import UserError
from nas.fronts.geometry import hypervolume
from nas.sampling.fitting import fit_prior
from nas.sampling.gaussian_process import GaussianProcess
from nas.sampling.law import Logs, Mean, misfit
from nas.sampling.pareto import ParetoSampler
from nas.search.priors import scaling_prior

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE: dict[str, BaseDistribution] = {
    "family": CategoricalDistribution(["plain", "deep"]),
    "width": FloatDistribution(0.25, 2.0, step=0.25),
    "depth": IntDistribution(1, 8),
    "shift": FloatDistribution(0.0, 1.0, step=0.5),
}
SURE = ((1e-4, 0.0, 0.0), (0.0, 1e-4, 0.0), (0.0, 0.0, 1e-4))
PRIOR = Prior(source="flowers", slopes={"width": -0.5, "depth": 0.25}, cost=-0.1, covariance=SURE)


def cost(params: dict[str, Any]) -> float:
    return float(1e6 * params["width"] ** 2 * params["depth"])


def law(params: dict[str, Any], *, base: float = 0.4) -> float:
    """Return an error that width lowers and depth does not: wide networks make the front."""
    family = 1.05 if params.get("family") == "deep" else 1.0
    return float(base * family * params["width"] ** -0.5 * params["depth"] ** -0.05)


def trials_of(law: Any, count: int, seed: int) -> tuple[list[dict[str, Any]], np.ndarray[Any, Any]]:
    random = np.random.default_rng(seed)
    tried = [{"width": random.uniform(0.25, 2), "depth": int(random.integers(1, 9))} for _ in range(count)]
    return tried, np.array([law(params) + random.normal(0, 0.002) for params in tried])


def test_a_mean_is_linear_in_lines_with_one_fitted_weight() -> None:
    random = np.random.default_rng(0)
    dimensions, lines = random.random((20, 2)), random.normal(0, 1, (20, 2))
    values = lines @ [1.0, -2.0] + random.normal(0, 0.01, 20)
    known = np.hstack([dimensions, lines])
    process = GaussianProcess(known, values, categorical=np.zeros(2, bool)).fit()
    assert len(process.parameters) == 2 + 1 + 3  # weights, the lines', scales and noise
    far = np.hstack([dimensions[:3], [[9.0, 0.0], [0.0, 9.0], [0.0, 0.0]]])
    np.testing.assert_allclose(process.predict(far).mean, [9, -18, 0], atol=0.5)
    plain = GaussianProcess(dimensions, values, categorical=np.zeros(2, bool)).fit()
    away, near = (one.predict(points).mean - values for one, points in ((plain, dimensions), (process, known)))
    assert np.abs(away).mean() > 10 * np.abs(near).mean()


def test_what_is_predicted_with_lines_is_the_textbooks() -> None:
    random = np.random.default_rng(1)
    known, others = (np.hstack([random.random((count, 1)), random.normal(0, 1, (count, 2))]) for count in (9, 4))
    values = random.normal(0, 1, 9)
    values = (values - values.mean()) / values.std()
    process = GaussianProcess(known, values, categorical=np.zeros(1, bool))
    weight, line, joint, alone, noise = 2.0, 0.7, 0.4, 0.3, 0.05
    process.parameters = np.log([weight, line, joint, alone, noise])

    def kernel(first: Any, second: Any) -> Any:
        away = math.sqrt(5) * weight * np.abs(first[:, :1] - second[:, 0])
        return (joint + alone) * (1 + away + away**2 / 3) * np.exp(-away) + line * first[:, 1:] @ second[:, 1:].T

    solved = np.linalg.inv(kernel(known, known) + noise * np.eye(9))
    cross = kernel(others, known)
    found = process.predict(others)
    np.testing.assert_allclose(found.mean, cross @ solved @ values, rtol=1e-5, atol=1e-6)
    variance = np.diag(kernel(others, others) - cross @ solved @ cross.T)
    np.testing.assert_allclose(found.std, np.sqrt(variance), rtol=1e-4)
    believing = process.believing(others)
    np.testing.assert_allclose(believing.predict(others).mean, found.mean, rtol=1e-3, atol=1e-4)
    assert (believing.predict(others).std < found.std).all()


def test_lines_are_logarithms_of_what_is_positive_and_of_the_cost() -> None:
    logs = Logs(SPACE)
    listed = [{"width": 0.25, "depth": 8}, {"width": 2.0, "depth": 1}, {"family": "deep", "shift": 0.5}]
    found = logs(listed, np.array([0.0, 1.0, 0.5])) * math.sqrt(3)
    np.testing.assert_allclose(found, [[-1, 1, -1], [1, -1, 1], [-1, -1, 0]], atol=1e-12)


def test_slopes_that_the_earlier_study_left_open_are_freer() -> None:
    open_depth = ((1e-4, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 1e-4))
    at = [{"width": 2.0, "depth": 1}, {"width": 0.25, "depth": 8}]
    lines = Logs(SPACE, PRIOR.model_copy(update={"covariance": open_depth}))(at, np.array([0.5, 0.5]))
    equal = Logs(SPACE)(at, np.array([0.5, 0.5]))
    gram, plain = lines @ lines.T, equal @ equal.T
    assert gram[0, 0] > 1.2 * plain[0, 0]
    other = Prior(slopes={"width": -0.5}, cost=0.0, covariance=((0.0, 0.0), (0.0, 0.0)))
    np.testing.assert_allclose(
        Logs(SPACE, other)(at, np.array([0.5, 0.5])), equal
    )  # sure of all: as free as equal ones


def test_freedom_is_half_the_priors_covariance_over_the_ranges_and_half_of_equal_slopes() -> None:
    space: dict[str, BaseDistribution] = {"depth": IntDistribution(1, 2), "width": FloatDistribution(0.25, 4.0)}
    covariance = np.array([[0.4, 0.1, 0.0], [0.1, 0.3, 0.05], [0.0, 0.05, 0.2]])  # of width, depth and cost
    prior = Prior(slopes={"width": 0.0, "depth": 0.0}, cost=0.0, covariance=tuple(map(tuple, covariance.tolist())))
    scales = np.array([math.log(2) / 2, math.log(16) / 2, 1.0])  # half the ranges of depth and width, and the cost
    own = covariance[np.ix_([1, 0, 2], [1, 0, 2])] * np.outer(scales, scales)
    expected = (np.eye(3) + own / own.diagonal().mean()) / 2 / 3
    at, costs = [{"depth": 2, "width": 0.25}, {"depth": 1, "width": 4.0}], np.array([0.25, 1.0])
    logs = np.array([[1.0, -1.0, -0.5], [-1.0, 1.0, 1.0]])
    lines = Logs(space, prior)(at, costs)
    np.testing.assert_allclose(lines @ lines.T, logs @ expected @ logs.T)


def test_a_prior_is_what_trials_tell_in_any_unit() -> None:
    tried, errors = trials_of(law, 40, 0)
    costs = np.array([cost(params) for params in tried])
    found = fit_prior(tried, costs, errors, source="x")
    said = Mean(found, ("width", "depth")).says(tried, costs)
    assert np.corrcoef(said, np.log(errors))[0, 1] > 0.97
    in_percent = fit_prior(tried, costs, 100 * errors - 7, source="x")
    for value, other in zip(found.slopes.values(), in_percent.slopes.values(), strict=True):
        assert value == pytest.approx(other, rel=1e-3)
    noise = fit_prior(tried, costs, np.random.default_rng(1).permutation(errors))
    assert np.ptp(Mean(noise, ("width", "depth")).says(tried, costs)) < 0.3 * np.ptp(said)
    fewer = fit_prior(tried[:10], costs[:10], errors[:10])
    assert fewer.covariance[0][0] > found.covariance[0][0] > 0


def test_a_prior_is_kept_as_json() -> None:
    assert Prior.model_validate_json(PRIOR.model_dump_json()) == PRIOR
    assert PRIOR.model_copy(update={"source": "moved"}).digest == PRIOR.digest
    assert PRIOR.model_copy(update={"cost": -0.2}).digest != PRIOR.digest
    with pytest.raises(ValidationError, match="covariance must be 2 rows of 2 numbers"):
        Prior(slopes={"width": -0.5}, cost=0.0, covariance=((1.0,),))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"count": 5}, "a prior of x needs at least 8 trained networks or trials, but there are 5"),
        ({"fixed": True}, "needs a numeric parameter above zero that differs between trials"),
        ({"cost": 0.0}, "needs costs above zero, but one is 0"),
        ({"equal": True}, "needs results that differ, but all are 0.5"),
    ],
)
def test_what_no_prior_can_be_made_of(changed: dict[str, Any], says: str) -> None:
    tried, errors = trials_of(law, changed.get("count", 12), 0)
    costs = np.array([changed.get("cost", cost(params)) for params in tried])
    if "fixed" in changed:
        tried = [{"width": 1.0, "shift": 0.0, "family": "plain", "flag": index % 2 == 0} for index in range(12)]
    with pytest.raises(UserError, match=says):
        fit_prior(tried, costs, np.full(12, 0.5) if "equal" in changed else errors, source="x")


def test_a_prior_counts_as_far_as_the_study_bears_it_out() -> None:
    tried, errors = trials_of(law, 30, 2)
    costs, values = np.array([cost(params) for params in tried]), np.log(errors)
    prior = fit_prior(*((lambda t: (t[0], np.array([cost(p) for p in t[0]]), t[1]))(trials_of(law, 40, 0))))
    good = Mean.of(prior, SPACE, tried, costs, values)
    assert np.corrcoef(good(tried, costs), values)[0, 1] > 0.97
    assert good(tried, costs).std() == pytest.approx(values.std(), rel=0.05)
    few = Mean.of(prior, SPACE, tried[:2], costs[:2], -values[:2])
    assert few.slope == 0  # two values that contradict it outweigh it
    assert Mean.of(prior, SPACE, tried, costs, -values).slope == 0
    unrelated = Mean.of(prior, SPACE, tried, costs, np.random.default_rng(0).permutation(values))
    assert unrelated.slope < 0.5 * good.slope
    assert (Mean.of(prior, SPACE, tried[:2], costs[:2], np.ones(2))(tried, costs) == 0).all()
    with pytest.raises(UserError, match="needs costs above zero, but one is -1"):
        Mean.of(prior, SPACE, tried[:2], np.array([1.0, -1.0]), values[:2])


def searched(seed: int, trials: int, law: Any = law, **keywords: Any) -> optuna.Study:
    sampler = ParetoSampler(cost, seed=seed, space=SPACE, **keywords)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler, study_name="other")
    for _ in range(trials):
        trial = study.ask(SPACE)
        study.tell(trial, (1 - law(trial.params), cost(trial.params)))
    return study


def worth(trials: list[optuna.trial.FrozenTrial]) -> float:
    values = np.array([trial.values for trial in trials])
    return hypervolume(np.log(values[:, 1]), 1 - values[:, 0], reference_cost=math.log(4e7), reference_error=0.9)


def test_an_earlier_study_on_other_images_helps_and_one_that_misleads_does_little_harm() -> None:
    prior = scaling_prior(searched(7, 30, lambda params: law(params, base=0.7)))
    assert prior.source == "other" and set(prior.slopes) == {"width", "depth"}
    opposite = {key: -slope for key, slope in prior.slopes.items()}
    wrong = prior.model_copy(update={"slopes": opposite, "cost": -prior.cost})
    cold, warm, misled = ([searched(seed, 16, prior=one).trials for seed in range(4)] for one in (None, prior, wrong))

    def mean(searches: list[list[optuna.trial.FrozenTrial]], count: int) -> float:
        return float(np.mean([worth(trials[:count]) for trials in searches]))

    assert mean(warm, 5) > mean(cold, 5) + 0.1
    assert mean(misled, 16) > 0.97 * mean(cold, 16)


def test_with_a_prior_it_learns_after_two_proposals(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = []
    most_promising = ParetoSampler._most_promising
    monkeypatch.setattr(
        ParetoSampler, "_most_promising", lambda self, *given: learned.append(1) or most_promising(self, *given)
    )
    searched(0, 6, prior=PRIOR)
    assert len(learned) == 4
    searched(0, 6)
    assert len(learned) == 4 + 2
    searched(0, 6, prior=PRIOR, startup_trials=5)
    assert len(learned) == 4 + 2 + 1


@pytest.mark.parametrize(
    ("version", "thrift", "startup", "share"),
    [(2, 0.5, 4, 1.0), (3, 0.0, 4, 1.0), (3, 0.5, 4, 2 / 3), (3, 0.5, 2, 1 / 3), (3, 0.5, 6, 1.0), (3, 0.5, 12, 1.0)],
)
def test_with_thrift_each_of_the_first_proposals_takes_a_sixth_of_the_costs(
    version: int, thrift: float, startup: int, share: float
) -> None:
    low, high = math.log(cost({"width": 0.25, "depth": 1})), math.log(cost({"width": 2.0, "depth": 8}))
    trials = searched(0, startup, startup_trials=startup, version=version, thrift=thrift).trials
    places = np.sort((np.log([trial.values[1] for trial in trials]) - low) / (high - low))
    expected = share * (np.arange(startup) + 0.5) / startup
    assert np.abs(places - expected).max() <= share / startup / 2 + 0.06  # as near as the grid of the space comes


def test_a_prior_of_other_parameters_is_refused_and_one_of_some_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    strange = Prior(source="speech", slopes={"layers": -0.5}, cost=0.0, covariance=((1.0, 0.0), (0.0, 1.0)))
    says = "the prior of speech knows none of the parameters that are searched: layers not used; width, depth missing"
    with pytest.raises(UserError, match=says):
        searched(0, 1, prior=strange)
    half = Prior(slopes={"width": -0.5, "layers": -0.5}, cost=0.0, covariance=SURE)
    assert misfit(half, SPACE) == "layers not used; depth missing" and misfit(PRIOR, SPACE) == ""
    optuna.logging.enable_propagation()
    with caplog.at_level(logging.WARNING, logger="optuna"):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        searched(0, 5, prior=half)
    optuna.logging.disable_propagation()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    (line,) = (record.getMessage() for record in caplog.records if "prior" in record.getMessage())
    assert line.endswith("the prior has other parameters than the study: layers not used; depth missing")
    with pytest.raises(ValueError, match="version 2 of ParetoSampler takes no prior: version 3 does"):
        ParetoSampler(cost, prior=PRIOR, version=2)


def test_a_prior_of_a_study_of_one_objective_is_refused() -> None:
    with pytest.raises(UserError, match="needs a study of two objectives, but it has 1"):
        scaling_prior(optuna.create_study())
