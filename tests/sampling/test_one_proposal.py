"""What a single proposal of the sampler depends on; cheap, as nearly nothing is fitted here."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from nas.fronts.geometry import Array, Steps
from nas.sampling import model
from nas.sampling.gaussian_process import GaussianProcess
from nas.sampling.model import first_of
from nas.sampling.pareto import ParetoSampler
from nas.sampling.points import values_at
from nas.sampling.versions import VERSIONS

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE: dict[str, BaseDistribution] = {
    "family": CategoricalDistribution(["plain", "deep"]),
    "width": FloatDistribution(0.25, 2.0, step=0.25),
    "depth": IntDistribution(1, 6),
}
FINE: dict[str, BaseDistribution] = {**SPACE, "rate": FloatDistribution(0.01, 1.0, log=True)}


def cost(parameters: dict[str, Any]) -> float:
    return float(parameters["width"] ** 2 * parameters["depth"] * (1.0 if parameters["family"] == "plain" else 0.5))


def accuracy(parameters: dict[str, Any]) -> float:
    return float(0.9 - 0.5 / (1 + cost(parameters)) - 0.1 * abs(parameters.get("rate", 0.1) - 0.1))


def study_of(values: int, space: dict[str, BaseDistribution] = SPACE, factor: float = 1.0) -> optuna.Study:
    """Return a study of some random complete trials whose costs are multiplied by a factor."""
    study, random = optuna.create_study(directions=["maximize", "minimize"]), np.random.default_rng(0)
    for _ in range(values):
        params = {name: values_at(distribution, [random.random()])[0] for name, distribution in space.items()}
        told = [accuracy(params), factor * cost(params)]
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, values=told))
    return study


def ask(study: optuna.Study, sampler: ParetoSampler) -> dict[str, Any]:
    """Return what would be proposed next; the study stays as it is."""
    copy = optuna.create_study(directions=study.directions, sampler=sampler)
    copy.add_trials(study.trials)
    return copy.ask(sampler._space or {}).params


def test_the_seed_is_0_by_default() -> None:
    proposals = [
        [ask(study_of(0), ParetoSampler(cost, space=SPACE, **seed)) for _ in range(2)]
        for seed in ({}, {"seed": 0}, {"seed": 1})
    ]
    assert proposals[0] == proposals[1] != proposals[2]


def test_each_proposal_is_drawn_anew() -> None:
    study, found = study_of(0), []
    for _ in range(4):  # failed trials without parameters tell nothing, but are counted
        found.append(ask(study, ParetoSampler(cost, space=FINE, startup_trials=1)))
        study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
    assert len({point["rate"] for point in found}) == 4


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
@pytest.mark.parametrize(("version", "expected"), [(1, SPACE), (2, FINE), (3, FINE)])
def test_without_a_space_it_is_what_ended_trials_had(
    state: TrialState, version: int, expected: dict[str, BaseDistribution]
) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    ranges = {"moving": IntDistribution(1, 3)}, {"moving": IntDistribution(1, 4)}
    for space in (FINE | ranges[0], SPACE | ranges[1] | {"fixed": IntDistribution(3, 3)}):
        params = {name: values_at(distribution, [0.5])[0] for name, distribution in space.items()}
        values = [0.5, 1.0] if state is TrialState.COMPLETE else None
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, values=values, state=state))
    sampler, trial = ParetoSampler(cost, version=version), study.trials[0]
    assert sampler.infer_relative_search_space(study, trial) == expected
    empty = optuna.create_study(directions=study.directions)
    others = ParetoSampler(cost, earlier=study.trials, version=version)
    assert others.infer_relative_search_space(empty, trial) == expected
    assert ParetoSampler(cost, space=FINE).infer_relative_search_space(study, trial) == FINE


def test_parameters_outside_of_the_space_are_drawn_by_seed_trial_and_name() -> None:
    wanted: dict[str, BaseDistribution] = {"first": FloatDistribution(0, 1), "second": FloatDistribution(0, 1)}

    def drawn(seed: int) -> list[float]:
        sampler = ParetoSampler(lambda parameters: 1.0, seed=seed)
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        return [value for _ in range(3) for value in study.ask(wanted).params.values()]

    assert drawn(0) == drawn(0)
    assert len({*drawn(0), *drawn(1)}) == 12


@pytest.mark.parametrize(("values", "learns"), [(1, False), (2, True), (3, True)])
def test_two_values_are_enough_to_learn(values: int, learns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = []
    monkeypatch.setattr(model.Fits, "__call__", lambda self, points, *_: fits.append(points) or _some(points))
    ask(study_of(values), ParetoSampler(cost, space=SPACE, startup_trials=0))
    assert bool(fits) == learns


def _some(points: Array) -> Array:
    """Return parameters of a kernel."""
    return np.log([*[0.7] * points.shape[1], 0.5, 0.5, 0.01])


@pytest.mark.parametrize("startup_trials", [6, 0])
def test_proposals_do_not_depend_on_the_unit_of_the_cost(startup_trials: int) -> None:
    sampler = {"space": SPACE, "thrift": 0.5, "startup_trials": startup_trials, "seed": 2}
    proposals = [
        ask(study_of(5, factor=factor), ParetoSampler(lambda p, f=factor: f * cost(p), **sampler))
        for factor in (1e-9, 1.0, 1e9)
    ]
    assert proposals[0] == proposals[1] == proposals[2]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_more_thrift_the_cheaper(version: int) -> None:
    study = study_of(3)
    for family in ("plain", "deep"):  # the ends are known
        for width, depth in ((0.25, 1), (2.0, 6)):
            point = {"family": family, "width": width, "depth": depth}
            values = [accuracy(point), cost(point)]
            study.add_trial(optuna.trial.create_trial(params=point, distributions=SPACE, values=values))
    sampler = {"space": SPACE, "version": version}
    costs = [cost(ask(study, ParetoSampler(cost, thrift=thrift, **sampler))) for thrift in (0.0, 0.5, 1.0, 2.0)]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 4 if version == 1 else costs[0] > costs[3]  # later versions may agree on a network


def test_all_that_is_feasible_is_proposed_in_turn_and_nothing_else() -> None:
    sampler = ParetoSampler(cost, space=SPACE, startup_trials=100, feasible=lambda p: p["width"] == p["depth"])
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    found = [study.ask(SPACE).params for _ in range(4)]
    assert all(point["width"] == point["depth"] for point in found)
    assert len({tuple(point.values()) for point in found}) == 4  # two widths of two families


def test_of_candidates_with_one_identity_one_is_judged() -> None:
    judged = []
    sampler = ParetoSampler(
        lambda p: judged.append(p["depth"]) or cost(p),
        space=SPACE,
        identity=lambda p: p["depth"],
    )
    ask(study_of(0), sampler)
    assert sorted(judged) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("known", "sign"), [("minimize", 1), ("maximize", -1)])
def test_of_very_many_values_those_are_learned_from_that_tell_most(
    known: str, sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(VERSIONS[3], "learned_from", 5, raising=False)
    monkeypatch.setattr(model, "telling", lambda *arguments: told.append(arguments) or [0, 2, 3, 5, 6])
    learned: list[Array] = []
    believing = GaussianProcess.believing
    monkeypatch.setattr(
        GaussianProcess,
        "believing",
        lambda self, points: learned.append(self._points.dimensions) or believing(self, points),
    )
    study = optuna.create_study(directions=["maximize", known])
    study.add_trials(study_of(8).trials)
    ask(study, ParetoSampler(cost, space=SPACE))
    costs, errors, count = told[0]
    np.testing.assert_allclose(costs, [sign * cost(trial.params) for trial in study.trials])
    losses = np.array([1 - accuracy(trial.params) for trial in study.trials])
    np.testing.assert_allclose(np.diff(errors) / np.diff(losses), np.diff(errors)[0] / np.diff(losses)[0])
    assert (errors > 0).all()
    assert count == 5 and len(learned[0]) == 5


def test_the_reference_is_of_what_was_seen_or_of_what_is_believed_of_whole_trainings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Array] = []
    plain = model.reference
    monkeypatch.setattr(model, "reference", lambda costs, errors: told.append(errors) or plain(costs, errors))
    study = study_of(12)
    ask(study, ParetoSampler(cost, space=SPACE))
    losses = np.array([1 - accuracy(trial.params) for trial in study.trials])
    slopes = np.diff(np.exp(told[0])) / np.diff(losses)
    np.testing.assert_allclose(slopes, slopes[0])  # in a unit of its own, but what was seen
    # on the way every error is twice as large; what is believed of the end is near what it is
    partial = {n: {0.25: 2 * accuracy(t.params) - 1, 1.0: accuracy(t.params)} for n, t in enumerate(study.trials)}
    ask(study, ParetoSampler(cost, space=SPACE, partial=lambda: partial))
    whole = told[1].reshape(12, 2)
    assert len(told[1]) == 24 and np.abs(whole[:, 0] - whole[:, 1]).max() < 0.3 * np.ptp(told[1])


@pytest.mark.parametrize(("better", "calls"), [(0, 2), (1, 3), (3, 5), (100, 9)])
def test_it_climbs_as_long_as_there_is_a_better_candidate(
    better: int, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gains: list[float] = []

    def promising(steps: Steps, costs: Array, prediction: object) -> Array:
        assert steps.ends[-1] == 1  # a fiftieth beyond the dearest candidate
        gains.append(float(min(len(gains), better)))
        return np.full(len(costs), gains[-1])

    monkeypatch.setattr(model, "expected_improvement", promising)
    ask(study_of(5, FINE), ParetoSampler(cost, space=FINE))
    assert len(gains) == calls


@pytest.mark.parametrize(("count", "first"), [(20, 20), (30, 30), (32, 30), (33, 33), (36, 33), (37, 36), (40, 39)])
def test_the_kernel_is_fitted_anew_when_a_tenth_more_values_are_there(count: int, first: int) -> None:
    assert first_of(count, 250).tolist() == list(range(first))


def test_the_kernel_is_fitted_to_a_part_of_many_values() -> None:
    assert first_of(15, 8).tolist() == list(range(0, 15, 2))


def test_most_proposals_need_no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    fits, real = list[int](), GaussianProcess.fit

    def fit(process: GaussianProcess, *arguments: Any, **keywords: Any) -> Any:
        fits.append(len(process._values))
        return real(process, *arguments, **keywords)

    monkeypatch.setattr(GaussianProcess, "fit", fit)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=ParetoSampler(cost, space=FINE))
    study.add_trials(study_of(36, FINE).trials)
    for values in (5.0, 0.1, 0.9, 0.95):  # outliers and new bests too
        study.tell(study.ask(FINE), [values, cost(study.trials[-1].params)])
    assert fits == [33, 36]
    later = ParetoSampler(cost, space=FINE)  # what was fitted before changes nothing
    assert ask(study, later) == ask(study, study.sampler)


def with_wrong_cost(told: float, known: float, version: int) -> tuple[optuna.Study, ParetoSampler]:
    study = optuna.create_study(directions=["maximize", "minimize"])
    point = {name: values_at(distribution, [0.5])[0] for name, distribution in SPACE.items()}
    study.add_trial(optuna.trial.create_trial(params=point, distributions=SPACE, state=TrialState.FAIL))
    if version == 1:  # it takes a trial with fewer parameters for another study's
        space = {"width": SPACE["width"]}
        study.add_trial(optuna.trial.create_trial(params={"width": 1.0}, distributions=space, values=[0.5, 7.0]))
    else:
        study.add_trial(optuna.trial.create_trial(params=point, distributions=SPACE, state=TrialState.PRUNED))
    study.add_trial(optuna.trial.create_trial(params=point, distributions=SPACE, values=[0.5, told]))
    return study, ParetoSampler(lambda parameters: known, space=SPACE, version=version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("told", "known"), [(1 + 1e-7, 1.0), (1e9 + 100, 1e9), (1e-13, 0.0)])
def test_costs_are_equal_but_for_rounding(told: float, known: float, version: int) -> None:
    assert ask(*with_wrong_cost(told, known, version))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("told", "known"), [(1 + 1e-5, 1.0), (1e-3, 0.0), (2e-9, 1e-9)])
def test_a_cost_that_differs_is_found_behind_trials_that_tell_none(told: float, known: float, version: int) -> None:
    with pytest.raises(ValueError, match="objective 1 of trial 2 was"):
        ask(*with_wrong_cost(told, known, version))


@pytest.mark.parametrize(("startup", "learns"), [(5, True), (6, True), (7, False)])
def test_it_learns_from_the_first_proposal_after_the_start(
    startup: int, learns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, real = list[int](), GaussianProcess.fit

    def fit(process: GaussianProcess, *arguments: Any, **keywords: Any) -> Any:
        fits.append(1)
        return real(process, *arguments, **keywords)

    monkeypatch.setattr(GaussianProcess, "fit", fit)
    ask(study_of(6), ParetoSampler(cost, space=SPACE, startup_trials=startup))
    assert bool(fits) == learns


def test_by_default_four_proposals_come_before_learning_and_cost_is_not_weighed() -> None:
    few = study_of(4)
    default, four, five = (
        ask(few, ParetoSampler(cost, space=SPACE, **how)) for how in ({}, {"startup_trials": 4}, {"startup_trials": 5})
    )
    assert default == four != five
    more = study_of(5)
    default, plain, thrifty = (
        ask(more, ParetoSampler(cost, space=SPACE, **how)) for how in ({}, {"thrift": 0.0}, {"thrift": -2.0})
    )
    assert default == plain != thrifty
