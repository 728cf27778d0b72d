"""Figures of how a network should grow."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent.parent / "scaling"))  # pytest adds it only when it collects tests there

from worlds import BASELINE, CHEAPEST, LEVELS, World, star

from nas import plots
from nas.architecture.space import COEFFICIENTS
from nas.plots.growth.shape import shape_info
from nas.plots.growth.simplex import simplex_info
from nas.scaling.evidence import Evidence
from nas.scaling.shape import BestShape, best_shape
from nas.scaling.simplex import Simplex, simplex
from nas.scaling.surface import fit_surface
from nas.scaling.trust import trust


class Grows(NamedTuple):
    width: float
    depth: float
    resolution: float


RULES = {"EfficientNet": Grows(1.1, 1.2, 1.15), "width": Grows(2**0.5, 1, 1)}


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return World().train(star())


@pytest.fixture(scope="module")
def shape(evidence: Evidence) -> BestShape:
    return best_shape(fit_surface(evidence), levels=[CHEAPEST * level for level in LEVELS])


@pytest.fixture(scope="module")
def answer() -> Simplex:
    return simplex(fit_surface(World(exponents=(0.2, 0.3, 0.15), bowl=0.5).train(star())), BASELINE)


def test_a_curve_is_best_where_the_best_value_is(shape: BestShape, evidence: Evidence) -> None:
    curves = shape_info(shape, evidence)
    assert [(curve.dimension, curve.cost) for curve in curves] == [(n, c) for n in COEFFICIENTS for c in shape.levels]
    for curve in curves:
        values, errors = curve.profile
        step = values[1] - values[0]
        assert values[errors.mean.argmin()] == pytest.approx(curve.best.value, abs=1.5 * step)
        assert len(curve.networks) == 13 and curve.determined
        assert all(network.flops == pytest.approx(curve.cost) for network in curve.networks)
        tried = [getattr(network, curve.dimension) for network in curve.networks]
        assert (values.min(), values.max()) == pytest.approx((min(tried), max(tried)))


def test_networks_of_other_costs_belong_to_no_curve(evidence: Evidence) -> None:
    apart = best_shape(fit_surface(evidence), levels=[CHEAPEST, 4 * CHEAPEST])
    assert sum(len(curve.networks) for curve in shape_info(apart, evidence)) == 3 * 26


def test_the_shape_is_drawn(shape: BestShape, evidence: Evidence) -> None:
    figure = plots.shape(shape, evidence)
    assert [trace.name for trace in figure.data if trace.mode == "lines" and trace.name] == [
        name for _ in COEFFICIENTS for name in ("2M FLOPs", "4M FLOPs", "8M FLOPs")
    ]
    titles = [figure.layout[axis].title.text for axis in ("xaxis", "xaxis2", "xaxis3")]
    assert titles == ["Width", "Depth", "Resolution (px)"]
    vague = World(exponents=(0.25, -3.0, 0.15)).train(star())
    unsure = best_shape(fit_surface(vague), levels=shape.levels)
    assert "cannot tell" in plots.shape(unsure, vague).layout.xaxis2.title.text


def test_the_triangle_is_drawn(answer: Simplex) -> None:
    info = simplex_info(answer, RULES)
    assert max(info.accuracies) == pytest.approx(100 * (1 - answer.errors.min()))
    assert list(info.rules) == list(RULES)
    names = [trace.name for trace in plots.simplex(answer, RULES).data]
    assert names[:3] == ["expected accuracy", "the best is here (90 %)", "best"]
    assert names[4].startswith("width (loses ") and names[4].endswith(" points)")
    star_trace = plots.simplex(answer, {}).data[2]
    assert star_trace.a[0] + star_trace.b[0] + star_trace.c[0] == pytest.approx(1)


def test_trust_is_drawn(evidence: Evidence) -> None:
    names = [trace.name for trace in plots.trust(trust(evidence, evidence)).data]
    assert names == ["the order holds"]
    turned = evidence.only(replace(n, accuracies={0: 1 - n.accuracy}) for n in evidence.networks)
    figure = plots.trust(trust(turned, evidence))
    assert [trace.name for trace in figure.data] == ["not known to hold"]
    assert figure.layout.yaxis.range[0] < -1
    assert plots.trust(trust(turned.only([]), evidence)).data == ()
    assert np.isfinite(figure.layout.xaxis.range).all()
