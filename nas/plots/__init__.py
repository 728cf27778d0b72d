"""Figures of studies and of how networks should grow: each function returns a plotly ``Figure``.

``nas.plots.front(study)`` is ``front_info(study)``, which needs no plotly, and then the drawing of it; both lie in
``nas/plots/figures/front.py``, and so it is with every figure. What a figure shows is said in words in
``figure.layout.meta["alt"]``. A name loads its module when you first use it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.plots.figures.comparison import comparison
    from nas.plots.figures.curves import curves
    from nas.plots.figures.errors import errors
    from nas.plots.figures.front import front
    from nas.plots.figures.fronts import fronts
    from nas.plots.figures.importance import importance
    from nas.plots.figures.latency import latency
    from nas.plots.figures.law import law
    from nas.plots.figures.parallel import parallel
    from nas.plots.figures.progress import progress
    from nas.plots.figures.replays import replays
    from nas.plots.figures.shape import shape
    from nas.plots.figures.shares import shares
    from nas.plots.figures.simplex import simplex
    from nas.plots.figures.times import times
    from nas.plots.figures.trust import trust

__all__ = [
    "comparison",
    "curves",
    "errors",
    "front",
    "fronts",
    "importance",
    "latency",
    "law",
    "parallel",
    "progress",
    "replays",
    "shape",
    "shares",
    "simplex",
    "times",
    "trust",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'nas.plots' has no attribute {name!r}")
    return getattr(importlib.import_module(f"nas.plots.figures.{name}"), name)


def __dir__() -> list[str]:
    return __all__
