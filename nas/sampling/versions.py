"""What the versions of the sampler do otherwise: a study goes on with the one that it was begun with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.search_space import intersection_search_space
from optuna.trial import FrozenTrial

from nas.fronts.geometry import Array
from nas.sampling.conditions import Conditions, asked_for
from nas.sampling.history import History, cost_axis
from nas.sampling.points import values_at
from nas.sampling.scores import as_errors

Space = dict[str, BaseDistribution]


class Version:
    """The second."""

    drawn = 1000
    """Random candidates of a proposal."""
    members = 15
    """Of the front, beside which candidates are tried."""
    climbers = 4
    """Of the candidates, the most promising, beside which others are tried."""
    fitted_most = 150
    """Values that a kernel is fitted to at most."""
    learned_from = 500
    """Values that predictions come from at most."""
    first_alone = True
    """Whether a kernel is fitted to the first values as if there were no others, so that it seldom changes."""
    learns_failures = True
    """Whether failed trials and missed bounds tell something, and few feasible candidates are climbed to."""
    knows_law = False
    """Whether errors are lines over the logarithms of parameters and cost, beside what the kernel learns."""
    stratum = 1.0
    """Of the range of the costs: what each of the first proposals takes at most, from the cheapest on, with thrift."""

    def space(self, ended: Sequence[FrozenTrial]) -> Space:
        """Return the space of a study that tells none."""
        return asked_for(ended)

    def conditions(self, trials: Sequence[FrozenTrial], space: Space) -> Conditions:
        """Return which parameters a candidate has."""
        return Conditions(trials, space)

    def completed(self, history: History, space: Space) -> History:
        """Return a history with what trials lack."""
        return history

    def compares(self, trial: FrozenTrial, space: Space) -> bool:
        """Tell whether a complete trial's cost should be what its parameters tell."""
        return bool(trial.params)

    def strata(self, costs: Array) -> Array:
        """Return costs, (candidates,), as the first proposals are spread over them."""
        return cost_axis(costs)(costs)

    def errors(self, history: History) -> Array:
        """Return what was seen as errors, (values,)."""
        return as_errors(history.losses)

    def ranked(self, history: History) -> Array:
        """Return errors that only their ratios above a front are asked of, to choose what tells most."""
        above = history.losses - history.losses.min()
        ratios: Array = above / (float(np.quantile(above, 0.5)) or 1.0) + 0.1
        return ratios


class FirstVersion(Version):
    """Reads accuracies above 1 otherwise than shares; learns neither conditions nor failures nor measured bounds."""

    drawn, members, climbers, fitted_most, learned_from = 2000, 10_000, 5, 250, 1000
    first_alone = learns_failures = False

    def space(self, ended: Sequence[FrozenTrial]) -> Space:
        """Return what all trials had."""
        return intersection_search_space(list(ended), include_pruned=True)

    def conditions(self, trials: Sequence[FrozenTrial], space: Space) -> Conditions:
        """Return none."""
        return Conditions((), space)

    def completed(self, history: History, space: Space) -> History:
        """Return a history with first values for what trials lack."""
        return history.completed({name: values_at(distribution, [0.0])[0] for name, distribution in space.items()})

    def compares(self, trial: FrozenTrial, space: Space) -> bool:
        """Take a trial with fewer parameters for another study's."""
        return bool(trial.params) and space.keys() <= trial.params.keys()

    def strata(self, costs: Array) -> Array:
        """Return logarithms."""
        return np.log(np.maximum(costs, 1e-300))

    def errors(self, history: History) -> Array:
        """Return what a share lacks of 1."""
        return history.errors

    def ranked(self, history: History) -> Array:
        """Return what a share lacks of 1."""
        return history.errors


class ThirdVersion(Version):
    """Has the scaling law as its mean, which tells of dear candidates before any was tried."""

    knows_law, stratum = True, 1 / 6


VERSIONS: dict[int, Version] = {1: FirstVersion(), 2: Version(), 3: ThirdVersion()}
