"""Fronts of several studies on one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.analysis.comparable import require_comparable, told_apart
from nas.analysis.costs import CostFront, StudyCost, front_against
from nas.errors import StudyError
from nas.plots.costs import cost_axis, cost_line, cost_words
from nas.plots.hover import POINT, point_data
from nas.plots.looks import family_look
from nas.plots.marks import dots, front_line, percent
from nas.plots.pages import empty, laid_out
from nas.plots.words import counted, expected_words, spread_evenly
from nas.records import metric_name
from nas.search.study import Study

if TYPE_CHECKING:
    import plotly.graph_objects as go

_OTHERS = 1000
"""Networks off the fronts that are drawn at most, of each study."""


class FrontsInfo(NamedTuple):
    """What the figure shows: the front of each study by its name, over one cost."""

    metric: str
    cost: StudyCost
    fronts: dict[str, CostFront]


def fronts_info(studies: Sequence[Study], *, against: str = "flops") -> FrontsInfo:
    """Collect what ``fronts`` draws.

    Raises:
        ConfigError: There is no such cost.
        StudyError: No study is given, their metrics or images differ, or a cost was measured of no network.
    """
    if not studies:
        raise StudyError("no study is given; several fronts need at least one")
    require_comparable(studies)
    found = [front_against(study, against) for study in studies]
    names = told_apart([study.name for study in studies])
    metric = metric_name(studies[0].config.recipe.metric)
    return FrontsInfo(metric, found[0].costed.cost, dict(zip(names, found, strict=True)))


def alt(info: FrontsInfo) -> str:
    """Say how accurate the best of each study is, and at what cost."""
    parts = []
    for name, found in info.fronts.items():
        if not found.points:
            parts.append(f"{name} has no trained network")
            continue
        best = found.points[-1]
        cost = cost_words(info.cost, found.value(best.trial))
        parts.append(
            f"{name} reaches {expected_words(best)} at {cost}, {counted(len(found.points), 'network')} on its front"
        )
    return "; ".join(parts) + "."


def fronts(studies: Sequence[Study], *, against: str = "flops") -> go.Figure:
    """Draw the fronts of several studies of the same images, one colour for each.

    Args:
        studies: That have been run.
        against: A cost, as for ``front``.

    Raises:
        ConfigError: There is no such cost.
        StudyError: No study is given, their metrics or images differ, or a cost was measured of no network.
    """
    import plotly.graph_objects as go

    info = fronts_info(studies, against=against)
    figure, thinned = go.Figure(), 0
    for index, (name, found) in enumerate(info.fronts.items()):
        thinned += max(0, len(found.others) - _OTHERS)
        for trace in _traces(info, found, name, index):
            figure.add_trace(trace)
    values = [value for found in info.fronts.values() for value in found.costed.values.values()]
    figure.update_layout(xaxis=cost_axis(info.cost, values))
    figure.update_yaxes(title=f"Expected {info.metric} (%)")
    if not values:
        empty(figure, "None of these studies has a trained network yet.")
    notes = [note for found in info.fronts.values() for note in found.costed.notes]
    notes += [f"{thinned:,} networks off the fronts are not drawn."] if thinned else []
    title = f"{len(info.fronts)} studies: {info.metric} against {info.cost.label}"
    read = ["Bars: ± 1 standard error. Faint: off the front."] if values else []
    note = " ".join([*read, *dict.fromkeys(notes)])
    return laid_out(figure, title, alt=alt(info), note=note)


def _traces(info: FrontsInfo, found: CostFront, name: str, index: int) -> list[go.Scatter]:
    """Return the networks off a front, its line, and its networks."""
    look, shown = family_look(index), f"{POINT}{cost_line(info.cost)}<extra></extra>"
    if not found.points:
        return []
    others, group = spread_evenly(found.others, _OTHERS), str(index)
    line = front_line([found.value(p.trial) for p in found.points], found.points, color=look.color, name=name)
    data: dict[str, Any] = {
        "legendgroup": str(index),
        "customdata": point_data(found.points),
        "hovertemplate": shown,
    }
    return [
        dots(
            [found.value(point.trial) for point in others],
            percent(others),
            look,
            name=name,
            size=5,
            opacity=0.3,
            showlegend=False,
            customdata=point_data(others),
            hovertemplate=shown,
            legendgroup=group,
        ),
        line.update(showlegend=False, legendgroup=group),
        dots([found.value(p.trial) for p in found.points], percent(found.points), look, name=name, **data),
    ]
