"""Rules compared: the networks that each makes of one baseline, at matched measured cost, trained alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nas.architecture.point import Point
from nas.config.search import Asked
from nas.errors import ConfigError, StudyError
from nas.fronts.noise import Noise
from nas.scaling.costs import FLOPS, CostKind
from nas.scaling.evidence import TrainedNetwork
from nas.scaling.family import Member, scale_family
from nas.scaling.rules import Rule, rule_to_json
from nas.search.lab.shape import Run
from nas.search.lab.source import Source
from nas.search.lab.studies import planned, planned_study

MATCHED = 0.1
"""Share by which the cost of a member may differ from the promised one; what differs more is marked."""


class Grown(NamedTuple):
    """A network of a rule, and what its trainings gave.

    Attributes:
        rule: Name of the rule.
        member: The network.
        trained: Its trainings; None where it was not trained.
        within_noise: Whether it is within noise of the best of the same phi.
        best: Whether it is the best of them.
    """

    rule: str
    member: Member
    trained: TrainedNetwork | None
    within_noise: bool
    best: bool

    @property
    def mean(self) -> float:
        """Mean accuracy; NaN where it was not trained."""
        return math.nan if self.trained is None else self.trained.accuracy

    @property
    def std(self) -> float | None:
        """Standard deviation over the seeds; None for fewer than two."""
        values = [] if self.trained is None else list(self.trained.accuracies.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    @property
    def accuracy(self) -> str:
        """Mean accuracy and standard deviation in words."""
        spread = "" if self.std is None else f" ± {100 * self.std:.1f}"
        return "not trained" if self.trained is None else f"{100 * self.mean:.1f}{spread} %"

    @property
    def matched(self) -> bool:
        """Whether the cost is near to the promised one."""
        return abs(self.member.drift) <= 100 * MATCHED


class Comparison(NamedTuple):
    """Rules at matched cost.

    Attributes:
        baseline: From which they grow.
        grown: By phi, the rules in their order.
        noise: Of one training.
        left_out: Why rules have no network at some phi, one line each.
    """

    baseline: Point
    grown: tuple[Grown, ...]
    noise: Noise
    left_out: tuple[str, ...]

    @property
    def rows(self) -> tuple[Grown, ...]:
        """The networks as one lists them: the baseline, which all rules share, once."""
        first = next(one for one in self.grown if not one.member.phi)
        baseline = first._replace(rule="baseline", best=False, within_noise=False)
        return baseline, *(one for one in self.grown if one.member.phi)

    @property
    def verdicts(self) -> list[str]:
        """One sentence for each phi: which rule is best, and who is within noise of it."""
        lines = []
        for phi in sorted({one.member.phi for one in self.grown if one.member.phi}):
            here = [one for one in self.grown if one.member.phi == phi and one.trained is not None]
            best = next((one for one in here if one.best), None)
            if best is None:
                continue
            near = [one.rule for one in here if one.within_noise and one.trained != best.trained]
            others = f"; within noise of it: {', '.join(near)}" if near else "; no other is within noise of it"
            lines.append(f"At {2**phi:g} times the cost {best.rule} is best: {best.accuracy}{others}.")
        return lines


def compare_members(
    baseline: Point, rules: Sequence[Rule], phis: Sequence[float], *, kind: CostKind = FLOPS
) -> tuple[dict[str, list[Member]], list[str]]:
    """Return the network of each rule nearest to each cost, and why some rules have none at some."""
    members, left_out = dict[str, list[Member]](), list[str]()
    for rule in rules:
        for phi in phis:
            try:
                made = scale_family(baseline, rule, [phi], kind=kind, exact=not rule.published)
            except ConfigError as error:
                left_out.append(f"{rule.name} at phi {phi:g}: {error}")
            else:
                members.setdefault(rule.name, []).extend(made)
    if not any(member.phi for made in members.values() for member in made):
        raise StudyError(f"no rule makes a larger network that the space allows; {left_out[0]}")
    return members, left_out


def ask_comparison(
    source: Source,
    baseline: Point,
    rules: Sequence[Rule],
    phis: Sequence[float],
    *,
    seeds: int = 3,
    kind: CostKind = FLOPS,
    run: Run | None = None,
) -> Comparison:
    """Train the networks of rules at matched cost where that is wanted, and return what they gave.

    Raises:
        UserError: No rule makes a network that the space allows.
    """
    members, left_out = compare_members(baseline, rules, (0.0, *phis), kind=kind)
    if run is not None:
        points = {member.architecture.digest: member.point for made in members.values() for member in made}
        told = tuple(map(rule_to_json, rules))
        asked = Asked(baseline=planned(baseline), cost=kind.name, rules=told, phis=tuple(phis))
        run(planned_study(source.opened, "compare", list(points.values()), seeds=seeds, asked=asked))
    evidence = source.evidence()
    trained = {network.digest: network for network in evidence.networks}
    return Comparison(baseline, _judged(members, trained, evidence.noise), evidence.noise, tuple(left_out))


def _judged(
    members: Mapping[str, Sequence[Member]], trained: Mapping[str, TrainedNetwork], noise: Noise
) -> tuple[Grown, ...]:
    """Return all members by phi with what their trainings gave, and who is within noise of the best of each phi."""
    listed = [(rule, member) for rule, made in members.items() for member in made]
    found = []
    for phi in sorted({member.phi for _, member in listed}):
        here = [(rule, member, trained.get(member.architecture.digest)) for rule, member in listed if member.phi == phi]
        best = max((network for *_, network in here if network is not None), key=lambda n: n.accuracy, default=None)
        for rule, member, network in here:
            near = network is not None and best is not None and _near(network, best, noise)
            found.append(Grown(rule, member, network, near, network is not None and network is best))
    return tuple(found)


def _near(one: TrainedNetwork, best: TrainedNetwork, noise: Noise) -> bool:
    """Tell whether the means of two networks differ by less than two standard errors of the difference."""
    error = noise.std * math.sqrt(1 / len(one.accuracies) + 1 / len(best.accuracies))
    return best.accuracy - one.accuracy < 2 * error
