"""Laws of error against cost in tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from rich.table import Table

from nas.analysis.law_sentences import amount, predicted
from nas.analysis.laws import FamilyLaw
from nas.cli.tables.fitted import Column, fitted_table
from nas.scaling.laws import Law


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
