"""The figures of the page: what is drawn of a study, with a heading and how to read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from nas import plots
from nas.analysis.latency import FrontLatency
from nas.errors import UserError
from nas.plots.pages import CONFIG
from nas.report.embedded import plain_data
from nas.search.study import Study


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure on the page.

    Attributes:
        heading: Above it; empty where the section says it.
        words: How to read it.
        figure: As data; None where it cannot be drawn.
        alt: The finding in words, or why it is not drawn.
    """

    heading: str
    words: str
    figure: dict[str, Any] | None
    alt: str

    @property
    def webgl(self) -> bool:
        """Whether it is drawn by WebGL."""
        kinds = [trace.get("type", "") for trace in self.figure["data"]] if self.figure else []
        return any(kind == "parcoords" or kind.endswith("gl") for kind in kinds)


def drawing(draw: Callable[[], Any], heading: str = "", words: str = "") -> Drawing:
    """Draw a figure of plotly's; where that cannot be done, say why."""
    try:
        figure = draw()
    except UserError as error:
        return Drawing(heading, words, None, f"Not drawn: {error}.")
    plain = plain_data(figure.to_plotly_json())
    alt = str((plain["layout"].get("meta") or {}).get("alt") or f"{heading}.")
    return Drawing(heading, words, {"data": plain["data"], "layout": plain["layout"], "config": CONFIG}, alt)


def other_figures(study: Study) -> list[Drawing]:
    """Return the figures that stand below the front."""
    return [drawing(partial(getattr(plots, name), study), *told) for name, told in _OTHERS.items()]


def latency_figure(study: Study, front: FrontLatency) -> Drawing:
    """Return accuracy against measured latency."""
    return drawing(lambda: plots.latency(study, front))


def variant_figures(study: Study) -> dict[str, Drawing]:
    """Return what nas compress made against each cost, by the name of the cost."""
    costs = ("flops", "weight_bytes", "latency_ms")
    return {cost: drawing(partial(plots.variants, study, against=cost)) for cost in costs}


_OTHERS = {
    "progress": (
        "What the compute bought",
        "How much better the front became as the search spent more compute. The vertical axis is the hypervolume: the"
        " area between the front and a reference point, with the logarithm of the FLOPs on one axis and the error on"
        " the other. The reference point lies beyond both ends of the front by a tenth of its extent. The horizontal"
        " axis is the compute of all trainings so far: epochs times the FLOPs of one image.",
    ),
    "curves": ("Learning curves", "Validation accuracy after each epoch of each network's first training."),
    "shares": ("What width, depth and resolution buy", "Networks of equal FLOPs that spend them differently."),
    "parallel": ("All dimensions at once", "Each line is a trained network. Drag along an axis to choose."),
    "importance": (
        "Which dimensions mattered",
        "How much of the differences each dimension explains.",
    ),
    "errors": ("How the families compare", "Share of the networks of a family whose error is below a bound."),
    "times": ("Time per trial", "How long each training took."),
}
