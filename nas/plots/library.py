"""The script that draws figures in a browser, for pages that carry it."""

from __future__ import annotations


def plotly_js() -> str:
    """Return plotly's script; the whole of it, for only that comes with the Python package."""
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text
