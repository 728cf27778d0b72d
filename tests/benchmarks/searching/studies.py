"""Claims: in Optuna studies as people have them, ``ParetoSampler`` learns what is to be learned there.

Failures: fewer than 10 of 60 trials in a corner that always fails. Latency: fewer than 15 of 60 trials miss a bound
that only measuring tells. Conditions: 95 % of the hypervolume after 100 trials where a family decides which parameters
there are. Threads: none of 60 proposals repeats with ``n_jobs=4``. Percent: accuracies in percent and as shares give
the same proposals. Band: none of 12 proposals lies outside a band of FLOPs that less than a thousandth of the space is
in. Each beside Optuna's multivariate TPE and random proposals.
"""

from __future__ import annotations

import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState
from searching.kept import kept

from nas.config.study import StudyConfig
from nas.fronts.geometry import hypervolume
from nas.sampling.pareto import ParetoSampler
from nas.search.proposals import Networks, distributions

Cost = Callable[[dict[str, Any]], float]
Space = dict[str, BaseDistribution]
Make = Callable[..., BaseSampler]
"""From cost, space, seed and, by name, what else the sampler is told of candidates."""

SAMPLERS: dict[str, Make] = {
    "pareto": lambda cost, space, seed, **known: ParetoSampler(cost, seed=seed, **known),
    "pareto, space=": lambda cost, space, seed, **known: ParetoSampler(cost, seed=seed, space=space, **known),
    "tpe": lambda cost, space, seed, **known: TPESampler(seed=seed, multivariate=True, group=True),
    "random": lambda cost, space, seed, **known: RandomSampler(seed=seed),
}


def suggest(trial: optuna.Trial, space: Space, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: trial._suggest(name, space[name]) for name in names}


def study_with(sampler: BaseSampler) -> optuna.Study:
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)


# -- a corner that fails, and a bound that is measured -------------------------------------------------------------

PLAIN: Space = {
    "width": FloatDistribution(0.25, 2.0, step=0.125),
    "depth": IntDistribution(1, 8),
    "activation": CategoricalDistribution(["relu", "gelu"]),
}


def plain_cost(p: dict[str, Any]) -> float:
    return 1e5 * float(p["width"]) ** 2 * float(p["depth"])


def plain_score(p: dict[str, Any]) -> float:
    return 0.98 - 0.5 * (plain_cost(p) / 2e4) ** -0.3 + (0.005 if p["activation"] == "gelu" else 0.0)


def failures(make: Make, seed: int) -> float:
    """Of 60 trials, how many fail: deep networks with one of two activations always do."""

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        p = suggest(trial, PLAIN, tuple(PLAIN))
        if p["activation"] == "gelu" and p["depth"] >= 4:
            raise RuntimeError("diverges")
        return plain_score(p), plain_cost(p)

    study = study_with(make(plain_cost, PLAIN, seed))
    study.optimize(objective, n_trials=60, catch=(RuntimeError,))
    return sum(trial.state is TrialState.FAIL for trial in study.trials)


def latency(make: Make, seed: int) -> float:
    """Of 60 trials, how many are too slow: deep networks are, whatever they cost."""

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        p = suggest(trial, PLAIN, tuple(PLAIN))
        milliseconds = plain_cost(p) / 1e6 + 0.4 * p["depth"]
        trial.set_constraint("latency", milliseconds / 2.0 - 1)
        if milliseconds > 2.0:
            raise optuna.TrialPruned
        return plain_score(p), plain_cost(p)

    study = study_with(make(plain_cost, PLAIN, seed))
    study.optimize(objective, n_trials=60)
    return sum(trial.state is TrialState.PRUNED for trial in study.trials)


# -- a family that decides which parameters there are --------------------------------------------------------------

FAMILIES = {"res": (0.3, 0.1, 0.2), "eff": (0.5, 0.2, 0.1), "mix": (0.2, 0.4, 0.3)}
OWN = {family: tuple(f"{family}_{i}" for i in range(3)) for family in FAMILIES}
NESTED: Space = {
    "family": CategoricalDistribution(list(FAMILIES)),
    "width": FloatDistribution(0.25, 2.0, step=0.25),
    "depth": IntDistribution(1, 6),
    **{name: IntDistribution(0, 3) for names in OWN.values() for name in names},
}


def nested_cost(p: dict[str, Any]) -> float:
    family = p["family"]
    factor = {"res": 3.0, "eff": 1.0, "mix": 2.0}[family] * float(p["width"]) ** 2 * float(p["depth"])
    return factor * float(np.exp(np.dot(FAMILIES[family], [p[name] for name in OWN[family]])))


def nested_score(p: dict[str, Any]) -> float:
    own = np.array([p[name] for name in OWN[p["family"]]])
    base, slope = {"res": (0.0, 0.02), "eff": (0.03, 0.025), "mix": (0.01, 0.02)}[p["family"]]
    gain = base + slope * float(own @ np.array([1.0, -0.5, 0.8])) - 0.01 * float(own[0] * own[1])
    return 0.55 + 0.07 * float(np.log(p["width"] + 0.2)) + 0.05 * float(np.log(p["depth"])) + gain


def share_of_nested(points: list[tuple[float, float]]) -> float:
    def area(given: list[tuple[float, float]]) -> float:
        errors, costs = np.array([1 - score for score, _ in given]), np.log([cost for _, cost in given])
        return hypervolume(costs, errors, reference_cost=_LARGEST + 0.01, reference_error=0.9)

    return area(points) / area(_EVERYTHING)


_EVERYTHING = [
    (nested_score(p), nested_cost(p))
    for family, names in OWN.items()
    for values in itertools.product(np.arange(0.25, 2.01, 0.25), range(1, 7), *(range(4) for _ in names))
    for p in [{"family": family, **dict(zip(("width", "depth", *names), values, strict=True))}]
]
_LARGEST = float(np.log(max(cost for _, cost in _EVERYTHING)))


def conditions(make: Make, seed: int) -> float:
    """Share of the hypervolume after 100 trials."""

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        p = suggest(trial, NESTED, ("family", "width", "depth"))
        p |= suggest(trial, NESTED, OWN[p["family"]])
        return nested_score(p), nested_cost(p)

    study = study_with(make(nested_cost, NESTED, seed))
    study.optimize(objective, n_trials=100)
    return share_of_nested([(trial.values[0], trial.values[1]) for trial in study.trials])


# -- threads, and units ----------------------------------------------------------------------------------------------

CUBE: Space = {name: IntDistribution(0, 7) for name in "abc"}


def cube_cost(p: dict[str, Any]) -> float:
    return float(2 ** p["a"] + 3 * p["b"] + p["c"] + 1)


def threads(make: Make, seed: int) -> float:
    """Of 60 trials on four threads, how many repeat another."""

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        p = suggest(trial, CUBE, tuple(CUBE))
        time.sleep(0.05)
        return 0.9 - 0.4 * cube_cost(p) ** -0.4 + 0.002 * p["c"], cube_cost(p)

    study = study_with(make(cube_cost, CUBE, seed))
    study.optimize(objective, n_trials=60, n_jobs=4)
    return 60 - len({tuple(sorted(trial.params.items())) for trial in study.trials})


def units(make: Make, seed: int) -> float:
    """Of 30 proposals, how many differ where the scores are in percent."""

    def proposals(factor: float, offset: float) -> list[dict[str, Any]]:
        study = study_with(make(plain_cost, PLAIN, seed))
        study.optimize(
            lambda trial: (
                offset + factor * plain_score(p := suggest(trial, PLAIN, tuple(PLAIN))),
                plain_cost(p),
            ),
            n_trials=30,
        )
        return [trial.params for trial in study.trials]

    return sum(a != b for a, b in zip(proposals(1, 0), proposals(100, 0), strict=True))


# -- a narrow band -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def band_networks() -> tuple[Networks, Space]:
    """Return the networks of two families, of which one of two thousand is within 0.1 % of 10M FLOPs."""
    config = StudyConfig.model_validate(
        {
            "name": "band",
            "data": {"digits": True},
            "budget": {"flops": {"min": "9.99M", "max": "10.01M"}},
            "search": {
                "spaces": ["resnet_small", "efficientnet_small"],
                "width": {"min": 0.25, "max": 3.0},
                "depth": {"min": 0.25, "max": 4.0},
                "resolution": {"min": 8, "max": 64, "step": 1},
                "trials": 30,
            },
        }
    )
    kind = SimpleNamespace(classes=range(10), channels=1)  # all that decides about a network of the digits
    return Networks(config, kind), distributions(config.search)


def band(make: Make, seed: int) -> float:
    """Of 12 trials, how many are of networks outside the band."""
    networks, space = band_networks()

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        network = networks(suggest(trial, space, tuple(space)))
        trial.set_constraint("band", network.excess)
        if not network.allowed:
            raise optuna.TrialPruned
        return 0.5 + 0.01 * float(np.random.default_rng(trial.number).random()), network.flops

    known = {
        "feasible": lambda p: networks(p).allowed,
        "excess": lambda p: networks(p).excess,
        "identity": lambda p: networks(p).digest,
    }
    study = study_with(make(lambda p: networks(p).flops, space, seed, **known))
    study.optimize(objective, n_trials=12)
    return sum(trial.state is TrialState.PRUNED for trial in study.trials)


class Claim(NamedTuple):
    """A problem, what is counted there, and what is claimed of ours."""

    problem: Callable[[Make, int], float]
    counted: str
    goal: str
    holds: Callable[[float], bool]


CLAIMS = {
    "failures": Claim(failures, "failed trials of 60", "fewer than 10", lambda value: value < 10),
    "latency": Claim(latency, "trials of 60 that miss the bound", "fewer than 15", lambda value: value < 15),
    "conditions": Claim(conditions, "share of the hypervolume after 100 trials", "0.95", lambda value: value >= 0.95),
    "threads": Claim(threads, "repeats among 60 on four threads", "0", lambda value: value == 0),
    "percent": Claim(units, "proposals of 30 that differ from those for shares", "0", lambda value: value == 0),
    "band": Claim(band, "proposals of 12 outside a band of FLOPs", "0", lambda value: value == 0),
}


def section(seeds: int, keep: Path | None) -> list[str]:
    """Return the second half of the page: a row for each problem."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    lines = [
        "# Studies as people have them",
        "",
        f"`tests/benchmarks/searching/studies.py` says what is measured. Mean ± standard deviation of {seeds} seeds."
        " `pareto` is told no space and learns it from the first trial; `tpe` is Optuna's multivariate TPE.",
        "",
        f"| problem | goal | {' | '.join(SAMPLERS)} |",
        f"|{'---|' * (2 + len(SAMPLERS))}",
    ]
    verdicts = []
    for name, claim in CLAIMS.items():
        found = {
            label: kept(keep, f"{name}-{label}", lambda claim=claim, make=make: values(claim, make, seeds))
            for label, make in SAMPLERS.items()
        }
        cells = [f"{statistics.mean(of):.3g} ± {statistics.pstdev(of):.2g}" for of in found.values()]
        lines.append(f"| {name}: {claim.counted} | {claim.goal} | {' | '.join(cells)} |")
        ours = statistics.mean(found["pareto, space="])
        verdicts.append(f"- {'Reached' if claim.holds(ours) else 'Not reached'}: {name}, {ours:.3g} with `space=`.")
    return [*lines, "", *verdicts]


def values(claim: Claim, make: Make, seeds: int) -> list[float]:
    return [claim.problem(make, seed) for seed in range(seeds)]
