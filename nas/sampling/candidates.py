"""What may be proposed: feasible points with their costs, none of them twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

import numpy as np
from optuna.distributions import BaseDistribution

from nas.sampling.conditions import Conditions
from nas.sampling.feasible import climb
from nas.sampling.points import Parameters, values_at


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point that may be proposed, and its cost."""

    parameters: Parameters
    cost: float


def everywhere(parameters: Parameters) -> bool:
    """Take all candidates for feasible."""
    return True


def by_parameters(parameters: Parameters) -> Hashable:
    """Take candidates of equal parameters, and no others, for equal."""
    return tuple(sorted(parameters.items()))


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user knows of candidates.

    Attributes:
        cost: Of a candidate.
        feasible: Tells which may be proposed.
        excess: Tells how far from feasible one is, 0 where it is; None where nobody can tell.
        identity: Of those with equal identity at most one is proposed.
    """

    cost: Callable[[Parameters], float]
    feasible: Callable[[Parameters], bool]
    excess: Callable[[Parameters], float] | None
    identity: Callable[[Parameters], Hashable]

    def cost_of(self, parameters: Parameters) -> float:
        """Return the cost of a candidate.

        Raises:
            ValueError: It is not finite.
        """
        cost = float(self.cost(parameters))
        if not math.isfinite(cost):
            raise ValueError(f"the cost of {parameters} must be a finite number, but is {cost}")
        return cost

    def tells_cost(self, parameters: Parameters) -> bool:
        """Tell whether the cost of parameters is known: those of a trial that failed early may not be all."""
        try:
            self.cost_of(parameters)
        except KeyError:
            return False
        return True


@dataclass
class Search:
    """What one proposal is looked for in.

    Attributes:
        rules: What the user knows of candidates.
        space: All parameters that a candidate may have.
        conditions: Which of them it has.
        random: Draws.
        seen: Identities that are not proposed any more.
        left: Candidates that were there to choose from.
        unknown: Choices that no trial made and whose cost cannot be told before one does.
    """

    rules: Rules
    space: dict[str, BaseDistribution]
    conditions: Conditions
    random: np.random.Generator
    seen: set[Hashable]
    left: int = 0
    unknown: Parameters = field(default_factory=dict)

    def completed(self, parameters: Parameters) -> Parameters:
        """Return parameters with random values for those that do not apply, which a step may make apply."""
        lacking = [name for name in self.space if name not in parameters]
        drawn = {name: values_at(self.space[name], [self.random.random()])[0] for name in lacking}
        return {name: parameters.get(name, drawn.get(name)) for name in self.space}

    def candidates(self, drawn: Iterable[Parameters]) -> list[Candidate]:
        """Return what is feasible, each once and none that was seen; from now on it was."""
        pool = []
        for flat in drawn:
            parameters = self.conditions.own(flat)
            if not self.rules.feasible(parameters):
                continue
            identity = self.rules.identity(parameters)
            if identity not in self.seen:
                self.seen.add(identity)
                try:
                    pool.append(Candidate(parameters, self.rules.cost_of(parameters)))
                except KeyError as error:
                    # a choice that no trial made may bring parameters that no trial had
                    unmade = self.conditions.unmade(parameters)
                    if not (unmade or error.args[0] in self.space):
                        raise
                    self.unknown = unmade or self.unknown
        return pool

    def climb(self, random: np.random.Generator) -> list[Parameters]:
        """Return feasible points, seen or not, found from random ones by steps that come ever nearer."""
        excess, own = self.rules.excess, self.conditions.own
        if excess is None:
            return []
        return climb(self.space, lambda p: excess(own(p)), lambda p: self.rules.identity(own(p)), random)
