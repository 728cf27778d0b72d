"""One trial: propose, count, check the budget, train unless known, keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import optuna
import torch

from nas.architecture.cost import Cost, count_cost
from nas.architecture.spec import Architecture
from nas.config import SearchConfig, StudyConfig
from nas.data.sources import Dataset
from nas.errors import StudyError, TrainingDiverged
from nas.models.device import describe_device
from nas.search.proposals import architecture_of
from nas.search.sampler import ERROR
from nas.search.store import Store, TrialRecord
from nas.search.timing import measure_for_budget, measured_alike
from nas.training.checkpoint import write_tensors
from nas.training.loop import train, trial_seed
from nas.training.result import Epoch


@dataclass(frozen=True, slots=True)
class ImagesLoaded:
    """The images of a study are there."""

    dataset: Dataset


@dataclass(frozen=True, slots=True)
class EpochFinished:
    """A trial has another point on its curve."""

    trial: TrialRecord
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial has ended, whatever its state."""

    trial: TrialRecord


@dataclass(frozen=True, slots=True)
class NothingLeft:
    """A search has ended early: all networks within the bounds, so many, were proposed."""

    networks: int


CHECKPOINTS = "unfinished"
"""Sub-folder of the weights for interrupted trainings; the trial that takes the place of one goes on from there."""

Event: TypeAlias = ImagesLoaded | EpochFinished | TrialFinished | NothingLeft


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

    def __init__(
        self,
        config: StudyConfig,
        dataset: Dataset,
        store: Store,
        *,
        weights: Path,
        device: torch.device,
        emit: Callable[[Event], None],
    ) -> None:
        """Keep what every trial of a study shares."""
        self._config = config
        self._dataset = dataset
        self._store = store
        self._weights = weights
        self._device = device
        self._emit = emit
        self.finished: TrialRecord | None = None
        self.stopped: StudyError | None = None

    def __call__(self, trial: optuna.Trial) -> tuple[float, float]:
        """Run one trial.

        Raises:
            optuna.TrialPruned: The network is outside the budget; nothing was built.
            StudyError: What the trial made cannot be written; ``stopped`` is the error.
        """
        self.finished = None
        candidate = propose(trial, self._config.search, self._dataset)
        for key, violation in self._config.budget.violations(candidate.cost).items():
            trial.set_constraint(key, violation)
        self._store.begin(candidate.record, candidate.architecture, candidate.cost)
        try:
            record = self._outcome(trial, candidate)
        except StudyError as error:  # the disk is full, say: the next trial would fail too, and this one may go on
            self._finish(replace(candidate.record, state="interrupted"))
            self.stopped = error
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:1000]
            trial.set_user_attr(ERROR, reason)
            diverged = isinstance(error, TrainingDiverged)
            self._finish(replace(candidate.record, state="diverged" if diverged else "failed", error=reason))
            raise
        except BaseException:
            self._finish(replace(candidate.record, state="interrupted"))
            raise
        self._finish(record)
        if record.accuracy is None:
            raise optuna.TrialPruned("outside the budget")
        return record.accuracy, float(record.flops)

    def _outcome(self, trial: optuna.Trial, candidate: Candidate) -> TrialRecord:
        """Return what becomes of a proposal, measuring and training it where need be."""
        record = candidate.record
        missed = self._config.budget.missed(candidate.cost)
        if missed:
            return replace(record, state="infeasible", error=missed)
        known = self._store.trained(record.digest)
        if known is not None:
            return replace(record, state="repeated", accuracy=known.accuracy, repeat_of=known.number)
        too_slow = self._latency_missed(trial, candidate)
        if too_slow:
            return replace(record, state="infeasible", error=too_slow)
        return self._train(candidate)

    def _latency_missed(self, trial: optuna.Trial, candidate: Candidate) -> str:
        """Say by which latency the budget is missed, or nothing; what this device has measured for it is taken over."""
        limit = self._config.budget.latency_ms
        if limit is None:
            return ""
        digest, threads, device = candidate.record.digest, self._config.recipe.cpu_threads, self._device
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

    def _train(self, candidate: Candidate) -> TrialRecord:
        record = candidate.record
        seed = trial_seed(self._config.search.seed, record.digest)

        def keep(epoch: Epoch) -> None:
            self._store.add_epoch(record.number, epoch)
            self._emit(EpochFinished(record, epoch))

        result = train(
            candidate.architecture,
            self._dataset,
            self._config.recipe,
            seed=seed,
            device=self._device,
            on_epoch=keep,
            checkpoint=self._weights / CHECKPOINTS / f"{record.digest}.safetensors",
        )
        save_weights(result.model, self._weights / f"{record.digest}.safetensors")
        return replace(
            record,
            state="trained",
            seed=seed,
            device=describe_device(self._device),
            accuracy=result.val_accuracy,
            train_seconds=result.train_seconds,
            micro_batch=result.micro_batch,
            data_share=result.data_share,
        )

    def _finish(self, record: TrialRecord) -> None:
        outcome = ("seed", "device", "accuracy", "train_seconds", "repeat_of", "error", "micro_batch", "data_share")
        self._store.finish(record.number, record.state, **{key: getattr(record, key) for key in outcome})
        self.finished = record


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Write a module's parameters and buffers as safetensors: whole, or not at all.

    Raises:
        StudyError: The file cannot be written, for example because the disk is full.
    """
    write_tensors(path, model.state_dict(), what="the weights")
