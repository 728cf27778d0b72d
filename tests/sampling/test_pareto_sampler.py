"""The sampler for a learned objective and a known cost, and what it is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optuna
import pytest
import torch
from conftest import scaled
from optuna._hypervolume import compute_hypervolume
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from nas.fronts.geometry import front_steps, hypervolume
from nas.sampling.gaussian_process import GaussianProcess, Prediction
from nas.sampling.history import Encoder, History
from nas.sampling.improvement import expected_improvement
from nas.sampling.pareto import ParetoSampler
from nas.sampling.points import values_at

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE = {
    "family": CategoricalDistribution(["plain", "deep"]),
    "width": FloatDistribution(0.25, 2.0, step=0.25),
    "depth": IntDistribution(1, 6),
    "rate": FloatDistribution(0.01, 1.0, log=True),
}


POINT = {"family": "plain", "width": 1.0, "depth": 2, "rate": 0.1}


def cost(parameters: dict[str, Any]) -> float:
    return 1e6 * parameters["width"] ** 2 * parameters["depth"] * (1.0 if parameters["family"] == "plain" else 0.5)


def accuracy(parameters: dict[str, Any]) -> float:
    size = parameters["width"] * 4 * parameters["depth"] ** 0.6
    error = 0.1 + 0.6 * size**-0.7 + 0.05 * math.log10(parameters["rate"] / 0.1) ** 2
    return 1 - error - (0.04 if parameters["family"] == "deep" else 0)


def objective(trial: optuna.Trial) -> tuple[float, float]:
    parameters = {
        "family": trial.suggest_categorical("family", ["plain", "deep"]),
        "width": trial.suggest_float("width", 0.25, 2.0, step=0.25),
        "depth": trial.suggest_int("depth", 1, 6),
        "rate": trial.suggest_float("rate", 0.01, 1.0, log=True),
    }
    return accuracy(parameters), cost(parameters)


def run(sampler: optuna.samplers.BaseSampler, trials: int) -> optuna.Study:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def proposed(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def worth(study: optuna.Study) -> float:
    done = [trial for trial in study.trials if trial.values]
    costs, errors = np.log([t.values[1] for t in done]), 1 - np.array([t.values[0] for t in done])
    return hypervolume(costs, errors, reference_cost=math.log(3e7), reference_error=0.9)


def optunas_hypervolume(costs: Any, errors: Any, reference_cost: float, reference_error: float) -> float:
    points, reference = np.stack([costs, errors], axis=1), np.array([reference_cost, reference_error])
    return compute_hypervolume(points[(points < reference).all(axis=1)], reference)


@pytest.mark.parametrize("seed", range(5))
def test_the_hypervolume_is_optunas(seed: int) -> None:
    random = np.random.default_rng(seed)
    costs, errors = random.random(20), random.random(20)
    low = costs.min()
    expected = optunas_hypervolume(costs, errors, 0.9, 0.8)
    steps = front_steps(costs, errors, reference_cost=0.9, reference_error=0.8)
    assert hypervolume(costs, errors, reference_cost=0.9, reference_error=0.8) == pytest.approx(expected)
    assert steps.ends[0] >= low and (np.diff(steps.levels) < 0).all() and (np.diff(steps.ends) > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_expected_improvement_is_the_mean_growth_of_the_hypervolume(seed: int) -> None:
    random = np.random.default_rng(seed)
    costs, errors = random.random(8), random.uniform(0.2, 0.9, 8)
    reference = {"reference_cost": 1.0, "reference_error": 0.8}
    candidates = np.array([-0.1, 0.05, *costs[:2], 0.7, 1.2])
    prediction = Prediction(np.log(random.uniform(0.2, 0.9, 6)), random.uniform(0.05, 0.5, 6))
    found = expected_improvement(front_steps(costs, errors, **reference), candidates, prediction)
    quantiles = norm.ppf((np.arange(2000) + 0.5) / 2000)
    for index, candidate in enumerate(candidates):
        drawn = np.exp(prediction.mean[index] + prediction.std[index] * quantiles)
        before = optunas_hypervolume(costs, errors, 1.0, 0.8)
        grown = [
            optunas_hypervolume(np.append(costs, candidate), np.append(errors, error), 1.0, 0.8) for error in drawn
        ]
        assert found[index] == pytest.approx(np.mean(grown) - before, rel=0.01, abs=1e-5)
    assert found[-1] == 0  # dearer than the reference


def test_a_process_of_ordered_dimensions_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    points, values, others = random.random((30, 2)), random.normal(size=30), random.random((10, 2))
    values = (values - values.mean()) / values.std()
    process = GaussianProcess(points, values, categorical=np.array([False, False]))
    process.parameters = np.array([math.log(2.0), math.log(5.0), 0.0, -40.0, math.log(0.1)])
    theirs = GaussianProcessRegressor(Matern([0.5, 0.2], nu=2.5), alpha=0.1 + 1e-8, optimizer=None).fit(points, values)
    mean, std = theirs.predict(others, return_std=True)
    ours = process.predict(others)
    np.testing.assert_allclose(ours.mean, mean, atol=1e-6)
    np.testing.assert_allclose(ours.std, std, atol=1e-6)


def test_a_fit_finds_noise_and_which_dimension_matters() -> None:
    random = np.random.default_rng(0)
    points = np.column_stack([random.random(80), random.random(80), random.integers(0, 3, 80)])
    truth = np.sin(4 * points[:, 0]) + np.array([0.0, 1.0, 0.2])[points[:, 2].astype(int)]
    process = GaussianProcess(
        points, truth + random.normal(0, 0.2, 80), categorical=np.array([False, False, True])
    ).fit()
    assert 0.1 < process.noise < 0.3
    assert process.parameters[0] > process.parameters[1]
    others = np.column_stack([random.random(50), random.random(50), random.integers(0, 3, 50)])
    expected = np.sin(4 * others[:, 0]) + np.array([0.0, 1.0, 0.2])[others[:, 2].astype(int)]
    assert np.sqrt(np.mean((process.predict(others).mean - expected) ** 2)) < 0.15


def test_what_still_runs_is_taken_for_known() -> None:
    random = np.random.default_rng(0)
    points = random.random((20, 2))
    process = GaussianProcess(points, points.sum(axis=1), categorical=np.array([False, False])).fit()
    near, plain = np.array([[0.9, 0.05]]), process.predict(np.array([[0.9, 0.05]]))
    believed = process.believing(near).predict(near)
    assert believed.mean == pytest.approx(plain.mean, abs=1e-3)
    assert believed.std < plain.std
    assert process.predict(near).std == plain.std  # which is as it was


def test_in_a_space_too_large_to_draw_the_best_corner_is_found() -> None:
    """Of a million points; the best of fifty random ones is eight steps away or more."""
    space = {f"x{index}": IntDistribution(0, 9) for index in range(6)}

    sampler = ParetoSampler(lambda point: 1.0 + point["x0"], space=space)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    def away(trial: optuna.Trial) -> tuple[float, float]:
        point = {name: trial.suggest_int(name, 0, 9) for name in space}
        steps = sum(abs(point[name] - there) for name, there in zip(space, (3, 7, 1, 8, 5, 2), strict=True))
        return -float(steps), 1.0 + point["x0"]

    study.optimize(away, n_trials=50)
    assert max(trial.values[0] for trial in study.trials) >= -1


def test_proposals_are_feasible_distinct_and_depend_on_nothing_but_the_past() -> None:
    def make() -> ParetoSampler:
        return ParetoSampler(cost, seed=3, space=SPACE, feasible=lambda p: cost(p) <= 8e6, startup_trials=6)

    whole = run(make(), 16)
    assert all(cost(parameters) <= 8e6 for parameters in proposed(whole))
    assert len({tuple(parameters.values()) for parameters in proposed(whole)}) == 16
    torch.rand(3), np.random.rand(3)
    continued = run(make(), 9)
    continued.sampler = make()
    continued.optimize(objective, n_trials=7)
    assert proposed(continued) == proposed(whole)
    assert proposed(run(ParetoSampler(cost, seed=4, space=SPACE), 3)) != proposed(whole)[:3]


def test_the_first_proposals_are_spread_over_the_cost() -> None:
    study = run(ParetoSampler(cost, space=SPACE, startup_trials=12), 12)
    costs = np.log([cost(parameters) for parameters in proposed(study)])
    low, high = math.log(cost({"width": 0.25, "depth": 1, "family": "deep"})), math.log(24e6)
    strata = ((costs - low) / (high - low) * 12).astype(int).clip(0, 11)
    assert len(set(strata)) >= 10


@pytest.mark.endurance
def test_it_finds_more_than_random_and_tpe() -> None:
    samplers: list[Callable[[int], optuna.samplers.BaseSampler]] = [
        lambda seed: ParetoSampler(cost, seed=seed, space=SPACE),
        lambda seed: optuna.samplers.TPESampler(seed=seed),
        lambda seed: optuna.samplers.RandomSampler(seed=seed),
    ]
    ours, tpe, random = ([worth(run(make(seed), 30)) for seed in range(scaled(2, 12))] for make in samplers)
    assert min(ours) > max(tpe) and min(ours) > max(random)


def test_a_study_that_began_under_another_sampler_or_without_a_space_goes_on() -> None:
    study = run(optuna.samplers.RandomSampler(seed=0), 15)
    study.sampler = ParetoSampler(cost, seed=1)
    study.optimize(objective, n_trials=6)
    assert worth(study) > worth(run(optuna.samplers.RandomSampler(seed=0), 21))
    alone = run(ParetoSampler(cost, seed=1), 4)  # the first is random, since nothing is known of the space
    assert len({tuple(parameters.values()) for parameters in proposed(alone)}) == 4


def test_an_earlier_study_is_learned_from() -> None:
    earlier = run(optuna.samplers.RandomSampler(seed=0), 30)
    cold = run(ParetoSampler(cost, seed=1, space=SPACE, startup_trials=0), 8)
    warm = run(ParetoSampler(cost, seed=1, space=SPACE, startup_trials=0, earlier=earlier.trials), 8)
    assert worth(warm) > worth(cold)


def test_running_trials_are_not_proposed_again() -> None:
    study = run(ParetoSampler(cost, seed=0, space=SPACE, startup_trials=5), 8)
    asked = [study.ask(SPACE).params for _ in range(4)]
    assert len({tuple(sorted(parameters.items())) for parameters in [*asked, *proposed(study)[:8]]}) == 12


class Arrangement(NamedTuple):
    """Which way the two objectives are told."""

    learned: str = "maximize"
    known: str = "minimize"
    cost_index: int = 1

    def cost(self, parameters: dict[str, Any]) -> float:
        return cost(parameters) if self.known == "minimize" else 1e8 / cost(parameters)

    def values(self, parameters: dict[str, Any]) -> tuple[float, ...]:
        """Return both objectives, the learned one far from being a share in 0 to 1."""
        learned = -3.0 + (1 if self.learned == "maximize" else -1) * accuracy(parameters)
        return (learned, self.cost(parameters))[:: 1 if self.cost_index == 1 else -1]

    def begin(self, random_trials: int) -> optuna.Study:
        """Return a study that proposes after some random trials."""
        sampler = ParetoSampler(self.cost, seed=0, space=SPACE, cost_index=self.cost_index)
        study = optuna.create_study(directions=(self.learned, self.known)[:: 2 * self.cost_index - 1], sampler=sampler)
        for params in proposed(run(optuna.samplers.RandomSampler(seed=0), random_trials)):
            values = self.values(params)
            study.add_trial(optuna.trial.create_trial(params=params, distributions=SPACE, values=values))
        return study

    def go_on(self, study: optuna.Study, trials: int) -> list[dict[str, Any]]:
        for _ in range(trials):
            trial = study.ask(SPACE)
            study.tell(trial, self.values(trial.params))
        return proposed(study)[-trials:]


@pytest.fixture(scope="module")
def plainly_arranged() -> list[dict[str, Any]]:
    """Return what is proposed where accuracy is maximised and cost, the second objective, minimised."""
    return Arrangement().go_on(Arrangement().begin(8), 14)


def test_values_that_are_no_shares_are_learned_from(plainly_arranged: list[dict[str, Any]]) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for params in [*proposed(run(optuna.samplers.RandomSampler(seed=0), 8)), *plainly_arranged]:
        values = [accuracy(params), cost(params)]
        study.add_trial(optuna.trial.create_trial(params=params, distributions=SPACE, values=values))
    assert worth(study) > worth(run(optuna.samplers.RandomSampler(seed=0), 30))


@pytest.mark.parametrize("known", ["minimize", "maximize"])
@pytest.mark.parametrize("learned", ["minimize", "maximize"])
@pytest.mark.parametrize("cost_index", [0, 1])
def test_directions_and_order_of_objectives_change_no_proposal(
    learned: str, known: str, cost_index: int, plainly_arranged: list[dict[str, Any]]
) -> None:
    arranged = Arrangement(learned, known, cost_index)
    assert arranged.go_on(arranged.begin(8), 4) == plainly_arranged[:4]
    first = np.log([cost(parameters) for parameters in arranged.go_on(arranged.begin(0), 5)[:4]])
    assert np.diff(np.sort(first)).min() > 0.4 and np.ptp(first) > 3  # spread over the cost, whichever way it is told


def test_a_space_that_is_used_up_is_drawn_from_at_random() -> None:
    small = {"width": FloatDistribution(0.5, 1.0, step=0.25)}
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=ParetoSampler(lambda p: p["width"], space=small, startup_trials=2)
    )
    study.optimize(lambda trial: (w := trial.suggest_float("width", 0.5, 1.0, step=0.25), w), n_trials=5)
    assert sorted(trial.params["width"] for trial in study.trials[:3]) == [0.5, 0.75, 1.0]


def test_one_objective_is_refused() -> None:
    study = optuna.create_study(sampler=ParetoSampler(cost, space=SPACE))
    with pytest.raises(ValueError, match="needs a study of two objectives, but it has 1"):
        study.ask(SPACE)


def test_three_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"], sampler=ParetoSampler(cost))
    study.add_trial(optuna.trial.create_trial(params=POINT, distributions=SPACE, values=[0.5, cost(POINT), 1.0]))
    with pytest.raises(ValueError, match="needs a study of two objectives, but it has 3"):
        study.ask(SPACE)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_cost_that_is_no_number_is_refused(value: float) -> None:
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=ParetoSampler(lambda p: value, space=SPACE)
    )
    with pytest.raises(ValueError, match="must be a finite number"):
        study.ask(SPACE)


def test_what_a_cost_function_raises_is_seen() -> None:
    sampler = ParetoSampler(lambda p: p["missing"], space=SPACE)
    with pytest.raises(KeyError, match="missing"):
        optuna.create_study(directions=["maximize", "minimize"], sampler=sampler).ask(SPACE)


def test_a_cost_that_depends_on_more_than_the_parameters_is_refused() -> None:
    study = run(ParetoSampler(cost, space=SPACE), 3)
    study.add_trial(optuna.trial.create_trial(params=POINT, distributions=SPACE, values=[0.5, 2 * cost(POINT)]))
    with pytest.raises(ValueError, match="of trial 3 was .*, but the cost of its parameters is .* parameters alone"):
        study.ask(SPACE)


def test_costs_below_zero_are_taken_as_they_are() -> None:
    sampler = ParetoSampler(lambda p: cost(p) - 3e6, space=SPACE, thrift=0.5)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(lambda trial: (objective(trial)[0], cost(trial.params) - 3e6), n_trials=12)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 12


def test_equal_observations_and_failed_trials_are_no_obstacle() -> None:
    equal = optuna.create_study(directions=["maximize", "minimize"], sampler=ParetoSampler(cost, space=SPACE))
    equal.optimize(lambda trial: (0.5 + 0 * objective(trial)[0], cost(trial.params)), n_trials=10)
    failed = optuna.create_study(directions=["maximize", "minimize"], sampler=ParetoSampler(cost, space=SPACE))
    failed.optimize(lambda trial: 1 / (0 * objective(trial)[0]), n_trials=10, catch=(ZeroDivisionError,))
    for study in (equal, failed):
        assert len({tuple(trial.params.values()) for trial in study.trials}) == 10


def test_a_thrifty_search_proposes_cheaper_networks() -> None:
    costs = [sum(map(cost, proposed(run(ParetoSampler(cost, space=SPACE, thrift=thrift), 20)))) for thrift in (0, 1)]
    assert costs[1] < 0.7 * costs[0]


def test_a_study_of_thousands_of_trials_still_proposes() -> None:
    random, study = np.random.default_rng(0), run(ParetoSampler(cost, space=SPACE), 2)
    trials = []
    for _ in range(3000):
        params = {name: values_at(d, [random.random()])[0] for name, d in SPACE.items()}
        values = [accuracy(params), cost(params)]
        trials.append(optuna.trial.create_trial(params=params, distributions=SPACE, values=values))
    study.add_trials(trials)
    found = next_proposal(study, ParetoSampler(cost, space=SPACE))
    before = max(accuracy(trial.params) for trial in study.trials if cost(trial.params) <= cost(found))
    assert accuracy(found) > before - 0.02


def on_the_way(parameters: dict[str, Any], share: float) -> float:
    """Return the accuracy after a share of the training: larger networks learn more slowly."""
    return accuracy(parameters) * (1 - 0.4 * (1 - share) * (cost(parameters) / 24e6) ** 0.2)


def halved_study(*, complete: int, stopped: int) -> tuple[optuna.Study, dict[int, dict[float, float]]]:
    """Return random trials, a few of them trained to the end, and the accuracies of all after an eighth of the way."""
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=complete)
    )
    values = dict[int, dict[float, float]]()
    for number in range(complete + stopped):
        trial = study.ask(SPACE)
        values[number] = {0.125: on_the_way(trial.params, 0.125)}
        if number < complete:
            values[number][1.0] = accuracy(trial.params)
            study.tell(trial, (accuracy(trial.params), cost(trial.params)))
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return study, values


def next_proposal(study: optuna.Study, sampler: ParetoSampler) -> dict[str, Any]:
    study.sampler = sampler
    trial = study.ask(SPACE)
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return trial.params


def test_accuracies_on_the_way_tell_of_those_at_the_end() -> None:
    study, values = halved_study(complete=6, stopped=40)
    history = History.of((), study.trials, SPACE, study.directions, 1, values)
    assert len(history.known) == 52 and sorted(set(history.shares)) == [0.125, 1.0]
    random = np.random.default_rng(0)
    others = [{name: values_at(d, [random.random()])[0] for name, d in SPACE.items()} for _ in range(200)]
    truth = np.log([1 - accuracy(parameters) for parameters in others])

    def error(kept: np.ndarray[Any, Any]) -> float:
        shares = history.shares[kept]
        known = [parameters for parameters, keep in zip(history.known, kept, strict=True) if keep]
        encode = Encoder(SPACE, smallest_share=float(shares.min()))
        points = encode(known, np.array([cost(parameters) for parameters in known]), shares)
        process = GaussianProcess(points, np.log(history.errors[kept]), categorical=encode.categorical).fit()
        whole = encode(others, np.array([cost(parameters) for parameters in others]), np.ones(len(others)))
        return float(np.sqrt(np.mean((process.predict(whole).mean - truth) ** 2)))

    assert error(history.shares > 0) < 0.5 * error(history.shares == 1)


def test_proposals_with_accuracies_on_the_way_are_reproducible_and_none_were_seen() -> None:
    study, values = halved_study(complete=6, stopped=30)
    seen = proposed(study)

    def propose(partial: dict[int, dict[float, float]] | None, **keywords: Any) -> dict[str, Any]:
        told = None if partial is None else lambda: partial
        ignore = lambda trial: trial.state is optuna.trial.TrialState.FAIL  # noqa: E731
        return next_proposal(study, ParetoSampler(cost, seed=1, space=SPACE, partial=told, ignore=ignore, **keywords))

    once = propose(values)
    torch.rand(3), np.random.rand(3)
    assert propose(values) == once and once not in seen
    assert propose({}) == propose(None) != once
    ends = {number: {1.0: trial.values[0]} for number, trial in enumerate(study.trials) if trial.values}
    assert propose(ends) == propose(None)  # what is told of the end is what Optuna knows
