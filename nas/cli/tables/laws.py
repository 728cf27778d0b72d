"""Laws of error against cost in words and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from rich.table import Table

from nas.analysis.laws import FamilyLaw
from nas.cli.tables.fitted import Column, fitted_table
from nas.scaling.crossing import Crossing
from nas.scaling.laws import JointLaw, Law
from nas.scaling.surface import Interval
from nas.units import format_count, format_seconds

_UNITS = {"flops": " FLOPs", "params": " parameters", "activations": " activations", "seconds": ""}


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


def predictions_table(told: Iterable[tuple[FamilyLaw, Sequence[float]]], kind: str, *, width: int) -> Table:
    """Return the errors that laws foretell."""
    columns = (
        Column("family", justify="left", folds=True),
        Column(kind),
        Column("times the dearest", drop=1, folds=True),
        Column("error"),
        Column("90 % interval"),
        Column("one network ±", drop=2, folds=True),
    )
    rows = []
    for family, costs in told:
        for cost in costs:
            mean, low, high = predicted(family, cost)
            times = cost / float(family.cost.max())
            scatter = family.law.noise * np.sqrt(mean)
            shown = (f"{100 * mean:.2f} %", f"{100 * low:.2f} to {100 * high:.2f} %", f"{100 * scatter:.2f}")
            rows.append((family.name, amount(cost, kind, unit=False), f"{times:.3g}", *shown))
    return fitted_table(columns, rows, width=width, title="Error that the laws foretell")


def forms_table(laws: Sequence[FamilyLaw], *, width: int) -> Table:
    """Return the forms of law that were tried, and how well they foretold the dearer networks from the cheaper ones."""
    columns = (
        Column("family", justify="left", folds=True),
        Column("form", justify="left", folds=True),
        Column("missed held-out by", folds=True),
        Column("likelihood", drop=1),
        Column("points", drop=2),
    )
    rows = []
    for family in laws:
        forms = family.law.candidates if isinstance(family.law, Law) else ()
        of = f"best of {len(family.cost)} bands, {family.networks} networks" if family.bands else f"{len(family.cost)}"
        for form in forms:
            missed, likely = f"{100 * form.missed:.2f} points", f"{100 * form.likely:.0f} %"
            rows.append((family.name, form.fitted.form.name, missed, likely, of))
    return fitted_table(columns, rows, width=width, title="Forms, the chosen one first")


def predicted(family: FamilyLaw, cost: float) -> Interval:
    """Return the error at a cost, of joint laws with the most images that there are."""
    causes = (cost,) if isinstance(family.law, Law) else (cost, float(family.law.points.causes[1].max()))
    return Interval(*(float(value) for value in family.law.predict(*causes)))


def percent(error: Interval) -> str:
    """Write an error with its interval."""
    return f"{100 * error.value:.1f} % [{100 * error.low:.1f}, {100 * error.high:.1f}]"


def amount(cost: float, kind: str, *, unit: bool = True) -> str:
    """Write a cost with its unit."""
    return format_seconds(cost) if kind == "seconds" else format_count(cost) + _UNITS[kind] * unit


def _gains(family: FamilyLaw, law: JointLaw, kind: str) -> str:
    dearest, most = float(family.cost.max()), float(law.points.causes[1].max())
    images = law.gain(cost=dearest, images=most, times_images=10)
    larger = law.gain(cost=dearest, images=most, times_cost=10)
    texts = [f"{100 * gain.value:.1f} [{100 * gain.low:.1f}, {100 * gain.high:.1f}]" for gain in (images, larger)]
    what = {"flops": "FLOPs", "params": "parameters", "activations": "activations", "seconds": "seconds"}[kind]
    return f"ten times the images would bring {texts[0]} points, ten times the {what} {texts[1]}."
