"""Which dimensions decide accuracy, and which still do at equal FLOPs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nas.analysis.importance import FEWEST, MOST, Importance, importance_of
from nas.analysis.pareto import front_with_noise
from nas.plots.looks import INK, family_look
from nas.plots.pages import empty, laid_out
from nas.plots.words import spread_evenly
from nas.search.study import Study

if TYPE_CHECKING:
    import plotly.graph_objects as go


class ImportanceInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        study: Its name.
        found: Importance by what it is of; empty where too few networks are trained or they do not differ.
        networks: Number of trained networks.
        used: Networks that it was computed from.
    """

    study: str
    found: dict[str, Importance]
    networks: int
    used: int


_BAR = {"type": "data", "thickness": 1.5, "color": INK}
OF_ALL, AT_EQUAL = "of accuracy", "of accuracy at equal FLOPs"
_SUBJECTS = {OF_ALL: "Accuracy depends", AT_EQUAL: "Accuracy at equal FLOPs depends"}

_UNSURE = {OF_ALL: "For accuracy", AT_EQUAL: "For accuracy at equal FLOPs"}


def importance_info(study: Study) -> ImportanceInfo:
    """Collect what ``importance`` draws."""
    front = front_with_noise(study)
    points = sorted((*front.points, *front.others), key=lambda point: (point.trial.flops, point.trial.number))
    used = spread_evenly(points, MOST)
    if len(points) < FEWEST:
        return ImportanceInfo(study.name, {}, len(points), len(used))
    found = {OF_ALL: importance_of(used, at_equal_flops=False), AT_EQUAL: importance_of(used, at_equal_flops=True)}
    told = {name: one for name, one in found.items() if one.explained > 0}
    return ImportanceInfo(study.name, told, len(points), len(used))


def alt(info: ImportanceInfo) -> str:
    """Say which dimension matters most, and how much is explained."""
    if not info.found:
        return _why(info)
    told = []
    for name, one in info.found.items():
        first = int(one.mean.argmax())
        lost = f"mixed up, {one.mean[first]:.2f} ± {one.std[first]:.2f} of the explained variance are lost"
        all_of_it = f"all dimensions explain {100 * one.explained:.0f} % of unseen networks"
        which = _word(one.dimensions[first])
        sure = one.mean[first] > one.std[first]
        most = f"{which} seems to matter most, which its spread leaves open"
        words = f"{_SUBJECTS[name]} most on {which}" if sure else f"{_UNSURE[name]} {most}"
        told.append(f"{words} ({lost}; {all_of_it})")
    return f"{'; '.join(told)}."


def importance(study: Study) -> go.Figure:
    """Draw how much of the accuracies each dimension explains, in all and at equal FLOPs.

    It is what a random forest explains less of networks that it has not seen once a dimension is mixed up
    (``nas/analysis/importance.py``); bars show the standard deviation over four parts of the networks and seeds.
    """
    import plotly.graph_objects as go

    info = importance_info(study)
    figure = go.Figure()
    for index, (name, one) in enumerate(info.found.items()):
        order = _order(info)
        places = [one.dimensions.index(dimension) for dimension in order]
        figure.add_trace(
            go.Bar(
                y=[_word(dimension) for dimension in order],
                x=[round(float(one.mean[place]), 4) for place in places],
                error_x={**_BAR, "array": [round(float(one.std[place]), 4) for place in places]},
                orientation="h",
                name=name,
                marker={"color": family_look(index).color},
                hovertemplate=f"%{{y}}, {name}<br>%{{x:.3f}} ± %{{error_x.array:.3f}}<extra></extra>",
            )
        )
    figure.update_xaxes(title="Explained variance lost when mixed up", rangemode="tozero")
    figure.update_layout(barmode="group", bargap=0.3)
    if not info.found:
        empty(figure, _why(info))
    return laid_out(figure, f"{info.study}: which dimensions matter", alt=alt(info), note=_note(info))


def _order(info: ImportanceInfo) -> list[str]:
    """Return the dimensions, the least important first: bars are drawn from below."""
    last = list(info.found.values())[-1]
    return [last.dimensions[place] for place in last.mean.argsort(kind="stable")]


def _note(info: ImportanceInfo) -> str:
    if not info.found:
        return ""
    explained = ", ".join(f"{100 * one.explained:.0f} % {name}" for name, one in info.found.items())
    part = "" if info.used == info.networks else f" {info.used:,} of {info.networks:,} networks."
    missing = "" if AT_EQUAL in info.found else " At equal FLOPs nothing is explained."
    how = "Permutation importance of random forests, ± std over folds and seeds"
    return f"{how}; they explain {explained}.{part}{missing}"


def _word(dimension: str) -> str:
    return dimension.replace("_", " ")


def _why(info: ImportanceInfo) -> str:
    if info.networks < FEWEST:
        return f"Needs {FEWEST} trained networks to tell which dimensions matter, and has {info.networks}."
    return "Cannot tell which dimensions matter: they explain nothing of networks that were left out."
