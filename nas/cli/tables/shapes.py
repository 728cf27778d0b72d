"""Answers of the lab as tables: best shapes by cost, rules compared, trust by band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from nas.cli.tables.fitted import Column, fitted_table
from nas.units import format_count

if TYPE_CHECKING:
    from nas.scaling.evidence import TrainedNetwork
    from nas.scaling.intervals import Interval
    from nas.scaling.shape import BestShape
    from nas.scaling.trust import Trust
    from nas.search.lab.compare import Grown
    from nas.search.lab.data import DataAnswer


def shape_table(best: BestShape, *, width: int) -> Table:
    """Return one row for each cost: the best width, depth and resolution."""
    columns = [Column(best.surface.cost.name), *(Column(f"best {name}", folds=True) for name in best.best)]
    rows = [
        [format_count(level), *(_interval(values[index], name) for name, values in best.best.items())]
        for index, level in enumerate(best.levels)
    ]
    return fitted_table(columns, rows, width=width)


def comparison_table(grown: Sequence[Grown], *, width: int) -> Table:
    """Return one row for each network of each rule."""
    columns = [
        Column("phi"),
        Column("rule", justify="left"),
        Column("width", drop=2),
        Column("depth", drop=2),
        Column("px", drop=2),
        Column("FLOPs"),
        Column("off", drop=1),
        Column("accuracy"),
        Column("n"),
        Column("", justify="left"),
    ]
    return fitted_table(columns, [_grown_row(one) for one in grown], width=width)


def _grown_row(one: Grown) -> list[str]:
    point, trained = one.member.point, one.trained
    spread = "" if one.std is None else f" ± {100 * one.std:.2f}"
    return [
        f"{one.member.phi:g}",
        one.rule,
        f"{point.width:.3g}",
        f"{point.depth:.3g}",
        str(point.resolution),
        format_count(one.member.cost.flops),
        f"{one.member.drift:+.1f} %" + ("" if one.matched else " !"),
        "not trained" if trained is None else f"{100 * one.mean:.2f}{spread} %",
        "" if trained is None else str(len(trained.accuracies)),
        "best" if one.best else "within noise" if one.within_noise else "",
    ]


def trust_table(answers: Sequence[Trust], *, width: int) -> Table:
    """Return one row for each band of cost and number of epochs."""
    columns = [
        Column("trainings of", justify="left"),
        Column("FLOPs"),
        Column("networks"),
        Column("tau", folds=True),
        Column("points lost", folds=True),
    ]
    rows = [
        [
            answer.long,
            f"{format_count(band.flops[0])} to {format_count(band.flops[1])}",
            str(band.networks),
            _interval(band.tau),
            _interval(type(band.regret)(*(100 * value for value in band.regret))),
        ]
        for answer in answers
        for band in (
            *answer.bands,
            *([answer.together] if answer.together is not None and len(answer.bands) > 1 else []),
        )
    ]
    return fitted_table(columns, rows, width=width)


def _interval(value: Interval, name: str = "") -> str:
    digits = 0 if name == "resolution" else 2
    return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def parts_table(found: DataAnswer, *, width: int) -> Table:
    """Return one row for each network: its accuracy by number of training images."""
    counts = list(found.trained)
    networks = found.trained[counts[-1]].networks
    columns = [Column("network", justify="left"), Column("FLOPs"), *(Column(f"{count:,} images") for count in counts)]
    by_count = {count: {n.digest: n for n in evidence.networks} for count, evidence in found.trained.items()}
    rows = [
        [
            f"{network.family} {network.width:.3g} {network.depth:.3g} {network.resolution}",
            format_count(network.flops),
            *(_accuracy(by_count[count].get(network.digest)) for count in counts),
        ]
        for network in networks
    ]
    return fitted_table(columns, rows, width=width)


def _accuracy(network: TrainedNetwork | None) -> str:
    if network is None:
        return "not trained"
    values = list(network.accuracies.values())
    spread = f" ± {100 * float(np.std(values, ddof=1)):.1f}" if len(values) > 1 else ""
    return f"{100 * network.accuracy:.1f}{spread} %"
