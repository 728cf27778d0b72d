"""Names of figures from before ``nas.plots``; they will go."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from nas import plots

if TYPE_CHECKING:
    import plotly.graph_objects as go


def plot_front(*arguments: Any, **options: Any) -> go.Figure:
    """Draw what ``nas.plots.front`` draws; this name will go."""
    return _draw("front", *arguments, **options)


def plot_curves(*arguments: Any, **options: Any) -> go.Figure:
    """Draw what ``nas.plots.curves`` draws; this name will go."""
    return _draw("curves", *arguments, **options)


def plot_law(*arguments: Any, **options: Any) -> go.Figure:
    """Draw what ``nas.plots.law`` draws; this name will go."""
    return _draw("law", *arguments, **options)


def plot_shape(*arguments: Any, **options: Any) -> go.Figure:
    """Draw what ``nas.plots.shape`` draws; this name will go."""
    return _draw("shape", *arguments, **options)


def _draw(name: str, *arguments: Any, **options: Any) -> go.Figure:
    told = f"nas.plot_{name} is now nas.plots.{name}, and this name will go"
    warnings.warn(told, DeprecationWarning, stacklevel=3)
    return getattr(plots, name)(*arguments, **options)
