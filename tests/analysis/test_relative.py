"""Networks beside others of their family and FLOPs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "plots"))

from made import made_study, only

from nas.analysis.relative import relative_networks
from nas.architecture.space import COEFFICIENTS


def test_shapes_and_accuracies_have_no_trend_over_the_cost_left() -> None:
    networks = relative_networks(made_study(400).judgement())
    for family in ("resnet_small", "efficientnet_small"):
        own = [network for network in networks if network.trial.space == family]
        costs = np.log2([network.trial.flops for network in own])
        for name in COEFFICIENTS:
            values = np.array([network.shape[name] for network in own])
            assert values.mean() == pytest.approx(0, abs=1e-9) and values.std() > 0.2
            assert np.polyfit(costs, values, 1)[0] == pytest.approx(0, abs=1e-9)
        above = np.array([network.above for network in own])
        assert abs(np.polyfit(costs, above, 1)[0]) < 0.002 and abs(above.mean()) < 0.005
    assert np.median([network.above for network in networks]) == pytest.approx(0, abs=1e-9)


def test_few_networks_are_what_is_usual() -> None:
    assert relative_networks(only("infeasible").judgement()) == []
    (one,) = relative_networks(only("trained", 1).judgement())
    assert one.above == 0 and set(one.shape.values()) == {0}
