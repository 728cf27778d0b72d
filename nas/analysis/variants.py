"""What nas compress made of a study's networks, beside what the search found at the same cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from nas.analysis.pareto import FrontPoint, front_with_noise
from nas.records import Figures, Variant
from nas.search.study import Study

if TYPE_CHECKING:
    import pandas as pd

_FACTS = tuple(field.name for field in dataclasses.fields(Variant) if "figures" not in field.name)[:-1]
_FIGURES = tuple(field.name for field in dataclasses.fields(Figures))


class Beside(NamedTuple):
    """A variant, and the network that the search has for as much.

    Attributes:
        variant: What was made.
        searched: Of the front's networks with no more FLOPs than the variant the most accurate; None where there is
            none.
    """

    variant: Variant
    searched: FrontPoint | None


def variants_beside(study: Study) -> list[Beside]:
    """Return the variants of a study, each beside the searched network of no more FLOPs, as they were made."""
    points, found = front_with_noise(study).points, list[Beside]()
    for variant in study.variants():
        within = [point for point in points if point.trial.flops <= variant.figures.flops]
        found.append(Beside(variant, within[-1] if within else None))
    return found


def variants_frame(study: Study) -> pd.DataFrame:
    """Return what ``nas compress`` made of a study's networks as a table, one row each, in the order of the making.

    Columns: ``name``, ``step``, ``digest``, ``precision``, ``parent``, ``parent_digest``, ``parent_precision``,
    ``trial``, ``test_accuracy`` (0 to 1), ``kept``, ``refused``; ``flops``, ``params``, ``weight_bytes``,
    ``file_bytes``, ``val_accuracy`` (0 to 1) and ``latency_ms``, then the same of the parent, as ``parent_flops``;
    ``drop`` (of validation accuracy, 0 to 1) and ``speed`` (times as fast). ``Variant`` and ``Figures`` say what each
    means.

    Args:
        study: A study that has been run.
    """
    return frame_of(study.variants())


def frame_of(variants: Iterable[Variant]) -> pd.DataFrame:
    """Return variants as a table, with the columns of ``variants_frame``."""
    import pandas as pd

    facts, figures = attrgetter(*_FACTS), attrgetter(*_FIGURES)
    rows = [(*facts(one), *figures(one.figures), *figures(one.parent_figures), one.drop, one.speed) for one in variants]
    columns = [*_FACTS, *_FIGURES, *(f"parent_{name}" for name in _FIGURES), "drop", "speed"]
    return pd.DataFrame(rows, columns=columns).astype({"trial": "Int64"})
