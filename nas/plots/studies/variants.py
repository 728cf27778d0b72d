"""What nas compress made, against a cost: each variant is joined to what it was made of, beside the searched front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.analysis.costs import COSTS, StudyCost, front_against
from nas.analysis.pareto import FrontPoint
from nas.analysis.variants import Beside, variants_beside
from nas.errors import ConfigError
from nas.plots.costs import cost_axis, cost_line, cost_words
from nas.plots.hover import POINT, point_data
from nas.plots.looks import FAINT, PAPER, QUIET, VARIANT_LOOKS, family_look
from nas.plots.marks import dots, front_line, percent
from nas.plots.pages import empty, escaped, laid_out
from nas.plots.words import counted, expected_words, family_labels
from nas.records import Figures, Variant, metric_name
from nas.search.study import Study
from nas.units import format_percent

if TYPE_CHECKING:
    import plotly.graph_objects as go

AGAINST = ("flops", "weight_bytes", "latency_ms")
"""Costs that variants are drawn against."""
_NAMES = {
    "": "as it was",
    "pruned": "pruned",
    "trained": "trained on",
    "int8": "int8",
    "weights-int8": "weights of 8 bits",
    "weights-int4": "weights of 4 bits",
}
_TOLD = 3  # variants that the words tell of


class Node(NamedTuple):
    """A network of a chain.

    Attributes:
        name: Of it.
        step: That made it; empty for what a chain began with.
        figures: Of it.
        parent: What it was made of; None for what a chain began with.
        refused: Why it would have been refused; empty where it would not.
    """

    name: str
    step: str
    figures: Figures
    parent: Figures | None
    refused: str


class VariantsInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        study: Its name.
        metric: By which networks are compared, in words.
        cost: What accuracy is held against.
        nodes: Networks whose accuracy and cost were measured, by the step that made them.
        families: Searched networks of the front by family; empty against latency.
        front: All of them, cheapest first.
        values: Costs of the searched networks by the numbers of their trials.
        kept: Variants that chains were run for, beside what the search has for as many FLOPs.
        unknown: Number of variants without a measured accuracy or cost, which are left out.
    """

    study: str
    metric: str
    cost: StudyCost
    nodes: dict[str, list[Node]]
    families: dict[str, list[FrontPoint]]
    front: tuple[FrontPoint, ...]
    values: dict[int, float]
    kept: list[Beside]
    unknown: int


def variants_info(study: Study, *, against: str = "flops") -> VariantsInfo:
    """Collect what ``variants`` draws.

    Raises:
        ConfigError: Variants are not drawn against such a cost.
    """
    if against not in AGAINST:
        raise ConfigError(f"variants are drawn against {', '.join(AGAINST)}, not {against!r}")
    beside = variants_beside(study)
    known = [one for one in beside if _place(one.variant.figures, against)]
    nodes: dict[str, list[Node]] = {step: [] for step in _NAMES}
    for node in _nodes([one.variant for one in known]):
        if _place(node.figures, against):
            nodes[node.step].append(node)
    searched = None if against == "latency_ms" else front_against(study, against)
    front = () if searched is None else searched.points
    labels = family_labels([space.name for space in study.config.search.spaces])
    return VariantsInfo(
        study=study.name,
        metric=metric_name(study.config.recipe.metric),
        cost=COSTS[against],
        nodes={step: ones for step, ones in nodes.items() if ones},
        families={labels[name]: [point for point in front if point.trial.space == name] for name in labels},
        front=front,
        values={} if searched is None else {p.trial.number: searched.value(p.trial) for p in front},
        kept=[one for one in known if one.variant.kept],
        unknown=len(beside) - len(known),
    )


def alt(info: VariantsInfo) -> str:
    """Say what the kept variants came to, beside what the search has for as much."""
    if not info.kept:
        return f"nas compress has made nothing of a network of {info.study} yet."
    told = [_told(one, info.cost) for one in info.kept[-_TOLD:]]
    more = f" {counted(len(info.kept) - _TOLD, 'variant')} more." if len(info.kept) > _TOLD else ""
    return f"{' '.join(told)}{more}"


def variants(study: Study, *, against: str = "flops") -> go.Figure:
    """Draw what ``nas compress`` made against a cost, joined to what it was made of, beside the front of the search.

    Accuracies of variants are measured once, with their weights; those of searched networks are the expected ones.

    Args:
        study: A study that has been run.
        against: ``flops``, ``weight_bytes`` or ``latency_ms``.

    Raises:
        ConfigError: Variants are not drawn against such a cost.
    """
    import plotly.graph_objects as go

    info = variants_info(study, against=against)
    figure = go.Figure()
    for trace in (*_searched(info), *_links(info), *_points(info)):
        figure.add_trace(trace)
    shown = [_cost(node.figures, info.cost.name) for nodes in info.nodes.values() for node in nodes]
    if not shown:
        empty(figure, alt(info))
    figure.update_layout(xaxis=cost_axis(info.cost, [*shown, *info.values.values()]), showlegend=True)
    figure.update_yaxes(title=f"Validation {info.metric} (%)")
    title = f"{info.study}: variants against {info.cost.label}"
    return laid_out(figure, title, alt=alt(info), note=_note(info) if shown else "")


def _nodes(variants: Sequence[Variant]) -> list[Node]:
    """Return all networks of chains, each once."""
    made = {variant.name: variant for variant in variants}
    begun = [one for one in variants if one.parent not in made]
    roots = {one.parent: Node(one.parent, "", one.parent_figures, None, "") for one in begun}
    # what two chains make of one network stands at its own measurement of that network
    return [
        *roots.values(),
        *(Node(one.name, one.step, one.figures, _seen(one, made, roots), one.refused) for one in made.values()),
    ]


def _seen(one: Variant, made: dict[str, Variant], roots: dict[str, Node]) -> Figures:
    """Return the figures at which the parent of a variant is drawn."""
    return made[one.parent].figures if one.parent in made else roots[one.parent].figures


def _place(figures: Figures, against: str) -> bool:
    return figures.val_accuracy is not None and getattr(figures, against) is not None


def _cost(figures: Figures, name: str) -> float:
    return float(getattr(figures, name))


def _percent(figures: Figures) -> float:
    return round(100 * (figures.val_accuracy or 0), 3)


def _searched(info: VariantsInfo) -> list[Any]:
    """Return the front of the search, family by family."""
    if not info.front:
        return []
    x = [info.values[point.trial.number] for point in info.front]
    traces = [front_line(x, info.front, color=QUIET, name="front of the search (± 1 standard error)")]
    for index, (name, points) in enumerate(info.families.items()):
        if points:
            x = [info.values[point.trial.number] for point in points]
            template = f"{POINT}{cost_line(info.cost)}<extra></extra>"
            hover: dict[str, Any] = {"customdata": point_data(points), "hovertemplate": template}
            traces.append(dots(x, percent(points), family_look(index), name=f"{name}, searched", size=7, **hover))
    return traces


def _links(info: VariantsInfo) -> list[Any]:
    """Return the lines from networks to what was made of them."""
    import plotly.graph_objects as go

    x, y = list[float | None](), list[float | None]()
    for node in (node for nodes in info.nodes.values() for node in nodes):
        if node.parent is not None and _place(node.parent, info.cost.name):
            x += [_cost(node.parent, info.cost.name), _cost(node.figures, info.cost.name), None]
            y += [_percent(node.parent), _percent(node.figures), None]
    if not x:
        return []
    line = {"color": FAINT, "width": 1.5, "dash": "dot"}
    return [go.Scatter(x=x, y=y, mode="lines", line=line, name="made of", hoverinfo="skip")]


def _points(info: VariantsInfo) -> list[Any]:
    """Return the networks of chains, step by step; those that were refused are open."""
    traces = []
    for step, nodes in info.nodes.items():
        for refused in (False, True):
            ones = [node for node in nodes if bool(node.refused) == refused]
            look = VARIANT_LOOKS[step]
            look = look._replace(symbol=f"{look.symbol}-open") if refused else look
            name = f"{_NAMES[step]}{', kept though refused' * refused}"
            if ones:
                traces.append(
                    dots(
                        [_cost(node.figures, info.cost.name) for node in ones],
                        [_percent(node.figures) for node in ones],
                        look,
                        name=name,
                        size=11,
                        opacity=1,
                        line={"color": PAPER, "width": 1},
                        customdata=[[escaped(node.name), escaped(node.refused)] for node in ones],
                        hovertemplate="<b>%{customdata[0]}</b><br>validation %{y:.2f} %<br>"
                        + cost_line(info.cost)
                        + "<br>%{customdata[1]}<extra></extra>",
                    )
                )
    return traces


def _told(one: Beside, cost: StudyCost) -> str:
    figures, refused = one.variant.figures, ", kept though refused" * bool(one.variant.refused)
    at = cost_words(cost, _cost(figures, cost.name))
    said = f"{one.variant.name}{refused}: {format_percent(figures.val_accuracy or 0)} at {at}"
    before = one.variant.parent_figures
    if cost.name == "latency_ms":
        faster = f", {one.variant.speed:.2f} times as fast as {one.variant.parent}" if before.latency_ms else ""
        return f"{said}{faster}."
    if one.searched is None:
        return f"{said}; the search has no network of so few FLOPs."
    return f"{said}; of no more FLOPs the search has trial {one.searched.trial.number}: {expected_words(one.searched)}."


def _note(info: VariantsInfo) -> str:
    settings = {str(one.variant.provenance.get("setting", "")) for one in info.kept}
    notes = ["Variants were measured once; of searched networks it is the accuracy to expect."]
    if info.cost.name == "latency_ms":
        told = "; ".join(sorted(settings))
        notes = [f"{told[:1].upper()}{told[1:240]}.", "Searched networks were not measured with them."]
        if len(settings) > 1:
            notes.append("Times of different settings do not compare.")
    if info.unknown:
        notes.append(f"{counted(info.unknown, 'variant')} without a measured accuracy left out.")
    return " ".join(notes)
