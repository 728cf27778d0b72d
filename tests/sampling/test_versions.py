"""Studies that were begun with an earlier version of the sampler get the proposals that it made."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from nas.sampling.pareto import ParetoSampler

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE: dict[str, BaseDistribution] = {
    "family": CategoricalDistribution(["plain", "deep"]),
    "depth": IntDistribution(1, 6),
    "width": IntDistribution(4, 64, log=True),
}
RECORDED = {
    1: "d4-63 d1-31 p5-5 d1-5 d6-21 d6-4 p1-4 d1-4 d6-11 d1-9 d6-33 d6-15 d3-10 d2-9 d1-7 d4-14",
    2: "d4-63 d1-31 p5-5 d1-5 d6-21 d6-4 p1-4 d1-4 d6-11 d1-9 d6-33 d6-15 d3-10 d4-13 d2-8 d1-7",
}
"""What each version proposed before there was a third."""


def cost(params: dict[str, Any]) -> float:
    return float(params["depth"] * params["width"] ** 2.0)


def accuracy(params: dict[str, Any]) -> float:
    best = {"plain": 12.0, "deep": 5.0}[params["family"]]
    balance = math.log(params["width"] / params["depth"] / best)
    return float(1 - 0.6 * cost(params) ** -0.12 - 0.03 * balance**2)


@pytest.mark.parametrize("version", RECORDED)
def test_an_earlier_version_proposes_what_it_proposed(version: int) -> None:
    sampler = ParetoSampler(cost, seed=3, space=SPACE, version=version)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for _ in range(16):
        trial = study.ask(SPACE)
        study.tell(trial, (accuracy(trial.params), cost(trial.params)))
    found = [trial.params for trial in study.trials]
    assert " ".join(f"{p['family'][0]}{p['depth']}-{p['width']}" for p in found) == RECORDED[version]
