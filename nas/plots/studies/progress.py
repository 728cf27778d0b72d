"""What the front of a study was worth against the compute spent on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nas.fronts.growth import Growth, Moment, front_history
from nas.plots.axes import count_axis
from nas.plots.hover import network_line
from nas.plots.looks import FAMILIES, QUIET, faint
from nas.plots.pages import empty, laid_out
from nas.plots.words import counted
from nas.records import TrialRecord
from nas.search.study import Study
from nas.units import format_count, format_seconds

if TYPE_CHECKING:
    import plotly.graph_objects as go

_NEAR = 0.95
"""Share of the final hypervolume that is named."""


class ProgressInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        study: Its name.
        moments: One for each network that was trained to the end, in the order of their ends, with its trial.
        compute: Of all trainings.
        growth: What the last part of the search has added; None where it is too short to tell.
    """

    study: str
    moments: list[tuple[TrialRecord, Moment]]
    compute: int
    growth: Growth | None

    @property
    def rises(self) -> list[tuple[TrialRecord, Moment]]:
        """The moments at which the front gained something, and the last one."""
        found, before = [], -1.0
        for entry in self.moments:
            if entry[1].hypervolume > before or entry is self.moments[-1]:
                found.append(entry)
            before = entry[1].hypervolume
        return found


def progress_info(study: Study) -> ProgressInfo:
    """Collect what ``progress`` draws."""
    trials, ended = {trial.number: trial for trial in study.trials()}, study.ended()
    moments = [(trials[moment.number], moment) for moment in front_history(ended)]
    return ProgressInfo(study.name, moments, sum(training.compute for training in ended), study.growth())


def alt(info: ProgressInfo) -> str:
    """Say when most of the front was there, and what the last part of the search has brought."""
    if not info.moments:
        return f"{info.study}: no network is trained to the end yet."
    near = next(moment for _, moment in info.moments if moment.hypervolume >= _NEAR)
    share = 100 * near.compute / info.compute
    told = "The search is too short to tell more." if info.growth is None else f"{str(info.growth).capitalize()}."
    return f"{100 * _NEAR:.0f} % of the final hypervolume was there after {share:.0f} % of the compute. {told}"


def progress(study: Study) -> go.Figure:
    """Draw what the front was worth against the compute spent on it, and the part that tells whether to go on."""
    import plotly.graph_objects as go

    info = progress_info(study)
    figure = go.Figure()
    if info.moments:
        figure.add_trace(_line(info))
    if info.growth is not None:
        begin = (1 - info.growth.compute) * info.compute
        figure.add_vrect(x0=begin, x1=info.compute, fillcolor=faint(FAMILIES[0]), layer="below", line_width=0)
        text = f"last part: {100 * info.growth.gain:.1f} %,<br>not counting noise"
        place = {"x": info.compute, "y": 0.02, "yref": "paper", "xanchor": "right", "yanchor": "bottom"}
        figure.add_annotation(text=text, showarrow=False, align="right", font={"color": QUIET, "size": 12}, **place)
    figure.update_layout(xaxis=count_axis(info.compute, format_count, "Compute: epochs × FLOPs per image"))
    figure.update_yaxes(title="Hypervolume (% of the final)", rangemode="tozero")
    if not info.moments:
        empty(figure, "No network is trained to the end yet.")
    notes = f"{counted(len(info.moments), 'network')} trained to the end; marks where the front gained."
    title = f"{info.study}: hypervolume against compute"
    return laid_out(figure, title, alt=alt(info), note=notes if info.moments else "")


def _line(info: ProgressInfo) -> go.Scatter:
    import plotly.graph_objects as go

    shown = info.rises
    return go.Scatter(
        x=[moment.compute for _, moment in shown],
        y=[round(100 * moment.hypervolume, 3) for _, moment in shown],
        mode="lines+markers",
        line={"color": FAMILIES[0], "width": 2.5, "shape": "hv"},
        marker={"size": 6},
        customdata=[[trial.number, network_line(trial), format_seconds(at.seconds)] for trial, at in shown],
        hovertemplate="<b>trial %{customdata[0]}</b><br>%{customdata[1]}<br>%{y:.1f} % of the hypervolume"
        "<br>after %{customdata[2]} of training<extra></extra>",
    )
