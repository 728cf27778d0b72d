"""The sampler in studies as people have them: what fails, what is measured, what only some trials have, threads."""

from __future__ import annotations

import pickle
import time
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState

from nas.sampling.feasible import climb
from nas.sampling.gaussian_process import GaussianProcess
from nas.sampling.pareto import ParetoSampler

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE: dict[str, BaseDistribution] = {
    "width": FloatDistribution(0.25, 2.0, step=0.125),
    "depth": IntDistribution(1, 8),
    "activation": CategoricalDistribution(["relu", "gelu"]),
}
FURTHER = {"plain": ("kernel",), "deep": ("blocks", "groups")}
NESTED: dict[str, BaseDistribution] = {
    "family": CategoricalDistribution(list(FURTHER)),
    "width": FloatDistribution(0.25, 2.0, step=0.25),
    "kernel": IntDistribution(1, 3),
    "blocks": IntDistribution(1, 4),
    "groups": IntDistribution(1, 4),
}


def cost(parameters: dict[str, Any]) -> float:
    return float(parameters["width"] ** 2 * parameters["depth"])


def score(parameters: dict[str, Any]) -> float:
    return 0.98 - 0.5 * (5 * cost(parameters)) ** -0.3 + (0.005 if parameters["activation"] == "gelu" else 0)


def suggest(trial: optuna.Trial, space: dict[str, BaseDistribution], *names: str) -> dict[str, Any]:
    return {name: trial._suggest(name, space[name]) for name in names or space}


def study_with(sampler: ParetoSampler, *, sign: float = 1) -> optuna.Study:
    return optuna.create_study(directions=["maximize" if sign > 0 else "minimize", "minimize"], sampler=sampler)


def distinct(study: optuna.Study) -> int:
    return len({tuple(sorted(trial.params.items())) for trial in study.trials})


@pytest.mark.parametrize("space", [SPACE, None])
def test_where_trials_fail_is_learned(space: dict[str, BaseDistribution] | None) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        parameters = suggest(trial, SPACE)
        if parameters["activation"] == "gelu" and parameters["depth"] >= 4:
            raise RuntimeError("diverges")
        return score(parameters), cost(parameters)

    study = study_with(ParetoSampler(cost, space=space))
    study.optimize(objective, n_trials=40, catch=(RuntimeError,))
    assert sum(trial.state is TrialState.FAIL for trial in study.trials) < 8


def test_a_bound_that_is_measured_is_learned() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        parameters = suggest(trial, SPACE)
        milliseconds = 0.1 * cost(parameters) + 0.4 * parameters["depth"]
        trial.set_constraint("latency", milliseconds / 2 - 1)
        if milliseconds > 2:
            raise optuna.TrialPruned
        return score(parameters), cost(parameters)

    study = study_with(ParetoSampler(cost, space=SPACE))
    study.optimize(objective, n_trials=40)
    assert sum(trial.state is TrialState.PRUNED for trial in study.trials) < 12


@pytest.mark.parametrize("space", [NESTED, None])
def test_a_cost_is_asked_about_the_parameters_of_the_candidate(space: dict[str, BaseDistribution] | None) -> None:
    def nested(parameters: dict[str, Any]) -> float:
        further = FURTHER[parameters["family"]]
        return float(parameters["width"] ** 2 * np.prod([parameters[name] for name in further]))

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        parameters = suggest(trial, NESTED, "family", "width")
        parameters |= suggest(trial, NESTED, *FURTHER[parameters["family"]])
        return 0.9 - 0.4 * nested(parameters) ** -0.3, nested(parameters)

    study = study_with(ParetoSampler(nested, space=space))
    study.optimize(objective, n_trials=40)
    assert distinct(study) == 40
    assert {trial.params["family"] for trial in study.trials} == set(FURTHER)


def nested_study(fails: Any, trials: int) -> optuna.Study:
    """Return a study in which a cost cannot be told of what a candidate lacks, and some trials fail."""

    def nested(parameters: dict[str, Any]) -> float:
        further = FURTHER[parameters["family"]]
        return float(parameters["width"] ** 2 * np.prod([parameters[name] for name in further]))

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        parameters = suggest(trial, NESTED, "family", "width")
        parameters |= suggest(trial, NESTED, *FURTHER[parameters["family"]])
        if fails(trial.number, parameters["family"]):
            raise RuntimeError("diverges")
        return 0.9 - 0.4 * nested(parameters) ** -0.3, nested(parameters)

    study = study_with(ParetoSampler(nested))
    study.optimize(objective, n_trials=trials, catch=(RuntimeError,))
    return study


def test_a_choice_that_always_fails_is_not_tried_for_ever() -> None:
    study = nested_study(lambda number, family: family == "deep", 40)
    families = [trial.params["family"] for trial in study.trials]
    assert families[:24].count("deep") < 10  # half of what is drawn
    assert distinct(study) == 40  # the other family has 24 points


def test_a_choice_that_failed_once_is_tried_again() -> None:
    seen = list[str]()

    def fails(number: int, family: str) -> bool:
        seen.append(family)
        return family == "deep" and seen.count("deep") == 1

    study = nested_study(fails, 30)
    assert sum(trial.params["family"] == "deep" and trial.values is not None for trial in study.trials) > 3


def test_a_cost_that_lacks_what_is_no_parameter_says_so() -> None:
    study = study_with(ParetoSampler(lambda parameters: parameters["missing"], space=SPACE))
    with pytest.raises(KeyError, match="missing"):
        study.ask(SPACE)


def test_trials_that_did_not_ask_for_all_are_no_obstacle() -> None:
    study = study_with(ParetoSampler(cost))
    study.optimize(lambda trial: (score(point := suggest(trial, SPACE)), cost(point)), n_trials=6)
    early = study.ask()
    early.suggest_int("depth", 1, 8)
    study.tell(early, state=TrialState.FAIL)
    running = study.ask()
    running._suggest("width", SPACE["width"])
    running.set_constraint("latency", 1.0)
    other = ParetoSampler(cost)  # of another process, which does not know what was asked for
    study.sampler = other
    assert cost(suggest(study.ask(), SPACE)) > 0


def test_threads_do_not_repeat_each_other() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        time.sleep(0.01)  # before anything is asked for
        parameters = suggest(trial, SPACE)
        time.sleep(0.01)
        return score(parameters), cost(parameters)

    study = study_with(ParetoSampler(cost, space=SPACE))
    study.optimize(objective, n_trials=32, n_jobs=4)
    assert distinct(study) == 32


@pytest.mark.parametrize("failed", [0, 5])
def test_several_proposals_in_a_row_take_one_fit_and_none_repeats(failed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fits, real = list[int](), GaussianProcess.fit

    def fit(process: GaussianProcess, *arguments: Any, **keywords: Any) -> GaussianProcess:
        fits.append(1)
        return real(process, *arguments, **keywords)

    monkeypatch.setattr(GaussianProcess, "fit", fit)
    study = study_with(ParetoSampler(cost, space=SPACE))
    for number in range(10):
        trial = study.ask(SPACE)
        if number < failed:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, [score(trial.params), cost(trial.params)])
    fits.clear()
    for _ in range(8):
        study.ask(SPACE)
    assert distinct(study) == 18
    assert len(fits) == (2 if failed else 1)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("killed", [1, 6])
def test_what_a_killed_worker_tried_is_tried_again_and_changes_no_other_proposal(killed: int) -> None:
    def proposals(killed: int | None) -> list[dict[str, Any]]:
        study = study_with(ParetoSampler(cost, space=SPACE))
        for number in range(10):
            trial = study.ask(SPACE)
            if number == killed:  # as Optuna's heartbeats tell and its callback mends
                study.tell(trial, state=TrialState.FAIL)
                RetryHeartbeatStaleTrialCallback()(study, study.trials[-1])
                trial = study.ask()
            study.tell(trial, [score(trial.params), cost(trial.params)])
        return [trial.params for trial in study.trials if trial.state is TrialState.COMPLETE]

    assert proposals(killed) == proposals(None)


def test_a_space_that_is_used_up_ends_the_study(caplog: pytest.LogCaptureFixture) -> None:
    space: dict[str, BaseDistribution] = {"depth": IntDistribution(1, 7)}
    sampler = ParetoSampler(lambda parameters: float(parameters["depth"]), space=space)
    study = study_with(sampler)
    study.optimize(lambda trial: (0.5, float(suggest(trial, space)["depth"])), n_trials=20)
    assert distinct(study) == len(study.trials) == 7
    assert study.ask(space).params  # whoever asks on gets random ones


@pytest.mark.parametrize(("factor", "offset"), [(100.0, 0.0), (-1.0, 0.0), (3.0, -40.0)])
def test_scores_of_any_scale_and_sign_give_the_same_proposals(factor: float, offset: float) -> None:
    def proposals(factor: float, offset: float) -> list[dict[str, Any]]:
        study = study_with(ParetoSampler(cost, space=SPACE), sign=factor)
        study.optimize(
            lambda trial: (offset + factor * score(point := suggest(trial, SPACE)), cost(point)), n_trials=14
        )
        return [trial.params for trial in study.trials]

    assert proposals(factor, offset) == proposals(1.0, 0.0)


def test_costs_with_a_minus_that_are_maximised_give_the_same_proposals() -> None:
    def proposals(sign: float, direction: str) -> list[dict[str, Any]]:
        sampler = ParetoSampler(lambda parameters: sign * cost(parameters), space=SPACE, startup_trials=1)
        study = optuna.create_study(directions=["maximize", direction], sampler=sampler)
        study.enqueue_trial({"width": 1.0, "depth": 4, "activation": "relu"})
        study.optimize(lambda trial: (score(point := suggest(trial, SPACE)), sign * cost(point)), n_trials=12)
        return [trial.params for trial in study.trials]

    assert proposals(-1.0, "maximize")[:3] == proposals(1.0, "minimize")[:3]
    assert len(proposals(-1.0, "maximize")) == 12


def test_a_score_of_infinity_is_a_failure() -> None:
    study = study_with(ParetoSampler(cost, space=SPACE))

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        parameters = suggest(trial, SPACE)
        return (-float("inf") if parameters["depth"] > 5 else score(parameters)), cost(parameters)

    study.optimize(objective, n_trials=25)
    assert sum(trial.params["depth"] > 5 for trial in study.trials) < 8


def test_a_narrow_band_is_climbed_into() -> None:
    fine: dict[str, BaseDistribution] = {"width": FloatDistribution(0.25, 2.0), "depth": IntDistribution(1, 80)}

    def excess(parameters: dict[str, Any]) -> float:
        return max(0.0, abs(cost(parameters) / 30 - 1) - 1e-4)

    found = climb(fine, excess, lambda point: tuple(point.values()), np.random.default_rng(0))
    assert found and all(excess(point) == 0 for point in found)
    sampler = ParetoSampler(cost, space=fine, feasible=lambda point: excess(point) == 0, excess=excess)
    study = study_with(sampler)
    study.optimize(lambda trial: (0.5 + 0.001 * suggest(trial, fine)["depth"], cost(trial.params)), n_trials=8)
    assert all(excess(trial.params) == 0 for trial in study.trials) and distinct(study) == 8


def test_a_sampler_goes_to_another_process() -> None:
    sampler = pickle.loads(pickle.dumps(ParetoSampler(np.prod, space=SPACE)))
    assert sampler.infer_relative_search_space(study_with(sampler), None) == SPACE  # type: ignore[arg-type]
