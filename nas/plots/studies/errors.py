"""How errors of each family are distributed under a budget: the share of networks below each error.

Design spaces are compared by such distributions in Radosavovic et al. 2020, "Designing Network Design Spaces"
(arXiv:2003.13678), section 3.1 and equation 1. Families that were tried at other costs are compared fairly by weights
that give each octave of FLOPs the same share in all of them, as in Radosavovic et al. 2019, "On Network Design Spaces
for Visual Recognition" (arXiv:1905.13214), section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.fronts.geometry import Array
from nas.plots.looks import faint, family_look
from nas.plots.pages import empty, escaped, laid_out
from nas.plots.words import counted, family_labels
from nas.search.study import Study
from nas.units import format_count

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MOST_STEPS = 400
"""Steps of a line that are drawn at most."""
_CHANCE = 0.1
"""Of the true distribution to leave the band."""


class Distribution(NamedTuple):
    """Errors of the networks of a family.

    Attributes:
        errors: Rising, in percent, (networks,).
        shares: Of networks with at most that error, in 0 to 1, (networks,).
        band: Half the height of the 90 % band about them (Dvoretzky, Kiefer & Wolfowitz 1956; Massart 1990).
        networks: Number of networks.
    """

    errors: Array
    shares: Array
    band: float
    networks: int

    @property
    def median(self) -> float:
        """Error that half of the networks have at most, in percent."""
        return float(self.errors[np.searchsorted(self.shares, 0.5 - 1e-9)])


class ErrorsInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        study: Its name.
        families: By the name in the legend; families without a network under the budget are left out.
        colors: Place of each family among those of the study.
        max_flops: Most FLOPs; None without a bound.
        weighted: Whether each octave of FLOPs counts alike in all families.
        left_out: Networks in octaves that not all families have.
    """

    study: str
    families: dict[str, Distribution]
    colors: dict[str, int]
    max_flops: int | None
    weighted: bool
    left_out: int


def errors_info(study: Study, *, max_flops: int | None = None) -> ErrorsInfo:
    """Collect what ``errors`` draws."""
    limit = study.config.budget.flops
    bound = max_flops if max_flops is not None else limit.max if limit is not None else None
    networks = [one.network for one in study.judgement().networks if bound is None or one.network.trial.flops <= bound]
    labels = family_labels([space.name for space in study.config.search.spaces])
    by_family = {labels[name]: [one for one in networks if one.trial.space == name] for name in labels}
    tried = {name: ones for name, ones in by_family.items() if ones}
    octaves = {name: [math.floor(math.log2(one.trial.flops)) for one in ones] for name, ones in tried.items()}
    common = set.intersection(*map(set, octaves.values())) if octaves else set()
    weighted = len(tried) > 1 and bool(common)
    families, left_out = {}, 0
    for name, ones in tried.items():
        weights = _weights(octaves[name], common) if weighted else np.ones(len(ones))
        left_out += int((weights == 0).sum())
        families[name] = _distribution([100 * (1 - one.shrunk) for one in ones], weights)
    return ErrorsInfo(study.name, families, {n: i for i, n in enumerate(by_family)}, bound, weighted, left_out)


def alt(info: ErrorsInfo) -> str:
    """Say what the median error of each family is, and how many networks that is of."""
    if not info.families:
        return _why(info)
    under = "" if info.max_flops is None else f" under {format_count(info.max_flops)} FLOPs"
    ranked = sorted(info.families.items(), key=lambda entry: entry[1].median)
    told = ", ".join(f"{name} {found.median:.1f} % ({counted(found.networks, 'network')})" for name, found in ranked)
    weighted = ", each octave of FLOPs counted alike" if info.weighted else ""
    return f"Median expected error{under}{weighted}: {told}."


def errors(study: Study, *, max_flops: int | None = None) -> go.Figure:
    """Draw for each family which share of its networks has at most some error; further left is better.

    Args:
        study: A study that has been run.
        max_flops: Most FLOPs of the networks; by default the study's own budget.
    """
    import plotly.graph_objects as go

    info = errors_info(study, max_flops=max_flops)
    figure = go.Figure()
    for name, found in info.families.items():
        for trace in _traces(name, found, info.colors[name]):
            figure.add_trace(trace)
    figure.update_xaxes(title="Expected error (%)")
    figure.update_yaxes(title="Share of networks (%)", range=[-2, 102])
    if not info.families:
        empty(figure, _why(info))
    title = f"{info.study}: errors of each family"
    return laid_out(figure, title, alt=alt(info), note=_note(info))


def _traces(name: str, found: Distribution, index: int) -> list[go.Scatter]:
    import plotly.graph_objects as go

    look = family_look(index)
    step = -(-len(found.errors) // _MOST_STEPS)
    kept = np.append(np.arange(0, len(found.errors) - 1, step), len(found.errors) - 1)
    x = np.concatenate([found.errors[:1], found.errors[kept]]).round(3)
    y = np.concatenate([[0.0], 100 * found.shares[kept]]).round(2)
    high, low = np.minimum(y + 100 * found.band, 100), np.maximum(y - 100 * found.band, 0)
    group = {"legendgroup": name, "line": {"color": look.color, "width": 2.5, "shape": "hv"}}
    edge = {"width": 0, "shape": "hv", "color": look.color}
    bare = {"mode": "lines", "hoverinfo": "skip", "showlegend": False, "legendgroup": name, "line": edge}
    shown = f"{name} ({counted(found.networks, 'network')})"
    hover = f"{escaped(name)}: %{{y:.0f}} % have at most %{{x:.2f}} % error<extra></extra>"
    return [
        go.Scatter(x=x.tolist(), y=low.round(2).tolist(), **bare),
        go.Scatter(x=x.tolist(), y=high.round(2).tolist(), fill="tonexty", fillcolor=faint(look.color), **bare),
        go.Scatter(x=x.tolist(), y=y.tolist(), mode="lines", name=escaped(shown), hovertemplate=hover, **group),
    ]


def _distribution(errors: Sequence[float], weights: Array) -> Distribution:
    kept = weights > 0
    values, weights = np.array(errors)[kept], weights[kept] / weights.sum()
    order = np.argsort(values, kind="stable")
    worth = 1 / float((weights**2).sum())  # networks of equal weight that would tell as much
    band = math.sqrt(math.log(2 / _CHANCE) / (2 * worth))
    return Distribution(values[order], np.cumsum(weights[order]), band, int(kept.sum()))


def _weights(octaves: Sequence[int], common: set[int]) -> Array:
    """Return the weight of each network, so that each octave that all families have counts alike."""
    counts = {octave: octaves.count(octave) for octave in common}
    return np.array([1 / counts[octave] if octave in common else 0.0 for octave in octaves])


def _note(info: ErrorsInfo) -> str:
    if not info.families:
        return ""
    bound = "" if info.max_flops is None else f"Under {format_count(info.max_flops)} FLOPs. "
    weighted = "Each octave of FLOPs counts alike. " if info.weighted else ""
    left = f"Left out: {counted(info.left_out, 'network')} of octaves that a family lacks. " if info.left_out else ""
    return f"{bound}{weighted}{left}Networks as the search chose them; shaded: 90 % band."


def _why(info: ErrorsInfo) -> str:
    under = "" if info.max_flops is None else f" with at most {format_count(info.max_flops)} FLOPs"
    return f"No network{under} is trained yet."
