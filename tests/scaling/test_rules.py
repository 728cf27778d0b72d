"""Rules: their factors are the papers', a rule file gives the rule back, and what is no growth is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture.presets import preset_point
from nas.errors import ConfigError
from nas.scaling.costs import ACTIVATIONS, COSTS, FLOPS, cost_kind, train_seconds
from nas.scaling.rules import MOST_DOUBLINGS, RULES, Rule, compound, fast, load_rule, rule_to_json, scaling_rule
from nas.scaling.seconds import SecondsModel

factors = st.floats(1.0, 3.0)


@pytest.mark.parametrize(
    ("rule", "exponent"),
    [(fast(1 / 3), 5 / 6), (fast(), 0.6), (fast(1), 0.5), (scaling_rule("width"), 0.5), (scaling_rule("depth"), 1.0)],
)
def test_activations_grow_as_dollar_et_al_say(rule: Rule, exponent: float) -> None:
    assert FLOPS.log_growth(**rule.step()) / math.log(2) == pytest.approx(1)
    assert ACTIVATIONS.log_growth(**rule.step()) / math.log(2) == pytest.approx(exponent)


@given(st.floats(0, 1))
def test_fast_scaling_doubles_the_flops_whatever_its_share(alpha: float) -> None:
    rule = fast(alpha)
    assert FLOPS.log_growth(**rule.step()) == pytest.approx(math.log(2))
    assert ACTIVATIONS.log_growth(**rule.step()) == pytest.approx((1 - alpha / 2) * math.log(2))
    assert rule.width**2 == pytest.approx(2**alpha)


def test_fast_scaling_at_a_third_is_uniform() -> None:
    assert fast(1 / 3).width == pytest.approx(2 ** (1 / 6))
    assert fast(1 / 3).resolution == pytest.approx(2 ** (1 / 6))
    assert fast(1 / 3).depth == pytest.approx(2 ** (1 / 3))


def test_compound_is_efficientnets() -> None:
    assert compound().factors(2) == pytest.approx((1.1**2, 1.2**2, 1.15**2))
    assert compound(1.4, 1.3, 1.5).step() == {"width": 1.3, "depth": 1.4, "resolution": 1.5}


@pytest.mark.parametrize("index", range(8))
def test_the_published_rule_is_the_table_of_the_reference_code(index: int) -> None:
    start, point = preset_point("efficientnet_b0"), preset_point(f"efficientnet_b{index}")
    width, depth, resolution = scaling_rule("efficientnet").factors(index)
    assert (width, depth) == (point.width, point.depth)
    assert start.resolution * resolution == pytest.approx(point.resolution)


@given(factors, factors, factors, st.sampled_from(sorted(COSTS)))
def test_a_rule_keeps_its_proportions_when_another_cost_doubles(
    width: float, depth: float, resolution: float, name: str
) -> None:
    kind = cost_kind(name)
    if kind.log_growth(width=width, depth=depth, resolution=resolution) < 0.01 or kind.exponents == FLOPS.exponents:
        return
    rule = Rule("found", width, depth, resolution)
    other = rule.doubling(kind)
    assert other.cost == name
    assert kind.log_growth(**other.step()) == pytest.approx(math.log(2))
    pace = FLOPS.log_growth(**other.step()) / FLOPS.log_growth(**rule.step())
    assert other.step() == pytest.approx({key: factor**pace for key, factor in rule.step().items()}, rel=1e-6)


def test_a_rule_stays_as_it_is_for_its_own_cost_and_for_multiply_adds() -> None:
    rule = compound()
    assert rule.doubling(FLOPS) is rule
    assert rule.doubling(cost_kind("multiply_adds")).step() == rule.step()
    assert scaling_rule("efficientnet").doubling(cost_kind("multiply_adds")).published


def test_costs_follow_the_coefficients_as_a_plain_network_does() -> None:
    exponents = {name: (kind.width, kind.depth, kind.resolution) for name, kind in COSTS.items()}
    assert exponents == {
        "flops": (2, 1, 2),
        "multiply_adds": (2, 1, 2),
        "activations": (1, 1, 2),
        "params": (2, 1, 0),
        "peak_memory": (1, 0, 2),
    }


def test_training_time_grows_with_flops_and_activations() -> None:
    kind = train_seconds(SecondsModel(0.0, flops=0.2, activations=0.7))
    assert kind.exponents == pytest.approx((0.2 * 2 + 0.7, 0.9, 1.8))


@pytest.mark.parametrize("rule", [compound(), fast(0.5), scaling_rule("efficientnet"), Rule("found", 1.2, 0.97, 1.1)])
def test_a_rule_file_gives_the_rule_back(rule: Rule) -> None:
    Path("rule.json").write_text(rule_to_json(rule))
    assert load_rule("rule.json") == rule == scaling_rule("rule.json")


def test_factors_may_be_written_out() -> None:
    assert scaling_rule("width=1.25, resolution=1.13").step() == {"width": 1.25, "depth": 1.0, "resolution": 1.13}


def test_all_named_rules_can_be_made() -> None:
    assert {scaling_rule(name).name for name in RULES} == set(RULES)
    assert str(compound()) == "compound (width × 1.1, depth × 1.2, resolution × 1.15 for each doubling)"
    assert str(scaling_rule("efficientnet")).startswith("efficientnet (B0 to B7 as published")


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("compound", {"alpha": 0.9}, "alpha must be at least 1, but is 0.9"),
        ("compound", {"beta": float("nan")}, "beta must be at least 1, but is nan"),
        ("compound", {"gamma": float("inf")}, "resolution must be a factor of 0.0001 to 10000, but is inf"),
        ("compound", {"alpha": 1, "beta": 1, "gamma": 1}, "alpha, beta and gamma are all 1"),
        ("fast", {"alpha": 1.2}, "alpha of rule fast is a share and must be in 0 to 1, but is 1.2"),
        ("fast", {"beta": 1.2}, "beta does not apply to rule fast; allowed: alpha"),
        ("width", {"alpha": 1.2}, "alpha does not apply to rule width; allowed: no parameters"),
        ("compoud", {}, "unknown rule 'compoud'; did you mean 'compound'?"),
        ("width=0.9", {}, "makes no larger network"),
        ("width=1,depth=1", {}, "makes no larger network"),
        ("widht=2", {}, "unknown dimension 'widht'; did you mean 'width'?"),
        ("width=2,width=2", {}, "width is given twice"),
        ("width=", {}, "width must be a factor, but is ''"),
        ("absent.json", {}, "absent.json: cannot be read: No such file"),
    ],
)
def test_what_is_no_rule_is_refused(name: str, parameters: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        scaling_rule(name, **parameters)
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object, but is a list"),
        ("{}", "format_version is None; this version of nas reads 1"),
        ('{"format_version": 1, "name": "a", "width": 1.2, "depth": 1}', "resolution: is missing"),
        ('{"format_version": 1, "name": "a", "width": 1.2, "depth": 1, "resolution": 1, "x": 1}', "x: unknown key"),
        ('{"format_version": 1, "name": "a", "width": true, "depth": 1, "resolution": 1}', "width: "),
        ('{"format_version": 1, "name": "a", "width": 1, "depth": 1, "resolution": 1}', "makes no larger network"),
        (
            '{"format_version": 1, "name": "a", "width": 2, "depth": 1, "resolution": 1, "cost": "macs"}',
            "unknown cost 'macs'; did you mean 'flops'?",
        ),
    ],
)
def test_what_is_no_rule_file_is_refused(text: str, message: str) -> None:
    Path("rule.json").write_text(text)
    with pytest.raises(ConfigError, match="^rule.json(, line 1)?: ") as refused:
        load_rule("rule.json")
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_what_cannot_double_is_refused() -> None:
    with pytest.raises(ConfigError, match="params cannot double by rule resolution, under which it does not grow"):
        scaling_rule("resolution").doubling(cost_kind("params"))
    with pytest.raises(ConfigError, match="is a published table for flops; params cannot double by it"):
        scaling_rule("efficientnet").doubling(cost_kind("params"))
    with pytest.raises(ConfigError, match="unknown cost 'latency'"):
        cost_kind("latency")


@pytest.mark.parametrize("phi", [MOST_DOUBLINGS + 1, -1000, float("nan")])
def test_a_phi_that_is_no_number_of_doublings_is_refused(phi: float) -> None:
    with pytest.raises(ConfigError, match="phi must be in -64 to 64"):
        compound().factors(phi)


@pytest.mark.parametrize("phi", [8, -1, 0.5])
def test_a_table_has_the_rows_that_were_published(phi: float) -> None:
    with pytest.raises(ConfigError, match="is not in the table of rule efficientnet: it has 0 to 7"):
        scaling_rule("efficientnet").factors(phi)
