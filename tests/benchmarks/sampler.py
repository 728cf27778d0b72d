"""Claims: in Optuna studies as people have them, ``ParetoSampler`` learns what is to be learned there.

Percent: accuracies in percent and as shares, and scores times and plus anything, give the same proposals. Failures:
fewer than 10 of 60 trials in a corner that always fails. Bounds: fewer than 15 of 60 trials miss a bound that only
measuring tells. Conditions: 95 % of the hypervolume after 100 trials where a family decides which parameters there are.
Threads: none of 60 proposals repeats with ``n_jobs=4``. Each beside Optuna's multivariate TPE and random proposals,
and the first version of the sampler. On the tables of ``search.py`` the second version is no worse than the first.

Run as ``python tests/benchmarks/sampler.py [--seeds 20] [-o studies/results/search/STUDIES.md]``.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from nas.fronts.geometry import hypervolume
from nas.replay.problem import Entry, Problem, Yardstick
from nas.replay.simulate import cost_of
from nas.sampling.pareto import ParetoSampler

Cost = Callable[[dict[str, Any]], float]
Space = dict[str, BaseDistribution]
Make = Callable[[Cost, Space, int], BaseSampler]

SAMPLERS: dict[str, Make] = {
    "pareto": lambda cost, space, seed: ParetoSampler(cost, seed=seed),
    "pareto, space=": lambda cost, space, seed: ParetoSampler(cost, seed=seed, space=space),
    "pareto 1, space=": lambda cost, space, seed: ParetoSampler(cost, seed=seed, space=space, version=1),
    "tpe": lambda cost, space, seed: TPESampler(seed=seed, multivariate=True, group=True),
    "random": lambda cost, space, seed: RandomSampler(seed=seed),
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


def bounds(make: Make, seed: int) -> float:
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


PROBLEMS: dict[str, tuple[Callable[[Make, int], float], str, str]] = {
    "failures": (failures, "failed trials of 60", "fewer than 10"),
    "measured bound": (bounds, "trials of 60 that miss it", "fewer than 15"),
    "conditions": (conditions, "share of the hypervolume after 100 trials", "0.95"),
    "four threads": (threads, "repeats among 60", "0"),
    "percent": (units, "proposals of 30 that differ from those for shares", "0"),
}


def shares_on_tables(seeds: int) -> list[str]:
    """Return a table: the share of the hypervolume after so many proposals, of both versions of the sampler."""
    sys.path.insert(0, str(Path(__file__).parent))
    import search

    tables = {
        "scaling table": lambda: search.scaling_table(search.TABLE),
        "categorical": search.categorical,
        "interactions": search.interactions,
    }
    lines = ["| problem | version | 25 | 50 | 100 |", "|---|---|---|---|---|"]
    for name, load in tables.items():
        problem = load()
        for version, factor in ((1, 1.0), (1, 100.0), (2, 1.0)):
            runs = [shares_of(problem, seed, version, factor) for seed in range(seeds)]
            quartiles = np.quantile(runs, (0.25, 0.5, 0.75), axis=0).T
            cells = [f"{median:.3f} [{low:.3f}, {high:.3f}]" for low, median, high in quartiles]
            label = f"{version}{', in percent' if factor == 100 else ''}"
            lines.append(f"| {name} | {label} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return lines


def shares_of(problem: Problem, seed: int, version: int, factor: float) -> list[float]:
    """Return the shares after 25, 50 and 100 proposals."""
    yardstick, done, shares = Yardstick(problem), list[Entry](), list[float]()
    known = {"space": problem.space, "identity": problem.identity, "feasible": problem.allowed}
    study = study_with(ParetoSampler(cost_of(problem), seed=seed, version=version, **known))
    for index in range(100):
        trial = study.ask(dict(problem.space))
        done.append(problem.entries[problem.identity(trial.params)])
        study.tell(trial, [factor * done[-1].accuracies[-1], done[-1].cost])
        if index + 1 in (25, 50, 100):
            shares.append(yardstick.share(done))
    return shares


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--output", type=Path, default=Path("studies/results/search/STUDIES.md"))
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    lines = [
        "# The sampler in studies as people have them",
        "",
        f"Written by `python tests/benchmarks/sampler.py --seeds {given.seeds}`, whose first lines say what is measured"
        f" (Python {platform.python_version()}, optuna {optuna.__version__}, {platform.machine()}). Mean ± standard"
        f" deviation of {given.seeds} seeds. `pareto 1` is the sampler before its second version; it had no way to ask"
        " for parameters that only some trials have without `space=`.",
        "",
        f"| problem | goal | {' | '.join(SAMPLERS)} |",
        f"|{'---|' * (2 + len(SAMPLERS))}",
    ]
    for name, (problem, what, goal) in PROBLEMS.items():
        cells = []
        for label, make in SAMPLERS.items():
            values = [problem(make, seed) for seed in range(given.seeds)]
            cells.append(f"{statistics.mean(values):.3g} ± {statistics.pstdev(values):.2g}")
            print(name, label, cells[-1], flush=True)
        lines.append(f"| {name}: {what} | {goal} | {' | '.join(cells)} |")
    lines += ["", "## On tables", "", "Share of the hypervolume after so many proposals, median [quartiles]:", ""]
    lines += shares_on_tables(given.seeds)
    lines += ["", "The second version makes the same proposals for percent."]
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
