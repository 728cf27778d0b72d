"""Which parameters apply to a candidate, learned from the trials of a study that does not ask for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from nas.sampling.points import Parameters


@dataclass(frozen=True, slots=True)
class _Gate:
    """A parameter that decides whether another applies: by some of its choices, or from a number on, or up to it."""

    name: str
    choices: frozenset[Any] = frozenset()
    limit: float = 0.0
    above: bool = True

    def opens(self, parameters: Mapping[str, Any]) -> bool:
        if self.name not in parameters:
            return False
        value = parameters[self.name]
        return value in self.choices if self.choices else (value > self.limit) == self.above


class Conditions:
    """Tells which of a search space's parameters a candidate has.

    A parameter that some complete trials lack is taken to depend on the one parameter that tells those trials apart: on
    its choice or, where it is a number, on its size. Where there is none, it is taken to apply always. One that no
    trial had yet may belong to a choice that no trial made yet, and to nothing else. Trials that failed count too, but
    for what they lack where a number would decide: they may have failed before they asked for it.
    """

    def __init__(self, trials: Iterable[FrozenTrial], space: Mapping[str, BaseDistribution]) -> None:
        """Learn from the trials; of those that still run, only which choices they made."""
        tried = [trial for trial in trials if trial.params]
        ended = [trial.params for trial in tried if trial.state.is_finished()]
        complete = [trial.params for trial in tried if trial.state is TrialState.COMPLETE]
        gates = {name: _gate_of(name, ended, complete, space) for name in space}
        self._gates = {name: gate for name, gate in gates.items() if gate is not None}
        had = {name for params in ended for name in params}
        self._made = {
            name: {trial.params[name] for trial in tried if name in trial.params}
            for name, distribution in space.items()
            if isinstance(distribution, CategoricalDistribution) and name in had
        }
        self._never = {name for name in space if complete and name not in had}

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._gates or self._never)

    def unmade(self, parameters: Parameters) -> Parameters:
        """Return those choices among some parameters that no trial made."""
        return {
            name: parameters[name]
            for name, made in self._made.items()
            if name in parameters and parameters[name] not in made
        }

    def own(self, parameters: Parameters) -> Parameters:
        """Return those of some parameters that apply."""
        own = parameters
        if self._never and not self.unmade(parameters):
            own = {name: value for name, value in parameters.items() if name not in self._never}
        for _ in self._gates:  # what decides may itself depend on another
            kept = {n: v for n, v in own.items() if n not in self._gates or self._gates[n].opens(own)}
            if len(kept) == len(own):
                break
            own = kept
        return own


def _gate_of(
    name: str, ended: Sequence[Parameters], complete: Sequence[Parameters], space: Mapping[str, BaseDistribution]
) -> _Gate | None:
    having = [params for params in ended if name in params]
    if not having or all(name in params for params in ended):
        return None
    # choices decide more often than numbers do
    for other, distribution in sorted(space.items(), key=lambda one: not isinstance(one[1], CategoricalDistribution)):
        if other == name or any(other not in params for params in having):
            continue
        choices = isinstance(distribution, CategoricalDistribution)
        # one that failed early enough lacks what it would have had: its numbers would mislead
        lacking = [params for params in (ended if choices else complete) if name not in params]
        opens = {params[other] for params in having}
        closes = {params[other] for params in lacking if other in params}
        if choices:
            if not opens & closes:
                return _Gate(other, choices=frozenset(opens))
        elif lacking and (not closes or min(opens) > max(closes)):
            return _Gate(other, limit=(min(opens) + max(closes)) / 2 if closes else min(opens) - 1)
        elif lacking and max(opens) < min(closes):
            return _Gate(other, limit=(max(opens) + min(closes)) / 2, above=False)
    return None


def asked_for(trials: Iterable[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Return the parameters that any of some trials had, always over the same values."""
    found = dict[str, list[BaseDistribution]]()
    for trial in trials:
        for name, distribution in trial.distributions.items():
            known = found.setdefault(name, [])
            if distribution not in known:
                known.append(distribution)
    return {name: known[0] for name, known in sorted(found.items()) if len(known) == 1}
