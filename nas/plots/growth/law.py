"""Error against cost: points, and the laws fitted to them with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from nas.analysis.law_sentences import law_text
from nas.analysis.laws import FamilyLaw
from nas.fronts.geometry import Array
from nas.plots.axes import log_axis, seconds_axis
from nas.plots.looks import Look, family_look
from nas.plots.pages import FLOPS_AXIS, empty, escaped, laid_out
from nas.scaling.intervals import Prediction
from nas.scaling.laws import Law
from nas.scaling.refusal import HORIZON
from nas.units import format_count

if TYPE_CHECKING:
    import plotly.graph_objects as go

COST_AXES = {
    "flops": FLOPS_AXIS,
    "params": "Parameters",
    "activations": "Activations per image",
    "seconds": "Seconds of one training",
}
_MARKS = 120


class LawInfo(NamedTuple):
    """What the plot shows of one law, or of a joint law at one number of images.

    Attributes:
        name: In the legend.
        cost: Of the points, of shape (points,).
        error: Of the points, as shares.
        held_out: Whether each was held out when forms were compared.
        marks: Costs of the curve, (marks,); none where the law is not determined.
        curve: Errors there, with intervals.
        dearest: Cost from which on the curve is extrapolated.
    """

    name: str
    cost: Array
    error: Array
    held_out: npt.NDArray[np.bool_]
    marks: Array
    curve: Prediction
    dearest: float


def law_info(laws: Sequence[FamilyLaw]) -> list[LawInfo]:
    """Collect what ``law`` draws."""
    found = list[LawInfo]()
    for family in laws:
        costs, errors = family.cost, family.law.points.errors
        marks = np.geomspace(costs.min(), HORIZON * costs.max(), _MARKS if family.law.determined else 0)
        if isinstance(family.law, Law):
            told = "" if family.law.determined else ": cannot tell"
            name = f"{family.name}{', best of each band of cost' * family.bands}{told}"
            curve = family.law.predict(marks) if family.law.determined else Prediction(marks, marks, marks)
            found.append(LawInfo(name, costs, errors, family.law.held_out, marks, curve, float(costs.max())))
            continue
        images = family.law.points.causes[1]
        for number in np.unique(images):
            own = images == number
            curve = family.law.predict(marks, number) if family.law.determined else Prediction(marks, marks, marks)
            name = f"{family.name}, {number:,.0f} images"
            none = np.zeros(int(own.sum()), np.bool_)
            found.append(LawInfo(name, costs[own], errors[own], none, marks, curve, float(costs.max())))
    return found


def law(laws: Sequence[FamilyLaw], *, cost: str = "flops", title: str = "Error against cost") -> go.Figure:
    """Draw error against cost: points, laws with their 90 % bands, dashed where they go beyond the points.

    Points in rings were held out when the forms of law were compared.

    Args:
        laws: Of the same cost.
        cost: Its kind.
        title: Of the figure.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    shown = law_info(laws)
    first = next((info.name for info in shown if info.held_out.any()), "")
    for index, info in enumerate(shown):
        for trace in _traces(info, family_look(index), ring_named=info.name == first):
            figure.add_trace(trace)
    costs = [value for info in shown for value in (*info.cost, *info.marks)]
    figure.update_layout(xaxis=seconds_axis(costs, COST_AXES[cost]) if cost == "seconds" else _axis(costs, cost))
    figure.update_yaxes(title="Error (%)")
    if not shown:
        empty(figure, "There are no points to fit a law to.")
    dashed = any(len(info.marks) for info in shown)
    note = "Shaded: 90 % intervals. Dashed: beyond what was measured." if dashed else ""
    return laid_out(figure, title, alt=alt(laws, cost=cost), note=note)


def alt(laws: Sequence[FamilyLaw], *, cost: str = "flops") -> str:
    """Say what the laws tell, a sentence for each."""
    return " ".join(law_text(one, cost) for one in laws) or "There are no points to fit a law to."


def _axis(costs: Sequence[float], cost: str) -> dict[str, object]:
    return log_axis(costs, format_count, COST_AXES[cost])


def _traces(info: LawInfo, look: Look, *, ring_named: bool) -> list[go.Scatter]:
    """Return band, line within the points, line beyond them, points and rings of one law."""
    import plotly.graph_objects as go

    color, group, hover = look.color, {"legendgroup": info.name}, "%{x:.3s}: %{y:.2f} %<extra></extra>"
    traces = []
    if len(info.marks):
        edge = {"x": np.concatenate([info.marks, info.marks[::-1]])}
        edge["y"] = 100 * np.concatenate([info.curve.high, info.curve.low[::-1]])
        band = {"fill": "toself", "fillcolor": color, "opacity": 0.15, "line": {"width": 0}, "mode": "lines"}
        traces.append(go.Scatter(**edge, **band, **group, hoverinfo="skip", showlegend=False))
        within = info.marks <= info.dearest * 1.0001
        last = int(within.sum()) - 1
        for part, dash in ((slice(0, last + 1), "solid"), (slice(last, None), "dash")):
            line = {"color": color, "width": 2.5, "dash": dash}
            at = {"x": info.marks[part], "y": 100 * info.curve.mean[part]}
            traces.append(go.Scatter(**at, mode="lines", line=line, hovertemplate=hover, showlegend=False, **group))
    marker = {"color": color, "symbol": look.symbol, "size": 8}
    at = {"x": info.cost, "y": 100 * info.error}
    traces.append(
        go.Scatter(**at, mode="markers", marker=marker, name=escaped(info.name), hovertemplate=hover, **group)
    )
    if info.held_out.any():
        ring = {"color": "rgba(0,0,0,0)", "size": 15, "line": {"color": color, "width": 1.5}}
        at = {"x": info.cost[info.held_out], "y": 100 * info.error[info.held_out]}
        name = {"name": "held out to choose the form", "showlegend": ring_named}
        traces.append(go.Scatter(**at, mode="markers", marker=ring, hoverinfo="skip", **name))
    return traces
