"""nas scale law: how accuracy follows cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import AsJson, Storage, parsed, print_json, split_names
from nas.cli.output import say
from nas.errors import ConfigError
from nas.files import refuse_folder

if TYPE_CHECKING:
    from nas.analysis.laws import FamilyLaw

_TIMES = (1, 2, 4, 10)


def law(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="TABLE|STUDY|POINTS...",
            help="Tables of trainings, studies that have been run, or CSV files of points: columns flops (or gmacs,"
            " params, ... or cost) and error (or accuracy), optionally family, weight, images.",
        ),
    ],
    cost: Annotated[str, typer.Option(help="flops, params, activations or seconds.")] = "flops",
    at: Annotated[
        str | None,
        typer.Option(
            metavar="COST,COST...", help="Costs to tell the error at.  [default: 1, 2, 4, 10 times the dearest]"
        ),
    ] = None,
    chance: Annotated[
        float | None,
        typer.Option(help="Error of guessing, 0.9 for ten classes; where it is given, the law M4 is tried too."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws that intervals are made of.")] = 0,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="HTML file to write the figure to.")] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Tell how accuracy follows cost, family by family, and where one family overtakes another.

    A law is told only where the networks determine one: else the answer is "cannot tell" and what is needed.
    """
    from nas.cli.progress import make_console
    from nas.scaling.evidence import COSTS

    if len(kinds := split_names("--cost", cost, COSTS, what="cost")) > 1:
        raise ConfigError(f"--cost: {cost!r} names several costs; a law has one")
    kind = kinds[0]
    costs = None if at is None else parsed("--at", at, _parse_costs)
    if chance is not None and not 0 < chance < 1:
        raise ConfigError(f"--chance: {chance:g} is not the error of guessing, above 0 and below 1")
    if output is not None:
        refuse_folder(output)
    console = make_console(stderr=as_json)
    with console.status("loading"):
        from nas.analysis.laws import crossings, family_laws, short_names

        found = short_names(family_laws(sources, cost=kind, storage=storage, chance=chance, seed=seed))
        crossed = crossings(found)
    if output is not None:
        from nas import plots
        from nas.plots.pages import write_figures

        title = f"{', '.join(Path(s).name for s in sources)}: error against cost"
        write_figures([plots.law(found, cost=kind, title=title)], output, title=title)
    if as_json:
        print_json(_document(kind, found, crossed, costs))
        return
    from nas.analysis.law_sentences import crossing_text, law_text
    from nas.cli.tables.laws import forms_table, predictions_table

    for each in found:
        console.print(law_text(each, kind), soft_wrap=True, markup=False, highlight=False)
    for one, other, where in crossed:
        console.print(crossing_text(one, other, where, kind), soft_wrap=True, markup=False, highlight=False)
    told = {each.name: (each, _costs(each, costs)) for each in found if each.law.determined}
    if told:
        console.print(predictions_table(told.values(), kind, width=console.width))
        console.print(forms_table(found, width=console.width))
    if output is not None:
        say(f"Figure: {output}  (open it in a browser)")


def _parse_costs(text: str) -> tuple[float, ...]:
    """Read costs such as ``20M,1.5G``."""
    from nas.units import parse_count

    return tuple(float(parse_count(part)) for part in text.split(","))


def _costs(family: FamilyLaw, costs: tuple[float, ...] | None) -> tuple[float, ...]:
    """Return the costs to tell the error at."""
    return tuple(times * float(family.cost.max()) for times in _TIMES) if costs is None else costs


def _document(kind: str, found: list[FamilyLaw], crossed: list[Any], costs: tuple[float, ...] | None) -> dict[str, Any]:
    from nas.scaling.laws import Law

    laws = []
    for family in found:
        law = family.law
        forms = law.candidates if isinstance(law, Law) else ()
        laws.append(
            {
                "name": family.name,
                "determined": law.determined,
                "reason": law.reason,
                "form": law.form,
                "networks": family.networks,
                "points": [
                    {"cost": float(c), "error": float(e)} for c, e in zip(family.cost, law.points.errors, strict=True)
                ],
                "best_of_bands": family.bands,
                "parameters": law.parameters,
                "intervals": {name: list(ends) for name, ends in law.intervals.items()},
                "forms": [
                    {"form": form.fitted.form.name, "missed_held_out_by": form.missed, "likelihood": form.likely}
                    for form in forms
                ],
                "predictions": _predictions(family, costs),
            }
        )
    pairs = [
        {
            "first": one.name,
            "second": other.name,
            "answer": where.answer,
            "reason": where.reason,
            "range": [where.begin, where.end],
            "ahead": None if where.ahead is None else (one, other)[where.ahead].name,
            "cost": None if where.cost is None else list(where.cost),
        }
        for one, other, where in crossed
    ]
    return {"cost": kind, "laws": laws, "crossings": pairs}


def _predictions(family: FamilyLaw, costs: tuple[float, ...] | None) -> list[dict[str, float]]:
    from nas.analysis.law_sentences import predicted

    if not family.law.determined:
        return []
    return [
        {"cost": cost, "error": float(mean), "low": float(low), "high": float(high)}
        for cost in _costs(family, costs)
        for mean, low, high in [predicted(family, cost)]
    ]
