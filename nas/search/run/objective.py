"""One trial: propose, count, check the budget, train unless known, keep."""

from __future__ import annotations

import time
from dataclasses import replace

import optuna

from nas.errors import StudyError
from nas.records import TrialRecord
from nas.search.bounds import measure_for_budget, measured_alike
from nas.search.proposals import Candidate, propose
from nas.search.run.trainer import Trainer, reason_of
from nas.search.storage.optuna_study import ENDED, ERROR
from nas.search.study import Study


class Objective:
    """Validation accuracy (to maximise) and FLOPs (to minimise) of a proposal."""

    def __init__(self, study: Study, trainer: Trainer) -> None:
        """Keep what every trial of a study shares."""
        self._study = study
        self._config = study.config
        self._store = study.store
        self._trainer = trainer
        self.finished: TrialRecord | None = None
        self.stopped: StudyError | None = None

    def __call__(self, trial: optuna.Trial) -> tuple[float, float]:
        """Run one trial.

        Raises:
            optuna.TrialPruned: The network is outside the budget, so that nothing was built, or its training paused.
            StudyError: What the trial made cannot be written; ``stopped`` is the error.
        """
        self.finished = None
        candidate = propose(trial, self._config.search, self._study.dataset)
        for key, violation in self._config.budget.violations(candidate.cost).items():
            trial.set_constraint(key, violation)
        self._store.begin(candidate.record, candidate.architecture, candidate.cost)
        try:
            record = self._trainer.conclude(
                candidate.record,
                lambda: self._outcome(trial, candidate),
                give_up=lambda: self._store.interrupt(trial.number),
            )
        except StudyError as error:
            self.stopped = error
            raise
        except Exception as error:
            trial.set_user_attr(ERROR, reason_of(error))
            trial.set_user_attr(ENDED, time.time())
            self.finished = self._store.trial(candidate.record.number)
            raise
        self.finished = record
        trial.set_user_attr(ENDED, time.time())
        trained = record if record.repeat_of is None else self._store.trial(record.repeat_of)
        if trained.state != "trained" or trained.accuracy is None:
            raise optuna.TrialPruned(f"{record.state}, with no accuracy of a whole training")
        return trained.accuracy, float(record.flops)

    def _outcome(self, trial: optuna.Trial, candidate: Candidate) -> TrialRecord:
        """Return what becomes of a proposal, measuring and training it where need be."""
        record = candidate.record
        missed = self._config.budget.missed(candidate.cost)
        if missed:
            return replace(record, state="infeasible", error=missed)
        known = self._store.known(record.digest)
        if known is not None:
            return replace(record, state="repeated", accuracy=known.accuracy, repeat_of=known.number)
        too_slow = self._latency_missed(trial, candidate)
        if too_slow:
            return replace(record, state="infeasible", error=too_slow)
        return self._trainer.train(record, candidate.architecture)

    def _latency_missed(self, trial: optuna.Trial, candidate: Candidate) -> str:
        """Say by which latency the budget is missed, or nothing; what this device has measured for it is taken over."""
        limit = self._config.budget.latency_ms
        if limit is None:
            return ""
        digest, threads, device = candidate.record.digest, self._config.recipe.cpu_threads, self._trainer.device
        earlier = self._store.latencies(purpose="budget").get(digest, [])
        alike = (old for old in earlier if measured_alike(old, limit, threads=threads, device=device))
        known = [old for old in alike if not old.noisy]
        latency = known[-1] if known else None
        if latency is None:
            latency = measure_for_budget(limit, candidate.architecture, threads=threads, device=device)
            self._store.add_latency(digest, latency, purpose="budget")
        violations = self._config.budget.latency_violations(latency.median_ms)
        for key, violation in violations.items():
            trial.set_constraint(key, violation)
        return f"latency {latency.median_ms:.3g} ms" if any(v > 0 for v in violations.values()) else ""
