"""Claim: ``ParetoSampler`` has more of the true front's hypervolume than Optuna's samplers after as many proposals.

Every network of ``studies/digits.yaml`` within its budget is trained once, for three epochs; that is the table, in
which the true front is known. Then each sampler searches it with ten seeds, reading accuracies instead of training.
What counts is the share of the true front's hypervolume, between the logarithm of the FLOPs and the validation error,
after 20, 40 and 60 proposals; one outside the budget or of a network known before counts as well, as in a study.

Run as ``python tests/benchmarks/sampler.py [TABLE.csv]``; a table that is there is read instead of trained.
"""

from __future__ import annotations

import csv
import math
import multiprocessing
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

from nas.config import StudyConfig, load_study_config
from nas.data.sources import Dataset, load_data
from nas.search.improvement import hypervolume
from nas.search.objective import propose
from nas.search.pareto_sampler import ParetoSampler
from nas.search.points import all_points
from nas.search.proposals import Networks, architecture_of, distributions
from nas.training.loop import train, trial_seed

AFTER, SEEDS = (20, 40, 60), 10


def main() -> None:
    config, dataset = study()
    networks = Networks(config, dataset)
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    table = read(path) if path is not None and path.exists() else build(networks)
    if path is not None:
        write(path, table)
    flops = {networks(p).digest: networks(p).flops for p in all_points(distributions(config.search)) or []}
    costs, errors = (np.array(v) for v in zip(*((math.log(flops[d]), 1 - a) for d, a in table.items()), strict=True))
    reference = {"reference_cost": costs.max() + 0.05, "reference_error": float(errors.max())}
    whole = hypervolume(costs, errors, **reference)
    print(f"{len(table)} networks; share of the true front's hypervolume after {', '.join(map(str, AFTER))} proposals")

    def shares(sampler: optuna.samplers.BaseSampler) -> list[float]:
        searched = search(config, dataset, networks, table, sampler)
        found = [(math.log(t.values[1]), 1 - t.values[0]) if t.values else None for t in searched.trials]
        parts = []
        for count in AFTER:
            done = [pair for pair in found[:count] if pair is not None]
            parts.append(hypervolume(*(np.array(v) for v in zip(*done, strict=True)), **reference) / whole)
        return parts

    means = {}
    for name, make in samplers(config, networks).items():
        started = time.perf_counter()
        runs = [shares(make(seed)) for seed in range(SEEDS)]
        seconds = (time.perf_counter() - started) / SEEDS
        columns = list(zip(*runs, strict=True))
        means[name] = [statistics.mean(column) for column in columns]
        cells = "  ".join(f"{m:.3f} ± {statistics.stdev(c):.3f}" for m, c in zip(means[name], columns, strict=True))
        print(f"  {name:<20} {cells}   {seconds:.1f} s a run")
    best = max(max(values) for values in zip(*(m for n, m in means.items() if n != "ParetoSampler"), strict=True))
    holds = all(ours > max(m[i] for n, m in means.items() if n != "ParetoSampler")
                for i, ours in enumerate(means["ParetoSampler"]))  # fmt: skip
    print(f"{'PASS' if holds else 'FAIL'}: more than the others after each number (their best at all: {best:.3f})")
    sys.exit(not holds)


@cache
def study() -> tuple[StudyConfig, Dataset]:
    config, _ = load_study_config("studies/digits.yaml")
    return config, load_data(config.data)


def samplers(config: StudyConfig, networks: Networks) -> dict[str, Callable[[int], optuna.samplers.BaseSampler]]:
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)

    def pareto(seed: int) -> ParetoSampler:
        return ParetoSampler(
            lambda p: networks(p).flops,
            seed=seed,
            startup_trials=10,
            space=distributions(config.search),
            feasible=lambda p: networks(p).allowed,
            identity=lambda p: networks(p).digest,
        )

    return {
        "ParetoSampler": pareto,
        "TPE, multivariate": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True),
        "TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
        "NSGA-II": lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=10),
        "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    }


def search(
    config: StudyConfig,
    dataset: Dataset,
    networks: Networks,
    table: dict[str, float],
    sampler: optuna.samplers.BaseSampler,
) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searched = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        candidate = propose(trial, config.search, dataset)
        for key, violation in config.budget.violations(candidate.cost).items():
            trial.set_constraint(key, violation)
        if candidate.record.digest not in table:
            raise optuna.TrialPruned("outside the budget")
        return table[candidate.record.digest], float(candidate.cost.flops)

    searched.optimize(objective, n_trials=max(AFTER))
    return searched


def build(networks: Networks) -> dict[str, float]:
    config, _ = study()
    distinct: dict[str, dict[str, Any]] = {}
    for parameters in all_points(distributions(config.search)) or []:
        network = networks(parameters)
        if network.allowed:
            distinct.setdefault(network.digest, parameters)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return dict(zip(distinct, pool.map(accuracy, distinct.values(), chunksize=1), strict=True))


def accuracy(parameters: dict[str, Any]) -> float:
    config, dataset = study()
    architecture = architecture_of(config.search, parameters, dataset)
    recipe = config.recipe.model_copy(update={"epochs": 3})
    seed = trial_seed(0, architecture.digest)
    return train(architecture, dataset, recipe, seed=seed, device=torch.device("cpu")).val_accuracy


def read(path: Path) -> dict[str, float]:
    with path.open(newline="", encoding="utf-8") as file:
        return {digest: float(value) for digest, value in csv.reader(file)}


def write(path: Path, table: dict[str, float]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(table.items())


if __name__ == "__main__":
    main()
