"""The networks that a rule makes of a baseline, and how far their true cost is from what the rule promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nas.architecture.cost import Cost, count_cost
from nas.architecture.point import Point
from nas.architecture.presets import named_point
from nas.architecture.space import COEFFICIENTS, SearchSpace
from nas.architecture.spec import Architecture
from nas.errors import ConfigError
from nas.scaling.costs import FLOPS, CostKind
from nas.scaling.rules import Rule, scaling_rule
from nas.units import format_count

LARGE_IMAGES = 128
"""Spaces whose table was made for so many pixels or more have resolutions in multiples of 8 ..."""
MULTIPLE, PUBLISHED_MULTIPLE = 8, 4
"""... but published ones, which are multiples of 4."""

_ADVICE = "; a space file of your own may have wider ranges"

_HALVINGS = 50
"""Of the stretch of a rule's curve that holds the network of a cost; beyond it floating-point numbers end."""


@dataclass(frozen=True, slots=True)
class Member:
    """One network of a family.

    Attributes:
        phi: Number of doublings that the rule means.
        point: Its coefficients.
        architecture: The network.
        cost: What it costs.
        growth: How often its cost is that of the baseline; the cost is the one that the rule doubles.
        multiply_adds_growth: How often its multiply-adds of convolutions and linear layers are those of the baseline.
        train_seconds: Predicted training time in seconds; None where nothing predicts it.
    """

    phi: float
    point: Point
    architecture: Architecture
    cost: Cost
    growth: float
    multiply_adds_growth: float
    train_seconds: float | None = None

    @property
    def drift(self) -> float:
        """How far the true growth of the cost is above (below: negative) the promised 2^phi, in percent."""
        return self._percent(self.growth)

    @property
    def multiply_adds_drift(self) -> float:
        """The same of the multiply-adds of convolutions and linear layers, the figure that papers quote."""
        return self._percent(self.multiply_adds_growth)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels after each stage."""
        return tuple(section.after.channels for section in self.cost.sections if section.name.startswith("stages"))

    @property
    def repeats(self) -> tuple[int, ...]:
        """Blocks of each stage."""
        return tuple(len(stage.blocks) for stage in self.architecture.stages)

    def _percent(self, growth: float) -> float:
        return 100 * (growth / 2**self.phi - 1)


def default_multiple(baseline: Point, rule: Rule) -> int:
    """Return what resolutions are a multiple of: 8 px (4 for a published table), or a small space's step."""
    if baseline.space.base_resolution < LARGE_IMAGES:
        return baseline.space.resolution.step
    return PUBLISHED_MULTIPLE if rule.published else MULTIPLE


def scale_family(
    baseline: Point | str,
    rule: Rule | str,
    phis: Iterable[float],
    *,
    kind: CostKind = FLOPS,
    exact: bool = False,
    multiple: int | None = None,
    seconds: Callable[[Cost], float] | None = None,
) -> tuple[Member, ...]:
    """Return the networks that a rule makes of a baseline.

    Width and depth are the baseline's times the rule's factors to the power of phi; channels and repeats are rounded as
    in the space. The resolution is rounded to a multiple of some pixels within the space's range, but stays the
    baseline's where the rule's factor is 1, as at phi 0.

    ``exact`` keeps the rule's proportions and gives up its pace: of the networks on the curve that the rule draws
    (factors to the power of t, for any t from 0 on), a member is the one whose cost is nearest to 2^phi times the
    baseline's. What is left of the drift is the grain of the space, and never more than that of the formula. The cost
    is taken to rise along the curve, as it does for factors of 1 and more.

    Args:
        baseline: The network at phi 0: a point of a space, a preset, or a space, which starts from its table.
        rule: How it grows: a rule, or what ``scaling_rule`` knows.
        phis: Numbers of doublings.
        kind: The cost that doubles. The rule keeps its proportions and takes the pace at which, on paper, this cost
            doubles; a rule made for that cost stays as it is.
        exact: Whether to take the networks nearest to the promised cost.
        multiple: Pixels that resolutions are a multiple of; default: ``default_multiple``.
        seconds: Returns the predicted training time of a cost in seconds.

    Returns:
        One member for each phi, in their order.

    Raises:
        ConfigError: The baseline or a member lies outside the space's ranges, or the rule cannot double that cost.
        ArchitectureError: The resolution is too small for the strides.
    """
    start = named_point(baseline) if isinstance(baseline, str) else baseline
    meant = scaling_rule(rule) if isinstance(rule, str) else rule
    if exact and meant.published:
        raise ConfigError(f"exact does not apply to rule {meant.name}: it is a published table")
    if multiple is not None:
        _require_multiple(start.space, multiple)
    first = count_cost(start.architecture())
    curve = _Curve(start, meant.doubling(kind), kind, multiple or default_multiple(start, meant))
    members = []
    for phi in phis:
        point = curve.nearest(phi, kind.of(first) * 2**phi) if exact else curve.at(phi)
        architecture = point.architecture()
        cost = count_cost(architecture)
        members.append(
            Member(
                phi,
                point,
                architecture,
                cost,
                kind.of(cost) / kind.of(first),
                cost.multiply_adds / first.multiply_adds,
                None if seconds is None else float(seconds(cost)),
            )
        )
    return tuple(members)


def _require_multiple(space: SearchSpace, multiple: int) -> None:
    allowed = space.resolution
    if not (multiple >= 1 and allowed.max // multiple * multiple in allowed):
        raise ConfigError(f"no resolution in {allowed}, which {space.name} allows, is a multiple of {multiple}")


@dataclass(frozen=True, slots=True)
class _Curve:
    """The networks that a rule draws through a space, one for each real phi."""

    baseline: Point
    rule: Rule
    kind: CostKind
    multiple: int

    def at(self, phi: float) -> Point:
        """Return the point at a phi.

        Raises:
            ConfigError: It lies outside the space's ranges.
        """
        baseline, factors = self.baseline, self.rule.factors(phi)
        if set(factors) == {1.0}:
            return baseline
        values = {key: self._within(phi, key, getattr(factors, key)) for key in COEFFICIENTS}
        pixels = baseline.resolution if factors.resolution == 1 else self._pixels(values["resolution"])
        return baseline.at(width=values["width"], depth=values["depth"], resolution=pixels)

    def nearest(self, phi: float, target: float) -> Point:
        """Return the point of the curve whose cost is nearest to a target, and no farther than that at ``phi``.

        Raises:
            ConfigError: Neither that cost nor ``phi`` is within the space's ranges.
        """
        end = self._end(phi)
        low, high = sorted((0.0, end))
        inside = abs(phi) <= abs(end)
        if not (inside or self._amount(self.at(low)) <= target <= self._amount(self.at(high))):
            raise self._too_far(phi, target, end)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._amount(self.at(middle)) <= target else (low, middle)
        points = [*([self.at(phi)] if inside else []), self._amid(low, 0.0), self._amid(high, end)]
        return min(points, key=lambda point: abs(self._amount(point) - target))

    def _amid(self, phi: float, end: float) -> Point:
        """Return the middle of the stretch, from ``phi`` towards ``end``, whose points are the network at ``phi``.

        At the end of a stretch the last digits of a coefficient decide, and nobody could type it.
        """
        digest = self.at(phi).architecture().digest
        same, other = phi, end
        for _ in range(_HALVINGS):
            middle = (same + other) / 2
            same, other = (middle, other) if self.at(middle).architecture().digest == digest else (same, middle)
        return self.at((phi + same) / 2)

    def _amount(self, point: Point) -> float:
        return self.kind.of(count_cost(point.architecture()))

    def _within(self, phi: float, key: str, factor: float) -> float:
        """Return a scaled coefficient; a thousand-millionth beyond the border is floating-point noise."""
        allowed, value = getattr(self.baseline.space, key), getattr(self.baseline, key) * factor
        if not allowed.min * (1 - 1e-9) <= value <= allowed.max * (1 + 1e-9):
            raise self._beyond(phi, key, value)
        return float(min(max(value, allowed.min), allowed.max))

    def _pixels(self, resolution: float) -> int:
        """Round to the nearest multiple in the space's range, halves up, but not past the baseline's resolution."""
        allowed, start = self.baseline.space.resolution, self.baseline.resolution
        steps = int(resolution / self.multiple + 0.5 + 1e-9)
        near = [self.multiple * count for count in (steps, steps - 1, steps + 1) if self.multiple * count in allowed]
        rounded = near[0] if near else round(resolution)
        return max(start, rounded) if resolution >= start else min(start, rounded)

    def _end(self, phi: float) -> float:
        """Return the largest phi within the space's ranges, or the smallest where ``phi`` is negative."""
        ends = []
        for key in COEFFICIENTS:
            allowed, value, step = (getattr(one, key) for one in (self.baseline.space, self.baseline, self.rule))
            if step != 1:
                border = allowed.max if (step > 1) == (phi >= 0) else allowed.min
                ends.append(math.log(border / value) / math.log(step))
        return min(ends, key=abs)

    def _beyond(self, phi: float, key: str, value: float) -> ConfigError:
        space, ends = self.baseline.space, ""
        if not self.rule.published:
            end = math.floor(100 * abs(self._end(phi)) + 1e-6) / 100
            ends = f": rule {self.rule.name} ends at phi {math.copysign(end, phi):g} there"
        return ConfigError(
            f"phi {phi:g} needs {key} {value:.4g}, but {space.name} allows {getattr(space, key)}{ends}{_ADVICE}"
        )

    def _too_far(self, phi: float, target: float, end: float) -> ConfigError:
        last = self._amount(self.at(end))
        reached = math.log2(last / self._amount(self.baseline))
        return ConfigError(
            f"phi {phi:g} needs {self.kind.label} of {format_count(target)}, but rule {self.rule.name} ends at"
            f" {format_count(last)} in {self.baseline.space.name}, which is phi {reached:.2f}{_ADVICE}"
        )
