"""What the page tells of one study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nas import plots
from nas.analysis.latency import stored_front_latency
from nas.analysis.looks import tested_networks
from nas.analysis.pareto import NoisyFront, front_with_noise
from nas.analysis.trusted import told_trust
from nas.analysis.variants import variants_beside
from nas.records import metric_name
from nas.report.answer import answer
from nas.report.embedded import embedded
from nas.report.figures import Drawing, drawing, latency_figure, other_figures, variant_figures
from nas.report.origin import columns, definition, origin
from nas.report.snapshot import held_still
from nas.report.trials import trial_data
from nas.search.study import Study

if TYPE_CHECKING:
    from nas.report.growing import Told


def chapter(study: Study, key: str, *, command: str) -> dict[str, Any]:
    """Return what the templates need of a study.

    Args:
        study: A study that has been run; it may be written meanwhile.
        key: Prefix of the identities of all elements that belong to it.
        command: By which the page is written.
    """
    study = held_still(study)
    front, latency, made = front_with_noise(study), stored_front_latency(study), variants_beside(study)
    figures = {
        "front": drawing(lambda: plots.front(study)),
        **({} if latency is None else {"latency": latency_figure(study, latency)}),
        **({f"variants-{name}": figure for name, figure in variant_figures(study).items()} if made else {}),
        **{f"other-{index}": figure for index, figure in enumerate(other_figures(study) if front.points else [])},
    }
    growing = _growing(study)
    figures |= {f"growing-{index}": told.figure for index, told in enumerate(growing) if told.figure is not None}
    return {
        "key": key,
        "study": study,
        "metric": metric_name(study.config.recipe.metric),
        "answer": answer(study, front),
        "front": front,
        "latency": latency,
        "variants": made,
        "growing": growing,
        "trust": told_trust(study),
        "image_notes": study.image_notes(),
        "file": study.typed,
        "definition": definition(study),
        "origin": origin(study, command),
        "columns": columns(study, looks=len(tested_networks(study))),
        "figures": figures,
        "trials": len(study.trials()),
        "data": _data(study, key, front, figures),
    }


def _growing(study: Study) -> list[Told]:
    if not study.scaling_names():
        return []
    from nas.report.growing import told_growth  # loads what fits laws: a second, for those who have asked

    return told_growth(study)


def _data(study: Study, key: str, front: NoisyFront, figures: dict[str, Drawing]) -> list[Any]:
    """Return the elements that hold what scripts draw."""
    drawn = {name: one.figure for name, one in figures.items() if one.figure is not None}
    facts = {
        "name": study.name,
        "file": study.typed,
        "metric": metric_name(study.config.recipe.metric),
    }
    return [embedded(f"{key}-figures", drawn), embedded(f"{key}-trials", {**facts, **trial_data(study, front)})]
