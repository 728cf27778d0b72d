"""What a leader proposes: it asks the sampler, counts, and reserves the network unless the budget rules it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from optuna.trial import TrialState

from nas.models.backends import Latency
from nas.records import TrialRecord
from nas.search.bounds import measured_alike
from nas.search.proposals import Candidate, Networks, propose
from nas.search.run.recovery import end_unwritten
from nas.search.run.wanted import Rungs
from nas.search.samplers import make_sampler
from nas.search.storage.optuna_study import note_constraints
from nas.search.storage.reading import stagnation
from nas.search.storage.telling import Suggested
from nas.search.storage.trainings import NotLeading, Trainings
from nas.search.study import Study


class Asked(NamedTuple):
    """What Optuna was asked for, and what it has to keep of it."""

    candidate: Candidate
    suggested: Suggested


class Proposer:
    """Makes the proposals of a study."""

    def __init__(self, study: Study, trainings: Trainings, rungs: Rungs, *, devices: Sequence[torch.device]) -> None:
        """Make the sampler.

        Args:
            study: That is searched.
            trainings: Of the study.
            rungs: Of the study.
            devices: On which networks may be trained.
        """
        self._study, self._store, self._trainings, self._devices = study, study.store, trainings, devices
        self._config, search = study.config, study.config.search
        networks = Networks(study.config, study.dataset)
        self._everything = networks.everything()
        sampler = make_sampler(search, networks, partial=rungs.partial_accuracies if rungs.all else None)
        self.optuna = study.optuna(sampler)
        self._asking = False
        self._asked: Asked | None = None  # and not written
        records = {trial.number: trial for trial in self._store.trials()}
        networks.remember(self.optuna.get_trials(deepcopy=False), records)

    def all_proposed(self) -> int | None:
        """Return how many networks there are within the bounds where all were proposed, and else None."""
        if plan := self._config.search.plan:  # two of them may be one network
            return len(plan) if len(self._store.trials()) >= len(plan) else None
        everything = self._everything
        return len(everything) if everything is not None and everything <= self._store.proposed() else None

    def stagnation(self) -> str | None:
        """Say why the study need not go on, or return None."""
        startup = self._config.search.startup_trials
        return stagnation(self._store, self.optuna, startup_trials=startup)

    def propose(self) -> TrialRecord:
        """Make one proposal, and return it: it waits for its training unless it has ended as it is.

        Where the database did not answer, the next call goes on with the same proposal.

        Raises:
            NotLeading: Another proposes now.
        """
        try:
            asked = self._asked = self._asked or self._ask()
            candidate = asked.candidate
            written = self._trainings.propose(
                self._judged(candidate), candidate.architecture, candidate.cost, asked.suggested
            )
        except NotLeading:
            if self._asked is not None:
                self.optuna.tell(self._asked.candidate.record.number, state=TrialState.FAIL, skip_if_finished=True)
            self._asked = None
            raise
        self._asked = None
        return written

    def _ask(self) -> Asked:
        if self._asking:  # what was asked then is not known
            self._trainings.require_lead()
            end_unwritten(self.optuna, self._store)
        self._asking = True
        asked = self._ask_optuna()
        self._asking = False
        return asked

    def _ask_optuna(self) -> Asked:
        trial = self.optuna.ask()
        suggested = Suggested(trial)
        candidate = propose(trial, self._config.search, self._study.dataset)
        for key, violation in self._config.budget.violations(candidate.cost).items():
            trial.set_constraint(key, violation)
        return Asked(candidate, suggested)

    def _judged(self, candidate: Candidate) -> TrialRecord:
        """Return a proposal's record: infeasible where it is known to miss the budget."""
        record, missed = candidate.record, self._config.budget.missed(candidate.cost)
        if not missed and self._store.reserved(record.digest) is None:
            missed = self.latency_missed(record, self._known_latency(record.digest))
        return replace(record, state="infeasible", error=missed) if missed else record

    def latency_missed(self, record: TrialRecord, latency: Latency | None) -> str:
        """Say by which latency a trial misses the budget, and let the sampler know; empty if it does not."""
        if latency is None:
            return ""
        violations = self._config.budget.latency_violations(latency.median_ms)
        note_constraints(self.optuna, record.number, violations)
        return f"latency {latency.median_ms:.3g} ms" if any(value > 0 for value in violations.values()) else ""

    def _known_latency(self, digest: str) -> Latency | None:
        """Return what a device of these has measured of a network for the budget."""
        limit, threads = self._config.budget.latency_ms, self._config.recipe.cpu_threads
        if limit is None:
            return None
        return next(
            (
                old
                for old in self._store.latencies(purpose="budget").get(digest, [])
                for device in self._devices
                if not old.noisy and measured_alike(old, limit, threads=threads, device=device)
            ),
            None,
        )

    def needs_timing(self, digest: str) -> bool:
        """Tell whether a network's inference time is to be measured before it is trained."""
        return self._config.budget.latency_ms is not None and self._known_latency(digest) is None
