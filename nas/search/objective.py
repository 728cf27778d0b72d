"""One trial: propose, count, check the budget, train unless known, keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import optuna

from nas.architecture.cost import Cost, count_cost
from nas.architecture.spec import Architecture
from nas.config.search import SearchConfig
from nas.config.study import StudyConfig
from nas.data.sources import Dataset
from nas.errors import StudyError
from nas.records import TrialRecord
from nas.search.proposals import architecture_of
from nas.search.storage.optuna_study import ERROR
from nas.search.storage.store import Store
from nas.search.timing import measure_for_budget, measured_alike
from nas.search.trainer import Trainer, reason_of


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed network: where it comes from, what it is, what it costs."""

    record: TrialRecord
    architecture: Architecture
    cost: Cost


def propose(trial: optuna.trial.BaseTrial, search: SearchConfig, dataset: Dataset) -> Candidate:
    """Ask Optuna for coefficients and realise the network they name."""
    names = [space.name for space in search.spaces]
    space = str(trial.suggest_categorical("space", names)) if len(names) > 1 else names[0]
    width = trial.suggest_float("width", search.width.min, search.width.max, step=search.width.step)
    depth = trial.suggest_float("depth", search.depth.min, search.depth.max, step=search.depth.step)
    pixels = search.resolution
    resolution = trial.suggest_int("resolution", pixels.min, pixels.max, step=pixels.step)
    choices = {
        key: trial.suggest_categorical(key, values) if len(values) > 1 else values[0]
        for key, values in search.dimensions(space).items()
    }
    return realise(
        search, trial.number, dataset, space=space, width=width, depth=depth, resolution=resolution, choices=choices
    )


def realise(
    search: SearchConfig,
    number: int,
    dataset: Dataset,
    *,
    space: str,
    width: float,
    depth: float,
    resolution: int,
    choices: Mapping[str, Any] | None = None,
) -> Candidate:
    """Return the network of a space at coefficients and choices, with its cost."""
    parameters = {"space": space, "width": width, "depth": depth, "resolution": resolution, **(choices or {})}
    architecture = architecture_of(search, parameters, dataset)
    cost = count_cost(architecture)
    record = TrialRecord(
        number=number,
        space=space,
        width=width,
        depth=depth,
        resolution=resolution,
        digest=architecture.digest,
        flops=cost.flops,
        params=cost.params,
        activations=cost.activations,
        choices=dict(choices or {}),
    )
    return Candidate(record, architecture, cost)


class Objective:
    """Validation accuracy (to maximise) and FLOPs (to minimise) of a proposal."""

    def __init__(self, config: StudyConfig, dataset: Dataset, store: Store, trainer: Trainer) -> None:
        """Keep what every trial of a study shares."""
        self._config = config
        self._dataset = dataset
        self._store = store
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
        candidate = propose(trial, self._config.search, self._dataset)
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
            self.finished = self._store.trial(candidate.record.number)
            raise
        self.finished = record
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
        known = [old for old in earlier if measured_alike(old, limit, threads=threads, device=device)]
        latency = known[-1] if known else None
        if latency is None:
            latency = measure_for_budget(limit, candidate.architecture, threads=threads, device=device)
            self._store.add_latency(digest, latency, purpose="budget")
        violations = self._config.budget.latency_violations(latency.median_ms)
        for key, violation in violations.items():
            trial.set_constraint(key, violation)
        return f"latency {latency.median_ms:.3g} ms" if any(v > 0 for v in violations.values()) else ""
