"""Which parameters apply, as trials tell."""

from __future__ import annotations

from typing import Any

import optuna
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from nas.sampling.conditions import Conditions

SPACE: dict[str, BaseDistribution] = {
    "family": CategoricalDistribution(["a", "b", "c"]),
    "layers": IntDistribution(1, 4),
    "a_kind": CategoricalDistribution(["x", "y"]),
    "a_x_size": IntDistribution(0, 3),
    "b_size": IntDistribution(0, 3),
    "layer_3": IntDistribution(0, 3),
}


def own(point: dict[str, Any]) -> dict[str, Any]:
    """Return what truly applies."""
    applies = {
        "a_kind": point["family"] == "a",
        "a_x_size": point["family"] == "a" and point["a_kind"] == "x",
        "b_size": point["family"] == "b",
        "layer_3": point["layers"] >= 3,
    }
    return {name: value for name, value in point.items() if applies.get(name, True)}


def tried(point: dict[str, Any], state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    params = own(point)
    values = [0.5, 1.0] if state is TrialState.COMPLETE else None
    distributions = {name: SPACE[name] for name in params}
    return optuna.trial.create_trial(params=params, distributions=distributions, values=values, state=state)


POINTS = st.fixed_dictionaries(
    {
        name: st.sampled_from(d.choices if isinstance(d, CategoricalDistribution) else range(d.low, d.high + 1))
        for name, d in SPACE.items()
    }
)
WHOLE = [
    {"family": f, "layers": n, "a_kind": k, "a_x_size": i, "b_size": i, "layer_3": i}
    for f in "abc"
    for n in (1, 2, 3, 4)
    for i, k in enumerate("xy")
]


@given(POINTS)
def test_what_trials_have_shown_is_known(point: dict[str, Any]) -> None:
    conditions = Conditions(map(tried, WHOLE), SPACE)
    assert conditions and conditions.own(point) == own(point)


@given(POINTS, st.lists(POINTS, max_size=4))
def test_a_candidate_never_gets_what_it_has_not(point: dict[str, Any], seen: list[dict[str, Any]]) -> None:
    kept = Conditions(map(tried, seen), SPACE).own(point)
    assert kept.items() <= point.items() and {"family", "layers"} <= kept.keys()


def test_what_no_trial_had_belongs_to_choices_that_none_made() -> None:
    first = {"family": "b", "layers": 2, "a_kind": "x", "a_x_size": 1, "b_size": 2, "layer_3": 0}
    conditions = Conditions([tried(first)], SPACE)
    assert conditions.own({**first, "b_size": 0}).keys() == {"family", "layers", "b_size"}
    assert conditions.own({**first, "family": "a"}).keys() == SPACE.keys()


def test_a_trial_that_failed_early_does_not_mislead() -> None:
    complete = [tried(point) for point in WHOLE if point["family"] == "b" and point["layers"] > 2]
    early = optuna.trial.create_trial(
        params={"family": "b", "layers": 1},
        distributions={name: SPACE[name] for name in ("family", "layers")},
        state=TrialState.FAIL,
    )
    point = {**WHOLE[0], "family": "b", "layers": 1}
    assert "b_size" in Conditions([*complete, early], SPACE).own(point)


def test_trials_that_failed_tell_too() -> None:
    failed = [tried(point, TrialState.FAIL) for point in WHOLE if point["family"] == "a"]
    complete = [tried(point) for point in WHOLE if point["family"] == "b"]
    conditions = Conditions([*failed, *complete], SPACE)
    for point in WHOLE:
        if point["family"] != "c":
            assert conditions.own(point) == own(point)
