"""Accuracy against measured latency for the members of a front."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nas.analysis.latency import FrontLatency, RankedTrial, stored_front_latency
from nas.plots.axes import log_axis, write_number
from nas.plots.hover import network_line
from nas.plots.looks import INK, family_look
from nas.plots.marks import dots
from nas.plots.pages import empty, laid_out
from nas.plots.words import family_labels
from nas.records import TrialRecord, metric_name
from nas.search.study import Study
from nas.units import format_count, format_share

if TYPE_CHECKING:
    import plotly.graph_objects as go


class LatencyInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        study: Its name.
        metric: By which networks are compared, in words.
        families: Measured members of the front by family, fastest first.
        kept: Those that no other member beats in latency, fastest first.
        errors: Standard errors of the accuracies to expect, and P(front), by number of the trial.
        tau: Rank correlation of FLOPs and latency; None where there is none.
        setting: How it was measured; empty where it was not.
        how: How to measure it.
    """

    study: str
    metric: str
    families: dict[str, list[RankedTrial]]
    kept: list[RankedTrial]
    errors: dict[int, tuple[float, float]]
    tau: float | None
    setting: str
    how: str


def latency_info(study: Study, front_latency: FrontLatency | None = None) -> LatencyInfo:
    """Collect what ``latency`` draws: what is given, else the newest complete measurement of the front."""
    found = front_latency or stored_front_latency(study)
    ranked = () if found is None else found.ranked
    labels = family_labels([space.name for space in study.config.search.spaces])
    families = {labels[name]: [entry for entry in ranked if entry.trial.space == name] for name in labels}
    networks, setting = [one.network for one in study.judgement().networks], ""
    if ranked:
        first = ranked[0].latency
        threads = f"{first.threads} thread{'s' * (first.threads > 1)}"
        setting = f"{first.backend}, batch {first.batch}, {threads} of {first.device}"
    return LatencyInfo(
        study=study.name,
        metric=metric_name(study.config.recipe.metric),
        families=families,
        kept=[entry for entry in ranked if entry.beaten_by is entry.level_with is None],
        errors={one.trial.number: (one.standard_error, one.probability) for one in networks},
        tau=None if found is None else found.orders.tau,
        setting=setting,
        how=f"No latency of the front was measured. To measure it: nas latency {study.typed}",
    )


def alt(info: LatencyInfo) -> str:
    """Say which members of the front stay on it by latency, and how the orders agree."""
    ranked = [entry for entries in info.families.values() for entry in entries]
    if not ranked:
        return info.how + "."
    ends = f"{info.kept[0].latency.median_ms:.3g} to {info.kept[-1].latency.median_ms:.3g} ms"
    tau = "" if info.tau is None else f" The orders by FLOPs and by latency agree with Kendall's τ = {info.tau:.2f}."
    return f"{len(info.kept)} of {len(ranked)} members of the front are on the front by latency, at {ends}.{tau}"


def latency(study: Study, front_latency: FrontLatency | None = None) -> go.Figure:
    """Draw accuracy against measured latency for the members of a front, and the front by latency.

    Args:
        study: A study that has been run.
        front_latency: What was measured; by default the newest complete measurement that the study keeps.
    """
    import plotly.graph_objects as go

    info = latency_info(study, front_latency)
    figure = go.Figure()
    for index, (name, entries) in enumerate(info.families.items()):
        if entries:
            figure.add_trace(_points(info, entries, name, index))
    if info.kept:
        line = {"color": INK, "width": 2, "shape": "hv"}
        at = {"x": [e.latency.median_ms for e in info.kept], "y": [round(100 * e.accuracy, 3) for e in info.kept]}
        figure.add_trace(go.Scatter(**at, mode="lines", name="front by latency", line=line, hoverinfo="skip"))
    ends = [ms for es in info.families.values() for e in es for ms in (e.latency.p10_ms, e.latency.p90_ms)]
    figure.update_layout(xaxis=log_axis(ends, write_number, "Latency (ms)", room=0.14))
    figure.update_yaxes(title=f"Expected {info.metric} (%)")
    if not ends:
        empty(figure, info.how)
    note = f"Median, p10 to p90; accuracies ± 1 standard error. {info.setting}." if ends else ""
    return laid_out(figure, f"{info.study}: {info.metric} against latency", alt=alt(info), note=note)


def _points(info: LatencyInfo, entries: list[RankedTrial], name: str, index: int) -> go.Scatter:
    look, medians = family_look(index), [entry.latency.median_ms for entry in entries]
    spread = {
        "type": "data",
        "array": [entry.latency.p90_ms - entry.latency.median_ms for entry in entries],
        "arrayminus": [entry.latency.median_ms - entry.latency.p10_ms for entry in entries],
    }
    errors = [round(100 * info.errors[entry.trial.number][0], 3) for entry in entries]
    return dots(
        medians,
        [round(100 * entry.accuracy, 3) for entry in entries],
        look,
        name=name,
        size=9,
        mode="markers+text",
        error_x={**spread, "thickness": 1.5, "color": look.color},
        error_y={"type": "data", "array": errors, "thickness": 1.5, "width": 4, "color": look.color},
        text=[f"#{entry.trial.number}" for entry in entries],
        textposition="bottom right",
        textfont={"size": 11},
        customdata=[_data(entry.trial, info.errors[entry.trial.number][1]) for entry in entries],
        hovertemplate="<b>trial %{customdata[0]}</b>, %{fullData.name}<br>%{customdata[1]}<br>expected %{y:.2f} ±"
        " %{error_y.array:.2f} %<br>P(front) %{customdata[3]}<br>%{customdata[2]} FLOPs, %{x:.2f} ms<extra></extra>",
    )


def _data(trial: TrialRecord, chance: float) -> list[object]:
    return [trial.number, network_line(trial), format_count(trial.flops), format_share(chance)]
