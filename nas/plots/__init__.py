"""Figures of studies and of how networks should grow: each function returns a plotly ``Figure``.

``nas.plots.front(study)`` is ``front_info(study)``, which needs no plotly, and then the drawing of it; both lie in
``nas/plots/studies/front.py``, and so it is with every figure of a study, and in ``nas/plots/growth/`` with those of
growth. What a figure shows is said in words in ``figure.layout.meta["alt"]``. A name loads its module when you first
use it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.plots.growth.comparison import comparison
    from nas.plots.growth.law import law
    from nas.plots.growth.replays import replays
    from nas.plots.growth.shape import shape
    from nas.plots.growth.simplex import simplex
    from nas.plots.growth.trust import trust
    from nas.plots.studies.bits import bits
    from nas.plots.studies.curves import curves
    from nas.plots.studies.errors import errors
    from nas.plots.studies.front import front
    from nas.plots.studies.fronts import fronts
    from nas.plots.studies.importance import importance
    from nas.plots.studies.latency import latency
    from nas.plots.studies.parallel import parallel
    from nas.plots.studies.progress import progress
    from nas.plots.studies.shares import shares
    from nas.plots.studies.times import times
    from nas.plots.studies.variants import variants

_GROWTH = ("comparison", "law", "replays", "shape", "simplex", "trust")

__all__ = [
    "bits",
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
    "variants",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'nas.plots' has no attribute {name!r}")
    room = "growth" if name in _GROWTH else "studies"
    return getattr(importlib.import_module(f"nas.plots.{room}.{name}"), name)


def __dir__() -> list[str]:
    return __all__
