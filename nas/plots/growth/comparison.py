"""Scaling rules at matched cost, as a figure: figure 3 of Tan & Le 2019 (arXiv:1905.11946) for your own images."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nas.plots.looks import family_look
from nas.plots.pages import FLOPS_AXIS, empty, escaped, laid_out
from nas.search.lab.compare import Comparison, Grown
from nas.units import format_count

if TYPE_CHECKING:
    import plotly.graph_objects as go


class RuleLine(NamedTuple):
    """The trained networks of one rule, cheapest first, the baseline included."""

    rule: str
    networks: tuple[Grown, ...]


def comparison_info(found: Comparison) -> list[RuleLine]:
    """Collect what ``comparison`` draws: one line for each rule that has a trained network beside the baseline."""
    rules = dict.fromkeys(one.rule for one in found.grown)
    trained = {rule: [one for one in found.grown if one.rule == rule and one.trained is not None] for rule in rules}
    lines = [
        RuleLine(rule, tuple(sorted(ones, key=lambda one: one.member.cost.flops))) for rule, ones in trained.items()
    ]
    return [line for line in lines if len(line.networks) > 1]


def comparison(found: Comparison) -> go.Figure:
    """Draw accuracy against FLOPs, a line for each rule; bars are the standard deviation over the seeds."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for index, line in enumerate(comparison_info(found)):
        color, symbol = family_look(index)
        stds = [one.std for one in line.networks]
        figure.add_trace(
            go.Scatter(
                x=[one.member.cost.flops for one in line.networks],
                y=[100 * one.mean for one in line.networks],
                error_y={"type": "data", "array": [100 * (std or 0.0) for std in stds], "color": color},
                mode="lines+markers",
                name=escaped(line.rule),
                line={"color": color},
                marker={"symbol": symbol, "size": 9},
                customdata=[[escaped(one.member.architecture.name), one.accuracy] for one in line.networks],
                hovertemplate="%{fullData.name}<br>%{customdata[0]}<br>%{customdata[1]}, %{x:.3s} FLOPs<extra></extra>",
            )
        )
    first = found.grown[0].member.cost.flops / found.grown[0].member.growth
    promised = [first * 2**phi for phi in sorted({one.member.phi for one in found.grown})]
    figure.update_xaxes(title=FLOPS_AXIS, type="log")
    figure.update_xaxes(tickvals=promised, ticktext=[format_count(cost) for cost in promised])
    figure.update_yaxes(title="Validation accuracy (%)")
    if not figure.data:
        empty(figure, "No network of a rule is trained yet.")
    note = f"From {found.baseline.architecture().name}. Means over seeds; bars ± standard deviation."
    return laid_out(figure, "Rules compared", alt=alt(found), note=note)


def alt(found: Comparison) -> str:
    """Say which rule is best at each cost."""
    return " ".join(found.verdicts) or "No network of a rule is trained yet."
