"""nas compare: studies of the same images side by side."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import AsJson, Storage, print_json
from nas.cli.output import say
from nas.files import refuse_folder

if TYPE_CHECKING:
    from nas.analysis.compared import Comparison


def compare(
    studies: Annotated[
        list[str], typer.Argument(metavar="STUDY STUDY...", help="Study files, or names of shipped studies.")
    ],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="HTML file to write the fronts to.")] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Compare the fronts of studies of the same images.

    You see what the fronts are worth, what each study spent, and the best at equal cost.
    """
    from contextlib import ExitStack

    from nas.analysis.compared import compare_studies
    from nas.cli.progress import make_console
    from nas.cli.tables.compared import costs_table, studies_table
    from nas.search.opening import open_study

    if output is not None:
        refuse_folder(output)
    with ExitStack() as stack:
        opened = [stack.enter_context(open_study(study, storage=storage)) for study in studies]
        found = compare_studies(opened)
        if output is not None:
            from nas import plots
            from nas.plots.pages import write_figures

            write_figures([plots.fronts(opened)], output, title=f"{', '.join(studies)}: fronts")
    if as_json:
        print_json(_document(found, output))
        return
    console = make_console()
    say(found.sentence)
    console.print(studies_table(found, width=console.width))
    console.print(costs_table(found, width=console.width))
    for note in (*_NOTES, *found.remarks):
        console.print(note, soft_wrap=True)
    if output is not None:
        say(f"Figure: {output}  (open it in a browser)")


_NOTES = (
    "hypervolume: as a multiple of the first study's, with one reference and one range of FLOPs for all; the interval"
    " is by draws of the accuracies that each study's trainings leave possible.",
    "Accuracies are those to expect on new images, over all seeds, ± one standard error.",
)


def _document(found: Comparison, output: Path | None) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {
        "sentence": found.sentence,
        "metric": found.metric,
        "reference": {
            "log_flops": found.reference.reference_cost,
            "error": found.reference.reference_error,
        },
        "studies": [
            {
                "study": one.name,
                "hypervolume": one.hypervolume,
                "ratio": None if one.ratio is None else _finite(asdict(one.ratio)),
                "trials": one.states,
                "spent": asdict(one.spent),
                "front": [point.trial.number for point in one.front.points],
            }
            for one in found.studies
        ],
        "at_costs": [
            {
                "max_flops": at.max_flops,
                "best": [
                    None if point is None else {"trial": point.trial.number, **point.facts()} for point in at.best
                ],
                "ahead": None if at.ahead is None else found.studies[at.ahead].name,
            }
            for at in found.at_costs
        ],
        "remarks": list(found.remarks),
        "figure": None if output is None else str(output),
    }


def _finite(figures: dict[str, float]) -> dict[str, float | None]:
    """Return figures as JSON can have them: null for what is infinite."""
    from math import isfinite

    return {key: value if isfinite(value) else None for key, value in figures.items()}
