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


def proposed(space: dict[str, BaseDistribution], version: int, thrift: float = 0.0) -> str:
    sampler = ParetoSampler(cost, seed=3, space=space, version=version, thrift=thrift)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for _ in range(16):
        trial = study.ask(space)
        study.tell(trial, (accuracy(trial.params), cost(trial.params)))
    found = [trial.params for trial in study.trials]
    return " ".join(f"{p['family'][0]}{p['depth']}-{p['width']}" for p in found)


@pytest.mark.parametrize("version", RECORDED)
def test_an_earlier_version_proposes_what_it_proposed(version: int) -> None:
    assert proposed(SPACE, version) == RECORDED[version]


def test_where_nothing_is_scaled_the_third_version_is_the_second() -> None:
    choices: dict[str, BaseDistribution] = {
        "family": SPACE["family"],
        "depth": CategoricalDistribution([1, 2, 4, 6]),
        "width": CategoricalDistribution([4, 8, 16, 32, 64]),
    }
    for thrift in (0.0, 0.5):
        assert proposed(choices, 3, thrift) == proposed(choices, 2, thrift)
    assert proposed(SPACE, 3) != proposed(SPACE, 2)
