"""What the split of compute buys: at equal FLOPs, does more width, more depth or more resolution pay?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.analysis.relative import Relative, relative_networks
from nas.architecture.space import COEFFICIENTS
from nas.plots.looks import QUIET, family_look
from nas.plots.pages import empty, laid_out
from nas.plots.words import counted
from nas.records import metric_name
from nas.search.study import Study

if TYPE_CHECKING:
    import plotly.graph_objects as go

_FEWEST, _IN_A_BIN, _MOST_BINS = 12, 6, 7
_SURE = 2.0
"""Standard errors by which the best and the worst part of a dimension must differ to be told apart."""
_LEAST_SPREAD = 0.02
"""Octaves; a dimension that varies less at equal FLOPs tells nothing."""


class Part(NamedTuple):
    """Networks that give about the same to a dimension.

    Attributes:
        times: How much of it they have, as a multiple of what is usual for their FLOPs.
        above: Mean accuracy above what is usual for their FLOPs, in percentage points.
        error: Standard error of that.
        networks: How many they are.
    """

    times: float
    above: float
    error: float
    networks: int


class SharesInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        study: Its name.
        metric: By which networks are compared, in words.
        networks: Number of trained networks.
        parts: Of each dimension that varies at equal FLOPs, from little to much.
        fixed: Dimensions that do not vary enough to tell.
    """

    study: str
    metric: str
    networks: int
    parts: dict[str, list[Part]]
    fixed: tuple[str, ...]


def shares_info(study: Study) -> SharesInfo:
    """Collect what ``shares`` draws."""
    networks = relative_networks(study.judgement())
    parts = {name: _parts(networks, name) for name in COEFFICIENTS} if len(networks) >= _FEWEST else {}
    varied = {name: found for name, found in parts.items() if found}
    fixed = tuple(name for name in parts if name not in varied)
    return SharesInfo(study.name, metric_name(study.config.recipe.metric), len(networks), varied, fixed)


def alt(info: SharesInfo) -> str:
    """Say for each dimension where networks of equal FLOPs are best, or that it makes no difference beyond noise."""
    if not info.parts:
        return _why(info)
    told = [f"{name}: {_finding(parts)}" for name, parts in info.parts.items()]
    return f"At equal FLOPs, by {counted(info.networks, 'network')}: {'; '.join(told)}."


def shares(study: Study) -> go.Figure:
    """Draw how accurate networks with more width, depth or resolution are than others of their FLOPs.

    Each point stands for about as many networks: how much of a dimension they have beside others of their family and
    FLOPs, and how far their accuracy lies above what is usual. Bars show one standard error. What one dimension gets,
    the others lack; so a line that falls says that the FLOPs are better spent elsewhere.
    """
    import plotly.graph_objects as go

    info = shares_info(study)
    figure = go.Figure()
    for index, name in enumerate(COEFFICIENTS):
        if name in info.parts:
            figure.add_trace(_trace(name, info.parts[name], index))
    octaves = [math.log2(part.times) for parts in info.parts.values() for part in parts]
    figure.update_layout(xaxis=_axis(octaves))
    figure.update_yaxes(title="Points above the usual")
    if info.parts:
        figure.add_hline(y=0, line={"color": QUIET, "width": 1, "dash": "dot"})
        figure.add_vline(x=1, line={"color": QUIET, "width": 1, "dash": "dot"})
    else:
        empty(figure, _why(info))
    notes = "Of networks of equal FLOPs; bars ± 1 standard error. What one dimension gets, the others lack."
    if info.fixed:
        notes += f" Varied too little to tell: {', '.join(info.fixed)}."
    title = f"{info.study}: what the split of compute buys"
    return laid_out(figure, title, alt=alt(info), note=notes if info.parts else "")


def _parts(networks: list[Relative], name: str) -> list[Part]:
    """Return networks in parts of equal size, from those that give a dimension least to those that give it most."""
    shape = np.array([network.shape[name] for network in networks])
    if np.std(shape) < _LEAST_SPREAD:
        return []
    above, order = 100 * np.array([network.above for network in networks]), np.argsort(shape, kind="stable")
    bins = np.array_split(order, min(_MOST_BINS, max(2, len(networks) // _IN_A_BIN)))
    return [
        Part(
            times=float(2 ** shape[own].mean()),
            above=float(above[own].mean()),
            error=float(above[own].std(ddof=1) / math.sqrt(len(own))),
            networks=len(own),
        )
        for own in bins
    ]


def _finding(parts: list[Part]) -> str:
    best, worst = max(parts, key=lambda part: part.above), min(parts, key=lambda part: part.above)
    apart, error = best.above - worst.above, math.hypot(best.error, worst.error)
    if apart <= _SURE * error:
        return "no difference beyond noise"
    return (
        f"networks with {best.times:.2g} times the usual are {apart:.1f} ± {error:.1f} points better than those with"
        f" {worst.times:.2g} times"
    )


def _trace(name: str, parts: list[Part], index: int) -> go.Scatter:
    import plotly.graph_objects as go

    look = family_look(index)
    return go.Scatter(
        x=[round(part.times, 4) for part in parts],
        y=[round(part.above, 3) for part in parts],
        error_y={"type": "data", "array": [round(p.error, 3) for p in parts], "color": look.color, "thickness": 1.5},
        mode="lines+markers",
        name=name,
        line={"color": look.color, "width": 2.5},
        marker={"symbol": look.symbol, "size": 10},
        customdata=[[part.networks] for part in parts],
        hovertemplate=f"<b>%{{x:.2f}} × the usual {name}</b><br>%{{y:+.2f}} ± %{{error_y.array:.2f}} points"
        "<br>%{customdata[0]} networks<extra></extra>",
    )


def _axis(octaves: list[float]) -> dict[str, object]:
    low, high = min(octaves, default=-1.0), max(octaves, default=1.0)
    step = 1.0 if high - low > 3 else 0.5 if high - low > 1.2 else 0.25
    ticks = [step * n for n in range(math.floor(low / step), math.ceil(high / step) + 1)]
    texts = [f"{2**tick:.2g}×" for tick in ticks]
    ends = [(low - 0.1) * math.log10(2), (high + 0.1) * math.log10(2)]
    title = {"text": "Times the usual for the FLOPs"}
    return {"type": "log", "title": title, "tickvals": [2**t for t in ticks], "ticktext": texts, "range": ends}


def _why(info: SharesInfo) -> str:
    if info.networks < _FEWEST:
        return f"Needs {_FEWEST} trained networks to tell what the split of compute buys, and has {info.networks}."
    return "Neither width nor depth nor resolution varies at equal FLOPs."
