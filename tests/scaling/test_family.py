"""Families: published numbers, the baseline at phi 0, costs that rise, and networks nearest to the promised cost."""

from __future__ import annotations

import math

import pytest
from conftest import SPACES
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nas.architecture.cost import count_cost
from nas.architecture.point import Point
from nas.architecture.presets import preset, preset_point
from nas.architecture.space import Range, load_space
from nas.errors import ConfigError
from nas.scaling.costs import COSTS, cost_kind, train_seconds
from nas.scaling.family import Member, default_multiple, scale_family
from nas.scaling.rules import Rule, compound, fast, scaling_rule
from nas.scaling.seconds import SecondsModel


def test_the_drift_of_b0_by_efficientnets_own_formula() -> None:
    family = scale_family("efficientnet_b0", "compound", range(8), multiple=8)
    drifts = [round(member.multiply_adds_drift, 1) for member in family]
    assert drifts == [0.0, 11.4, 17.3, 5.4, 2.4, -15.4, -18.6, -21.5]
    assert [member.point.resolution for member in family] == [224, 256, 296, 344, 392, 448, 520, 592]
    assert family == scale_family("efficientnet_b0", compound(1.2, 1.1, 1.15), range(8))  # 8 px is the default


def test_the_published_family_is_b0_to_b7() -> None:
    family = scale_family("efficientnet_b0", "efficientnet", range(8))
    doublings = [round(math.log2(member.multiply_adds_growth), 2) for member in family]
    assert doublings == pytest.approx([0, 0.83, 1.36, 2.24, 3.51, 4.73, 5.63, 6.61], abs=0.0101)
    for index, member in enumerate(family):
        published = preset(f"efficientnet_b{index}")
        assert (member.architecture.stages, member.architecture.resolution) == (published.stages, published.resolution)
        assert member.cost == count_cost(published)


def test_a_member_says_what_it_is_made_of() -> None:
    start, grown = scale_family("efficientnet_b0", "compound", (0, 2))
    assert start.channels == (16, 24, 40, 80, 112, 192, 320) and start.repeats == (1, 2, 2, 3, 3, 4, 1)
    assert grown.channels == (24, 32, 48, 96, 136, 232, 384) and grown.repeats == (2, 3, 3, 5, 5, 6, 2)
    assert start.architecture == preset("efficientnet_b0") and start.architecture.name == "efficientnet_b0"
    assert grown.architecture.name == "efficientnet width 1.21 depth 1.44 resolution 296"
    assert grown.growth == grown.cost.flops / start.cost.flops
    assert grown.drift == pytest.approx(100 * (grown.growth / 4 - 1)) and start.drift == 0


@st.composite
def baselines(draw: st.DrawFn) -> Point:
    """Draw points of the shipped spaces, well within their ranges."""
    space = load_space(draw(st.sampled_from(SPACES)))
    small = space.base_resolution <= 64
    return Point(
        space,
        draw(st.floats(space.width.min, 1.2)),
        draw(st.floats(space.depth.min, 1.2)),
        draw(st.integers(max(space.resolution.min, 16), 40) if small else st.integers(96, 260)),
        draw(st.integers(2, 1000)),
        draw(st.sampled_from((1, 3))),
    )


rules = st.one_of(
    st.builds(compound, *[st.floats(1.01, 1.4)] * 3),
    st.builds(fast, st.floats(0, 1)),
    st.sampled_from(("width", "depth", "resolution")).map(scaling_rule),
)


def grown(baseline: Point, rule: Rule, phis: tuple[float, ...], **options: object) -> tuple[Member, ...]:
    """Return a family, or give the example up where the space ends before it."""
    try:
        return scale_family(baseline, rule, phis, **options)  # type: ignore[arg-type]
    except ConfigError as error:
        assert "a space file of your own may have wider ranges" in str(error)
        assume(False)
        raise


@settings(max_examples=60)
@given(baselines(), rules, st.sampled_from(sorted(COSTS)), st.booleans())
def test_at_phi_0_every_family_is_its_baseline(baseline: Point, rule: Rule, name: str, exact: bool) -> None:
    kind = cost_kind(name)
    assume(kind.log_growth(**rule.step()) > 1e-3)
    (member,) = scale_family(baseline, rule, (0,), kind=kind, exact=exact)
    assert member.point == baseline and member.architecture == baseline.architecture()
    assert (member.growth, member.drift, member.multiply_adds_drift) == (1, 0, 0)


@settings(max_examples=60)
@given(baselines(), rules, st.lists(st.floats(0, 2.5), min_size=2, max_size=5, unique=True))
def test_what_is_larger_by_the_rule_costs_no_less(baseline: Point, rule: Rule, phis: list[float]) -> None:
    assume(not baseline.space.lists_channels)  # another depth of these picks other channels
    family = grown(baseline, rule, tuple(sorted(phis)))
    for name in COSTS:
        amounts = [cost_kind(name).of(member.cost) for member in family]
        assert amounts == sorted(amounts), name


@settings(max_examples=40)
@given(baselines(), rules, st.floats(0, 2.5), st.sampled_from(sorted(COSTS)))
def test_the_exact_network_is_at_least_as_near_as_the_formulas(
    baseline: Point, rule: Rule, phi: float, name: str
) -> None:
    kind = cost_kind(name)
    assume(kind.log_growth(**rule.step()) > 1e-3)
    (formula,) = grown(baseline, rule, (phi,), kind=kind)
    (exact,) = scale_family(baseline, rule, (phi,), kind=kind, exact=True)
    assert abs(exact.drift) <= abs(formula.drift) + 1e-9
    baseline.space.require_in_range(width=exact.point.width, depth=exact.point.depth, resolution=exact.point.resolution)


@settings(max_examples=30)
@given(rules, st.floats(0.3, 2))
def test_no_network_of_the_curve_is_nearer_than_the_exact_one(rule: Rule, phi: float) -> None:
    baseline = Point(load_space("efficientnet"), 1.0, 1.0, 224)
    (exact,) = grown(baseline, rule, (phi,), exact=True)
    tries = [value * phi / 40 for value in range(80)]
    others = []
    for other in tries:
        try:
            others += scale_family(baseline, rule, (other,))
        except ConfigError:
            break
    assert abs(exact.growth - 2**phi) <= min(abs(member.growth - 2**phi) for member in others) + 1e-9


def test_the_exact_family_of_b0_has_next_to_no_drift() -> None:
    family = scale_family("efficientnet_b0", "compound", range(8), exact=True)
    assert max(abs(member.drift) for member in family) < 2.5
    with pytest.raises(ConfigError, match="exact does not apply to rule efficientnet"):
        scale_family("efficientnet_b0", "efficientnet", (1,), exact=True)


def test_another_cost_doubles_by_the_same_proportions() -> None:
    family = scale_family("efficientnet_b0", "compound", range(4), kind=cost_kind("activations"), exact=True)
    assert [member.growth for member in family] == pytest.approx([1, 2, 4, 8], rel=0.05)
    logs = [math.log(family[2].point.depth), math.log(family[2].point.width)]
    assert logs[0] / logs[1] == pytest.approx(math.log(1.2) / math.log(1.1))


def test_a_model_of_the_training_time_is_asked() -> None:
    kind = train_seconds(SecondsModel(math.log(1e-6), flops=0, activations=1))
    family = scale_family("resnet18", "compound", (0, 1), kind=kind, exact=True, seconds=kind.of)
    assert [m.train_seconds for m in family] == pytest.approx([1e-6 * m.cost.activations for m in family])
    assert family[1].growth == pytest.approx(2, rel=0.05)
    assert scale_family("resnet18", "compound", (0,))[0].train_seconds is None


def test_resolutions_are_multiples_that_fit_the_space() -> None:
    assert default_multiple(preset_point("efficientnet_b0"), compound()) == 8
    assert default_multiple(preset_point("resnet50"), scaling_rule("efficientnet")) == 4
    assert default_multiple(Point(load_space("resnet_small"), 1.0, 1.0, 32), compound()) == 2
    family = scale_family("efficientnet_b0", "resolution", (1, 2), multiple=32)
    assert [member.point.resolution for member in family] == [320, 448]
    (odd,) = scale_family("inception_v3", scaling_rule("resolution=1.002"), (1,))
    assert odd.point.resolution == 299  # the nearest multiple is smaller, and a growing network does not shrink
    (border,) = scale_family(
        Point(load_space("resnet_small"), 1.0, 1.0, 60), scaling_rule("resolution=1.06"), (1,), multiple=5
    )
    assert border.point.resolution == 60  # 65 is beyond the space
    for multiple in (0, -8, 700):
        with pytest.raises(ConfigError, match=f"no resolution in 32 to 672, .* is a multiple of {multiple}"):
            scale_family("efficientnet_b0", "compound", (1,), multiple=multiple)


def test_where_the_space_ends_the_message_says_where() -> None:
    with pytest.raises(ConfigError) as refused:
        scale_family("efficientnet_b0", "compound", range(9))
    assert str(refused.value) == (
        "phi 8 needs depth 4.3, but efficientnet allows 0.25 to 4: rule compound ends at phi 7.6 there; a space file of"
        " your own may have wider ranges"
    )
    assert scale_family("efficientnet_b0", "compound", (7.6,))
    with pytest.raises(ConfigError, match="phi -8 needs depth 0.2326.* ends at phi -7.6 there"):
        scale_family("efficientnet_b0", "compound", (-8,))
    with pytest.raises(ConfigError, match="phi -5 needs width 0.1768, .* ends at phi -4 there"):
        scale_family("efficientnet_b0", "width", (-5,))
    (noise,) = scale_family("efficientnet_b0", "depth", (2 + 1e-10,))
    assert noise.point.depth == 4
    with pytest.raises(ConfigError, match="phi 9 needs FLOPs of 206G, but rule compound ends at .* phi 7.12; a space"):
        scale_family("efficientnet_b0", "compound", (9,), exact=True)
    with pytest.raises(ConfigError, match="width 9 is out of range: efficientnet allows 0.25 to 2.5"):
        scale_family(Point(load_space("efficientnet"), 9.0, 1.0, 224), "compound", (0,))
    with pytest.raises(ConfigError, match="unknown preset or space 'effnet'"):
        scale_family("effnet", "compound", (0,))


def test_a_wider_space_of_ones_own_goes_on() -> None:
    space = load_space("efficientnet").model_copy(update={"depth": Range(min=0.25, max=10)})
    assert scale_family(Point(space, 1.0, 1.0, 224), "depth", (3,))[0].point.depth == 8


def test_a_rule_may_make_a_dimension_smaller() -> None:
    rule = Rule("found", 1.5, 0.9, 1.0)
    start, one, exact = (
        scale_family("resnet50", rule, (phi,), exact=exact)[0] for phi, exact in ((0, False), (1, False), (1, True))
    )
    assert one.point.depth == pytest.approx(0.9) and one.repeats <= start.repeats
    assert abs(exact.drift) <= abs(one.drift)


@pytest.mark.parametrize("rule", ["width", "depth", "fast", "compound"])
def test_an_exact_network_is_made_by_the_coefficients_that_one_reads(rule: str) -> None:
    start = Point(load_space("resnet_small"), 0.5, 1.0, 16, num_classes=10)
    for member in scale_family(start, rule, [0.5, 1, 1.5, 2], exact=True):
        typed = start.at(
            width=float(f"{member.point.width:.6g}"),
            depth=float(f"{member.point.depth:.6g}"),
            resolution=member.point.resolution,
        )
        assert typed.architecture().digest == member.architecture.digest
