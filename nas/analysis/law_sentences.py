"""Laws of error against cost in words."""

from __future__ import annotations

from nas.analysis.laws import FamilyLaw
from nas.scaling.crossing import Crossing
from nas.scaling.evidence import COSTS
from nas.scaling.intervals import Interval
from nas.scaling.laws import JointLaw, Law
from nas.units import format_count, format_seconds


def law_text(family: FamilyLaw, kind: str) -> str:
    """Say a family's law in one sentence, or what is needed for one."""
    law = family.law
    if not law.determined:
        return f"{family.name}: cannot tell, {law.reason}."
    if isinstance(law, JointLaw):
        return f"{family.name}: {_gains(family, law, kind)}"
    far = 10 * float(family.cost.max())
    low, high = law.intervals["alpha"]
    told = f"the error falls as 1 / cost^{law.parameters['alpha']:.2f} [{low:.2f}, {high:.2f}]"
    end = Interval(law.parameters["E"], *law.intervals["E"])
    return (
        f"{family.name}: {told} towards {percent(end)}; at {amount(far, kind)}, ten times the dearest,"
        f" it would be {percent(predicted(family, far))}."
    )


def crossing_text(first: FamilyLaw, second: FamilyLaw, found: Crossing, kind: str) -> str:
    """Say whether and where one of two families overtakes the other."""
    ahead, behind = (second, first) if found.ahead else (first, second)
    begin, end = amount(found.begin, kind), amount(found.end, kind)
    if found.answer == "cannot tell":
        return f"Whether one of {first.name} and {second.name} overtakes the other: cannot tell, {found.reason}."
    if found.cost is None:
        return f"{ahead.name} has less error than {behind.name} from {begin} to {end}."
    place, low, high = (amount(value, kind) for value in found.cost)
    return f"{ahead.name} overtakes {behind.name} at {place} [{low}, {high}] and stays ahead up to {end}."


def predicted(family: FamilyLaw, cost: float) -> Interval:
    """Return the error at a cost, of joint laws with the most images that there are."""
    causes = (cost,) if isinstance(family.law, Law) else (cost, float(family.law.points.causes[1].max()))
    return Interval(*(float(value) for value in family.law.predict(*causes)))


def percent(error: Interval) -> str:
    """Write an error with its interval."""
    return f"{100 * error.value:.1f} % [{100 * error.low:.1f}, {100 * error.high:.1f}]"


def amount(cost: float, kind: str, *, unit: bool = True) -> str:
    """Write a cost with its unit."""
    return format_seconds(cost) if kind == "seconds" else format_count(cost) + f" {COSTS[kind]}" * unit


def _gains(family: FamilyLaw, law: JointLaw, kind: str) -> str:
    dearest, most = float(family.cost.max()), float(law.points.causes[1].max())
    images = law.gain(cost=dearest, images=most, times_images=10)
    larger = law.gain(cost=dearest, images=most, times_cost=10)
    texts = [f"{100 * gain.value:.1f} [{100 * gain.low:.1f}, {100 * gain.high:.1f}]" for gain in (images, larger)]
    return f"ten times the images would bring {texts[0]} points, ten times the {COSTS[kind]} {texts[1]}."
