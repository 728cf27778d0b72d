"""Trains the networks of a study: new ones, paused ones that go on, and some once more; keeps what comes of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from nas.architecture.spec import Architecture
from nas.errors import StudyError, TrainingDiverged
from nas.fronts.halving import goes_on
from nas.records import ClassNumbers, Epoch, Repeat, TrialRecord, TrialState
from nas.search.disk import CHECKPOINTS, repeat_name
from nas.search.run.events import EpochFinished, Event
from nas.search.study import Study
from nas.training.job import Job, do_job
from nas.training.loop import trial_seed


class Trainer:
    """What every training of a study shares."""

    def __init__(self, study: Study, *, device: torch.device, emit: Callable[[Event], None]) -> None:
        """Keep it."""
        self._study = study
        self._store = study.store
        self._weights = study.weights_folder()
        self._emit = emit
        self._answers: dict[int, ClassNumbers] = {}  # of trials that are trained and not yet written
        self.device = device
        self._halving = study.config.search.halving
        self._epochs = study.config.recipe.total_epochs(len(study.dataset.train))
        self.rungs = () if self._halving is None else self._halving.rungs(self._epochs)

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
        seed = trial_seed(self._study.config.search.seed, record.digest)
        job = self._job(architecture, record.digest, seed, weights=self._weights / f"{record.digest}.safetensors")

        def keep(epoch: Epoch) -> None:
            if self._store.add_epoch(record.number, epoch):
                self._emit(EpochFinished(record, epoch))

        trained = do_job(
            job,
            self._study.dataset,
            device=self.device,
            on_epoch=keep,
            go_on=lambda epoch: self._goes_on(record, epoch),
        )
        if not trained.paused:
            self._answers[record.number] = trained.answers
        return replace(
            record,
            state="stopped" if trained.paused else "trained",
            seed=seed,
            device=trained.device,
            accuracy=trained.accuracy,
            train_seconds=trained.train_seconds,
            micro_batch=trained.micro_batch,
            data_share=trained.data_share,
            epochs=len(trained.curve),
        )

    def repeat(self, record: TrialRecord, architecture: Architecture, repeat: Repeat) -> Repeat:
        """Train a trial's network once more, write what became of it, and return that.

        Raises:
            StudyError: The checkpoint cannot be written.
        """
        job = self._job(architecture, repeat_name(record.digest, repeat.repeat), repeat.seed)
        answers = None
        try:
            trained = do_job(
                job,
                self._study.dataset,
                device=self.device,
                on_epoch=lambda epoch: self._emit(EpochFinished(record, epoch, repeat.repeat)),
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
                device=trained.device,
                accuracy=trained.accuracy,
                train_seconds=trained.train_seconds,
                curve=trained.curve,
            )
            answers = trained.answers
        self._store.finish_repeat(done, answers=answers)
        return done

    def _job(self, architecture: Architecture, name: str, seed: int, *, weights: Path | None = None) -> Job:
        checkpoint = self._weights / CHECKPOINTS / f"{name}.safetensors"
        return Job(architecture, self._study.config.recipe, seed, checkpoint=checkpoint, weights=weights)

    def _goes_on(self, record: TrialRecord, epoch: Epoch) -> bool:
        """Tell whether a trial goes on after an epoch; one that paused has been let pass all rungs until then."""
        if self._halving is None or epoch.epoch not in self.rungs or epoch.epoch <= (record.epochs or 0):
            return True
        return goes_on(self._store.reached(self.rungs), record.number, factor=self._halving.factor)

    def _finish(self, record: TrialRecord) -> None:
        outcome = (
            *("seed", "device", "accuracy", "train_seconds", "repeat_of", "error", "micro_batch"),
            *("data_share", "epochs"),
        )
        values = {key: getattr(record, key) for key in outcome}
        self._store.finish(record.number, record.state, answers=self._answers.pop(record.number, None), **values)


def reason_of(error: Exception) -> str:
    """Return an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:1000]
