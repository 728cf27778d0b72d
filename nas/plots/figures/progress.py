"""What the front of a study was worth against the compute spent on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nas.fronts.growth import Growth, Moment, front_history
from nas.plots.hover import hover
from nas.plots.looks import FAINT, FAMILIES
from nas.plots.pages import laid_out
from nas.records import TrialRecord
from nas.search.study import Study
from nas.units import format_seconds

if TYPE_CHECKING:
    import plotly.graph_objects as go


class ProgressInfo(NamedTuple):
    """What the progress plot shows.

    Attributes:
        title: Of the figure.
        moments: One for each network that was trained to the end, in the order of their ends, with its trial.
        compute: Of all trainings.
        growth: What the last part of the search has added; None where it is too short to tell.
    """

    title: str
    moments: list[tuple[TrialRecord, Moment]]
    compute: int
    growth: Growth | None


def progress_info(study: Study) -> ProgressInfo:
    """Collect what ``progress`` draws."""
    trials, ended = {trial.number: trial for trial in study.trials()}, study.ended()
    moments = [(trials[moment.number], moment) for moment in front_history(ended)]
    title = f"{study.name}: hypervolume against compute"
    return ProgressInfo(title, moments, sum(training.compute for training in ended), study.growth())


def progress(study: Study) -> go.Figure:
    """Draw what the front was worth against the compute spent on it, and the part that tells whether to go on."""
    import plotly.graph_objects as go

    info = progress_info(study)
    xs = [moment.compute for _, moment in info.moments]
    ys = [100 * moment.hypervolume for _, moment in info.moments]
    line, marker = {"color": FAMILIES[0], "width": 2.5, "shape": "hv"}, {"size": 6}
    texts = [f"{hover(trial)}<br>after {format_seconds(moment.seconds)} of training" for trial, moment in info.moments]
    shown = "%{text}<br>%{y:.1f} % of the hypervolume<extra></extra>"
    figure = go.Figure(
        go.Scatter(x=xs, y=ys, mode="lines+markers", line=line, marker=marker, text=texts, hovertemplate=shown)
    )
    if info.growth is not None:
        label = f"last part: {100 * info.growth.gain:.1f} %, not counting noise"
        begin = (1 - info.growth.compute) * info.compute
        place = {"annotation_position": "bottom right", "annotation_text": label}
        figure.add_vrect(x0=begin, x1=info.compute, fillcolor=FAINT, opacity=0.15, line_width=0, **place)
    figure.update_xaxes(title="Compute: epochs × FLOPs per image, over all trainings", exponentformat="SI")
    figure.update_yaxes(title="Hypervolume (% of the final front's)", rangemode="tozero")
    return laid_out(figure, info.title)
