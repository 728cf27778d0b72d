"""What all figures and pages of ours share: how they are laid out, and how they are written."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.files import write_whole
from nas.plots.looks import DARK, FAMILIES, GRID, INK, PAPER, QUIET

if TYPE_CHECKING:
    import plotly.graph_objects as go

FLOPS_AXIS = "FLOPs per image"
CONFIG = {"displaylogo": False, "showSendToCloud": False, "responsive": True}
"""Plotly's options for every figure: it fills its place, and offers to send its data nowhere."""
HEIGHT = 540
"""Of a figure in pixels, without the lines of its title and legend; its width is that of the page."""
_TITLE, _NOTE = 32, 58
"""Characters of a line that a telephone (390 px) has room for, beside the buttons or below them."""
_BUTTONS = ["sendChartToCloud", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"]
"""Of plotly's that are taken out: the first sends the figure away, the others have no use here and hide the title."""


def laid_out(figure: go.Figure, title: str, *, alt: str = "", note: str = "") -> go.Figure:
    """Give a figure this project's looks, and return it.

    Args:
        figure: Without looks.
        title: Short: what is shown of what.
        alt: The finding in a sentence or two, for readers who do not see the figure (``layout.meta["alt"]``).
        note: What is left out, thinned or assumed; below the title.
    """
    named, noted = wrapped(title, _TITLE), wrapped(note, _NOTE)
    lines = 1 + named.count("<br>")
    top = 24 + 19 * lines + (6 + 15 * (1 + noted.count("<br>")) if note else 0)
    small = {"size": 12, "color": QUIET}
    import plotly.graph_objects as go

    figure.layout.template = go.layout.Template(_template())  # in place of plotly's own, whose colours do not switch
    figure.update_layout(
        title={"text": named, "subtitle": {"text": noted, "font": small}, "pad": {"t": 10 + 19 * (lines - 1)}},
        height=HEIGHT + top - 43,
        margin={"t": top},
        meta={"alt": alt},
        modebar={"remove": _BUTTONS},
    )
    return figure


def wrapped(text: str, width: int) -> str:
    """Return a text as lines that fit, as plotly breaks them; what looks like markup in it is text."""
    return "<br>".join(map(escaped, textwrap.wrap(text, width)))


def escaped(text: str) -> str:
    """Return a text that plotly shows as it is, in one line."""
    return html.escape(" ".join(text.split()), quote=False)


def empty(figure: go.Figure, why: str) -> go.Figure:
    """Say in a figure without anything to show why that is so, and return it."""
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False}
    figure.add_annotation(text=wrapped(why, 40), font={"size": 15, "color": QUIET}, **place)
    return figure


def as_html(figure: go.Figure) -> str:
    """Return a figure as a part of a page that holds plotly's script; nothing in it sends data anywhere."""
    text: str = figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG)
    return text


def write_figures(figures: Sequence[go.Figure], path: Path, *, title: str) -> None:
    """Write figures as one HTML file that needs no network.

    Raises:
        ExportError: The file cannot be written.
    """

    def render() -> str:
        from plotly.offline import get_plotlyjs

        head = (
            '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(title)}</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script>"
        )
        parts = "".join(f'<div role="img" aria-label="{html.escape(_alt(f))}">{as_html(f)}</div>' for f in figures)
        return (
            f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{parts}<script>{_SWITCH}</script></body></html>'
        )

    write_page(path, render)


def write_page(target: Path, render: Callable[[], str]) -> None:
    """Write an HTML page: whole, or not at all.

    Raises:
        ExportError: The file cannot be written.
    """
    write_whole(target, lambda: render().encode("utf-8", "backslashreplace"))


def _alt(figure: go.Figure) -> str:
    return str((figure.layout.meta or {}).get("alt", ""))


_STYLE = (
    f"body {{ margin: 0; background: {PAPER}; color-scheme: light dark; }}"
    f" @media (prefers-color-scheme: dark) {{ body {{ background: {DARK[PAPER]}; }} }}"
)
_SWITCH = (
    f"const dark = {json.dumps(DARK)}, page = matchMedia('(prefers-color-scheme: dark)');"
    "const figures = [...document.querySelectorAll('.plotly-graph-div')];"
    "const light = figures.map(figure => JSON.stringify([figure.data, figure.layout]));"
    "function draw() { figures.forEach((figure, index) => {"
    " let text = light[index];"
    " if (page.matches) for (const [color, other] of Object.entries(dark)) text = text.replaceAll(color, other);"
    " Plotly.react(figure, ...JSON.parse(text)); }); }"
    "page.addEventListener('change', draw); if (page.matches) draw();"
)


def _template() -> dict[str, object]:
    axis = {
        "gridcolor": GRID,
        "linecolor": QUIET,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": QUIET,
        "ticklen": 4,
        "automargin": True,
        "title": {"standoff": 12, "font": {"size": 13}},
    }
    return {
        "layout": {
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
            "title": {
                "font": {"size": 15},
                "y": 1,
                "yanchor": "top",
                "yref": "container",
                "x": 0.01,
                "xanchor": "left",
            },
            "colorway": list(FAMILIES),
            "paper_bgcolor": PAPER,
            "plot_bgcolor": PAPER,
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"orientation": "h", "yanchor": "top", "y": -0.17, "x": 0, "itemsizing": "constant"},
            "margin": {"l": 20, "r": 16, "b": 20},
            "hoverlabel": {"align": "left", "bgcolor": PAPER, "bordercolor": QUIET, "font": {"color": INK}},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": QUIET},
        }
    }
