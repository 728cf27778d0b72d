"""What all figures and pages of ours share: colours, looks, and how they are written."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.files import write_whole

if TYPE_CHECKING:
    import plotly.graph_objects as go

PALETTE = ("#2a6fbb", "#d9822b", "#3a9a5b", "#8a56ac", "#b8428c", "#7a7a7a", "#1fa3a3", "#8c6d31", "#c0392b")
FLOPS_AXIS = "FLOPs per image (one multiply-add is one FLOP; log scale)"


def laid_out(figure: go.Figure, title: str) -> go.Figure:
    """Give a figure this project's looks, and return it."""
    legend = {"orientation": "h", "yanchor": "top", "y": -0.16, "x": 0}
    figure.update_layout(title=title, template="plotly_white", height=560, legend=legend, hoverlabel={"align": "left"})
    figure.update_layout(font={"family": "system-ui, sans-serif", "size": 14}, margin={"t": 60, "r": 30})
    figure.update_layout(modebar={"remove": ["sendChartToCloud"]})  # nothing that you look at sends your data anywhere
    return figure


def as_html(figure: go.Figure) -> str:
    """Return a figure as a part of a page that holds plotly's script; nothing in it sends data anywhere."""
    config = {"displaylogo": False, "showSendToCloud": False}
    text: str = figure.to_html(full_html=False, include_plotlyjs=False, config=config)
    return text


def write_figures(figures: Sequence[go.Figure], path: Path, *, title: str) -> None:
    """Write figures as one HTML file that needs no network.

    Raises:
        ExportError: The file cannot be written.
    """

    def render() -> str:
        from plotly.offline import get_plotlyjs

        head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><script>{get_plotlyjs()}</script>'
        return f"<!DOCTYPE html><html><head>{head}</head><body>{''.join(map(as_html, figures))}</body></html>"

    write_page(path, render)


def write_page(target: Path, render: Callable[[], str]) -> None:
    """Write an HTML page: whole, or not at all.

    Raises:
        ExportError: The file cannot be written.
    """
    write_whole(target, lambda: render().encode("utf-8", "backslashreplace"))
