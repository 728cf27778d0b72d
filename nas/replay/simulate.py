"""Searches replayed on a table: real samplers and the real halving, workers and time simulated."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from nas.config.search import Halving
from nas.fronts.halving import Reached, goes_on, promotable
from nas.replay.problem import Entry, Problem, Yardstick
from nas.sampling.points import Parameters
from nas.search.storage.optuna_study import complete_copy


class Moment(NamedTuple):
    """How far a replayed search was.

    Attributes:
        proposals: Made so far.
        trainings: Networks trained to the end so far.
        compute: Sum over all epochs so far of the cost of the network, in units of the table's costs.
        seconds: Simulated time.
        share: Of the whole front's hypervolume, by the networks trained to the end.
    """

    proposals: int
    trainings: int
    compute: float
    seconds: float
    share: float


@dataclass
class _Running:
    """A proposal of the simulation."""

    number: int
    entry: Entry
    trial: optuna.Trial
    epochs: int = 0
    paused: bool = False
    told: bool = False


@dataclass
class Simulation:
    """One search: ``run`` gives its course.

    Attributes:
        problem: What is searched.
        make_sampler: Called with a function that tells the accuracies of trials on their way (see ``ParetoSampler``).
        proposals: To make.
        halving: Early stopping.
        workers: That train side by side.
        completes_infeasible: Whether the sampler learns only from complete trials, so that it is told of a proposal
            outside the budget as a complete one of accuracy 0 that violates a constraint; else as a pruned one.
    """

    problem: Problem
    make_sampler: Callable[[Callable[[], dict[int, dict[float, float]]]], BaseSampler]
    proposals: int
    halving: Halving | None = None
    workers: int = 1
    completes_infeasible: bool = False

    def __post_init__(self) -> None:
        """Begin with nothing."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = self.make_sampler(self._on_the_way)
        self._study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        self._epochs = self.problem.epochs
        self._rungs = self.halving.rungs(self._epochs) if self.halving else ()
        self._trials: dict[int, _Running] = {}
        self._known: dict[Hashable, int] = {}
        self._done: list[Entry] = []
        self._moments: list[Moment] = []
        self._proposed, self._compute, self._now, self._share = 0, 0.0, 0.0, 0.0

    def run(self) -> list[Moment]:
        """Return the course of the search: a moment for each proposal without training and each end or pause of one."""
        yardstick = Yardstick(self.problem)
        busy: list[tuple[float, int, _Running]] = []  # when it pauses or ends, and the order of beginning
        begun, idle = 0, self.workers
        while True:
            while idle and (work := self._next()) is not None:
                idle, begun = idle - 1, begun + 1
                heapq.heappush(busy, (self._now + self._seconds(work), begun, work))
            if not busy:
                return self._moments
            self._now, _, ended = heapq.heappop(busy)
            idle += 1
            if self._advance(ended):
                self._share = yardstick.share(self._done)
            self._note()

    def _note(self) -> None:
        self._moments.append(Moment(self._proposed, len(self._done), self._compute, self._now, self._share))

    def _next(self) -> _Running | None:
        """Return what a worker trains next: a paused network that should go on, else a new one."""
        number = promotable(self._reached(), factor=self.halving.factor) if self.halving else None
        if number is not None:
            self._trials[number].paused = False
            return self._trials[number]
        while self._proposed < self.proposals:
            proposed = self._propose()
            if proposed is not None:
                return proposed
            self._note()
        return None

    def _propose(self) -> _Running | None:
        """Make a proposal; None where it needs no training."""
        trial = self._study.ask(dict(self.problem.space))
        self._proposed += 1
        identity = self.problem.identity(trial.params)
        if not self.problem.allowed(trial.params):
            trial.set_constraint("budget", 1.0)
            self._tell_infeasible(trial)
            return None
        trial.set_constraint("budget", -1.0)
        if identity in self._known:
            self._tell_again(trial, self._trials[self._known[identity]])
            return None
        running = _Running(trial.number, self.problem.entries[identity], trial)
        self._known[identity] = trial.number
        self._trials[trial.number] = running
        return running

    def _tell_infeasible(self, trial: optuna.Trial) -> None:
        if self.completes_infeasible:
            self._study.tell(trial, [0.0, max(entry.cost for entry in self.problem.entries.values())])
        else:
            self._study.tell(trial, state=TrialState.PRUNED)

    def _tell_again(self, trial: optuna.Trial, known: _Running) -> None:
        if known.epochs == self._epochs:
            self._study.tell(trial, [known.entry.accuracies[-1], known.entry.cost])
        else:
            self._study.tell(trial, state=TrialState.PRUNED)

    def _seconds(self, running: _Running) -> float:
        return running.entry.seconds * (self._pause_after(running) - running.epochs)

    def _pause_after(self, running: _Running) -> int:
        """Return the epoch of the next rung, or the last."""
        return next((rung for rung in self._rungs if rung > running.epochs), len(running.entry.accuracies))

    def _advance(self, running: _Running) -> bool:
        """Train to the next rung or the end; tell whether it was the end. At a rung it waits, if only for a moment."""
        until = self._pause_after(running)
        self._compute += running.entry.cost * (until - running.epochs)
        running.epochs = until
        if until in self._rungs:
            running.paused = True
            assert self.halving is not None
            stops = not goes_on(self._reached(), running.number, factor=self.halving.factor)
            if stops and not running.told:
                self._study.tell(running.trial, state=TrialState.PRUNED)
                running.told = True
            return False
        self._done.append(running.entry)
        values = [running.entry.accuracies[-1], running.entry.cost]
        if not running.told:
            self._study.tell(running.trial, values)
        else:
            paused = self._study.get_trials(deepcopy=False)[running.number]
            self._study.add_trial(complete_copy(paused, values))
        return True

    def _reached(self) -> list[Reached]:
        return [
            Reached(
                t.number, t.entry.cost, tuple(t.entry.accuracies[r - 1] for r in self._rungs if r <= t.epochs), t.paused
            )
            for t in self._trials.values()
            if t.epochs
        ]

    def _on_the_way(self) -> dict[int, dict[float, float]]:
        if not self._rungs:
            return {}
        marks = (*self._rungs, self._epochs)
        return {
            trial.number: {
                mark / self._epochs: trial.entry.accuracies[mark - 1] for mark in marks if mark <= trial.epochs
            }
            for trial in self._trials.values()
        }


def cost_of(problem: Problem) -> Callable[[Parameters], float]:
    """Return the cost of a point as a sampler is told it; outside the table that of the nearest known."""
    return lambda parameters: problem.entries[problem.identity(parameters)].cost
