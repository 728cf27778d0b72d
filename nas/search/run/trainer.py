"""Trains the networks of a study: new ones, paused ones that go on, and some once more; keeps what comes of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from nas.architecture.spec import Architecture
from nas.config.study import StudyConfig
from nas.data.sources import Dataset
from nas.errors import StudyError, TrainingDiverged
from nas.fronts.halving import goes_on
from nas.models.device import describe_device
from nas.records import Epoch, Repeat, TrialRecord, TrialState
from nas.search.disk import CHECKPOINTS, repeat_name
from nas.search.run.events import EpochFinished, Event
from nas.search.storage.store import Store
from nas.training.checkpoint import save_weights
from nas.training.loop import train, trial_seed
from nas.training.result import TrainingResult


class Trainer:
    """What every training of a study shares."""

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
        """Keep it."""
        self._config = config
        self._dataset = dataset
        self._store = store
        self._weights = weights
        self._emit = emit
        self.device = device
        halving = config.search.halving
        self._epochs = config.recipe.total_epochs(len(dataset.train))
        self.rungs = () if halving is None else halving.rungs(self._epochs)

    def partial_accuracies(self) -> dict[int, dict[float, float]]:
        """Return the accuracies of the study's trials at rungs and at the end, by the share of the training."""
        shares = [rung / self._epochs for rung in self.rungs]
        found = {t.number: dict(zip(shares, t.accuracies, strict=False)) for t in self._store.reached(self.rungs)}
        for trial in self._store.trials():
            if trial.state == "trained" and trial.accuracy is not None:
                found.setdefault(trial.number, {})[1.0] = trial.accuracy
        return found

    def conclude(
        self, record: TrialRecord, work: Callable[[], TrialRecord], *, give_up: Callable[[], None]
    ) -> TrialRecord:
        """Do a trial's work, write what became of it, and return that.

        Args:
            record: Of the trial.
            work: Returns the outcome.
            give_up: Called where the work was interrupted.

        Raises:
            BaseException: What the work raised.
        """
        try:
            outcome = work()
        except Exception as error:
            if isinstance(error, StudyError):  # the disk is full, say: the next would fail too, and this one may go on
                give_up()
            else:
                state: TrialState = "diverged" if isinstance(error, TrainingDiverged) else "failed"
                self._finish(replace(record, state=state, error=reason_of(error), accuracy=None))
            raise
        except BaseException:
            give_up()
            raise
        self._finish(outcome)
        return outcome

    def train(self, record: TrialRecord, architecture: Architecture) -> TrialRecord:
        """Train a trial's network, from where it paused if it did, to the next rung that it does not pass or the end.

        Raises:
            TrainingDiverged: The loss of an epoch is not finite.
            StudyError: Checkpoint or weights cannot be written.
        """
        seed = trial_seed(self._config.search.seed, record.digest)

        def keep(epoch: Epoch) -> None:
            if self._store.add_epoch(record.number, epoch):
                self._emit(EpochFinished(record, epoch))

        result = self._train(architecture, record.digest, seed, on_epoch=keep, go_on=lambda e: self._goes_on(record, e))
        if not result.paused:
            save_weights(result.model, self._weights / f"{record.digest}.safetensors")
        return replace(
            record,
            state="stopped" if result.paused else "trained",
            seed=seed,
            device=describe_device(self.device),
            accuracy=result.val_accuracy,
            train_seconds=result.train_seconds,
            micro_batch=result.micro_batch,
            data_share=result.data_share,
            epochs=len(result.curve),
        )

    def repeat(self, record: TrialRecord, architecture: Architecture, repeat: Repeat) -> Repeat:
        """Train a trial's network once more, write what became of it, and return that.

        Raises:
            StudyError: The checkpoint cannot be written.
        """
        name = repeat_name(record.digest, repeat.repeat)
        try:
            result = self._train(
                architecture, name, repeat.seed, on_epoch=lambda e: self._emit(EpochFinished(record, e, repeat.repeat))
            )
        except StudyError:
            self._store.release_repeat(repeat.number, repeat.repeat)
            raise
        except Exception as error:
            diverged = isinstance(error, TrainingDiverged)
            done = replace(repeat, state="diverged" if diverged else "failed", error=reason_of(error))
        except BaseException:
            self._store.release_repeat(repeat.number, repeat.repeat)
            raise
        else:
            done = replace(
                repeat,
                state="trained",
                device=describe_device(self.device),
                accuracy=result.val_accuracy,
                train_seconds=result.train_seconds,
                curve=result.curve,
            )
        self._store.finish_repeat(done)
        return done

    def _train(
        self,
        architecture: Architecture,
        name: str,
        seed: int,
        *,
        on_epoch: Callable[[Epoch], None],
        go_on: Callable[[Epoch], bool] | None = None,
    ) -> TrainingResult:
        return train(
            architecture,
            self._dataset,
            self._config.recipe,
            seed=seed,
            device=self.device,
            on_epoch=on_epoch,
            checkpoint=self._weights / CHECKPOINTS / f"{name}.safetensors",
            go_on=go_on,
        )

    def _goes_on(self, record: TrialRecord, epoch: Epoch) -> bool:
        """Tell whether a trial goes on after an epoch; one that paused has been let pass all rungs until then."""
        halving = self._config.search.halving
        if halving is None or epoch.epoch not in self.rungs or epoch.epoch <= (record.epochs or 0):
            return True
        return goes_on(self._store.reached(self.rungs), record.number, factor=halving.factor)

    def _finish(self, record: TrialRecord) -> None:
        outcome = (
            *("seed", "device", "accuracy", "train_seconds", "repeat_of", "error", "micro_batch"),
            *("data_share", "epochs"),
        )
        self._store.finish(record.number, record.state, **{key: getattr(record, key) for key in outcome})


def reason_of(error: Exception) -> str:
    """Return an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:1000]
