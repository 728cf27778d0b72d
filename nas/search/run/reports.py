"""What hands tell of trainings, written into the study: the one place where a training's state changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from nas.architecture.serialization import architecture_to_json
from nas.errors import NasError, StudyError
from nas.executors.task import ENDS, Died, Ended, EpochDone, Failed, Measured, Stopped, Task, Timing, Told, asks
from nas.records import Repeat, TrialRecord
from nas.search.disk import repeat_name
from nas.search.run.clock import HandClock
from nas.search.run.events import EpochFinished, Event, RepeatFinished, TrainingBegan, TrainingLeft, TrialFinished
from nas.search.run.outcome import killed, state_of, trained_repeat, trained_trial
from nas.search.run.proposing import Proposer
from nas.search.run.shelf import Shelf
from nas.search.run.wanted import Rungs
from nas.search.storage.claims import Claim, Outdated
from nas.search.storage.optuna_study import add_copies
from nas.search.storage.outage import Patience, outages_suppressed
from nas.search.storage.trainings import Trainings
from nas.search.study import Study
from nas.training.loop import trial_seed

FAILURES_IN_A_ROW = 3
"""A search stops after so many: the next would fail too."""
_TRIES = 2
"""Of a training whose process dies."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training that a hand makes.

    Attributes:
        claim: By which it is this process's.
        trial: Whose network it is.
        seed: Of the training.
        repeat: The further training that it is; None for the trial's own.
    """

    claim: Claim
    trial: TrialRecord
    seed: int
    repeat: Repeat | None


class Reports:
    """Makes tasks of claims, and writes what comes of them."""

    def __init__(
        self,
        study: Study,
        trainings: Trainings,
        proposer: Proposer,
        rungs: Rungs,
        *,
        leads: Callable[[], bool],
        emit: Callable[[Event], None],
        patience: Patience,
        clock: HandClock,
        shelf: Shelf,
    ) -> None:
        """Keep what it works with.

        Args:
            study: Whose trainings they are.
            trainings: Of the study.
            proposer: Knows Optuna's study.
            rungs: Where trainings pause.
            leads: Tells whether this process leads the study: only the leader tells Optuna.
            emit: Called with each event.
            patience: Waits for the database.
            clock: Of the hands.
            shelf: Where the files of trainings lie.
        """
        self._study, self._store, self._trainings = study, study.store, trainings
        self._proposer, self._rungs = proposer, rungs
        self._leads, self._emit, self._patience, self._clock = leads, emit, patience, clock
        self._shelf = shelf
        self._made = dict[str, Training]()
        self._heard = deque[Told]()  # and not written
        self._failures = deque[str](maxlen=FAILURES_IN_A_ROW)  # why the last failed; empty for one that did not
        self._came_to_something = self._away = False
        self.fault: NasError | None = None
        """Why no further training can be made."""

    @property
    def held(self) -> frozenset[str]:
        """Keys of the claims whose trainings a hand makes."""
        return frozenset(self._made)

    def begin(self, claim: Claim) -> Task:
        """Return the task of a training that was taken."""
        trial = self._store.trial(claim.number)
        seed = trial_seed(self._study.config.search.seed, claim.digest, claim.repeat)
        repeat = Repeat(claim.number, claim.repeat, seed=seed) if claim.repeat else None
        self._made[claim.key] = Training(claim, trial, seed, repeat)
        self._clock.begin(claim.key)
        limit = self._study.config.budget.latency_ms
        timed = limit is not None and not claim.repeat and self._proposer.needs_timing(claim.digest)
        self._shelf.clean(_name(claim), claim.digest)
        weights = None if claim.repeat else self._shelf.weights(claim.digest)
        task = Task(
            claim.key,
            architecture_to_json(self._store.architecture(claim.digest)),
            self._study.config.recipe.model_dump(mode="json"),
            seed,
            self._shelf.checkpoint(_name(claim)),
            weights,
            rungs=() if claim.repeat else self._rungs.left(trial),
            timing=Timing(limit.backend, limit.batch) if timed and limit is not None else None,
            alone=claim.deaths > 0,
        )
        self._emit(TrainingBegan(trial, claim.repeat))  # at last, for what reads the database may be tried again
        return task

    def hear(self, told: Told, *, later: bool) -> bool:
        """Write what a hand tells, and return the answer where it asks.

        Args:
            told: By the hand.
            later: Keep what needs no answer for ``write_one``, so that hands that are free need not wait for it.

        Raises:
            Exception: Whatever the listener of the events raises.
        """
        if isinstance(told, ENDS):
            self._clock.end(told.key)
        self._heard.append(told)
        if later and not asks(told):
            return False
        while len(self._heard) > 1:
            self.write_one()
        return self.write_one()

    @property
    def behind(self) -> bool:
        """Whether something was kept that is to be written."""
        return bool(self._heard)

    def write_one(self) -> bool:
        """Write what was told first of what was kept, and return the answer to it."""
        return self._write(self._heard.popleft())

    def _write(self, told: Told) -> bool:
        training = self._made.get(told.key)
        if training is None:  # it was concluded, or given to another
            return False
        try:
            if isinstance(told, EpochDone):
                return self._epoch(training, told)
            if isinstance(told, Measured):
                return self._measured(training, told)
            self._forget(training)
            self._ended(training, told)
        except Outdated:
            self._forget(training)
            self._emit(TrainingLeft(training.trial, training.claim.repeat))
        return False

    def _forget(self, training: Training) -> None:
        self._made.pop(training.claim.key, None)
        self._clock.end(training.claim.key)  # unless it is known

    def _epoch(self, training: Training, told: EpochDone) -> bool:
        claim, trial, epoch = training.claim, training.trial, told.epoch
        if training.repeat is not None or self._patience(lambda: self._trainings.add_epoch(claim, epoch)):
            self._emit(EpochFinished(trial, epoch, claim.repeat))
        return not told.asks or self._patience(lambda: self._rungs.goes_on(trial, epoch))

    def _measured(self, training: Training, told: Measured) -> bool:
        digest, latency = training.claim.digest, told.latency
        self._patience(lambda: self._store.add_latency(digest, latency, purpose="budget"))
        missed = self._patience(lambda: self._proposer.latency_missed(training.trial, latency))
        if not missed:
            return True
        self._forget(training)
        self._conclude(training, replace(training.trial, state="infeasible", error=missed))
        return False

    def _ended(self, training: Training, told: Ended | Failed | Died | Stopped) -> None:
        claim, trial, repeat = training.claim, training.trial, training.repeat
        if isinstance(told, Stopped):
            self._leave(training, claim)
        elif isinstance(told, Died) and claim.deaths + 1 < _TRIES:
            self._leave(training, replace(claim, deaths=claim.deaths + 1))
        elif isinstance(told, Failed) and told.fault == "surroundings":
            self._leave(training, claim)
            self.fault = self.fault or StudyError(f"trial {trial.number} cannot be trained: {told.reason}")
        elif isinstance(told, Ended):
            self._note_failure("")
            if repeat is None:
                self._conclude(training, trained_trial(trial, training.seed, told), told)
            else:
                self._conclude_repeat(training, trained_repeat(repeat, told), told)
        else:
            self._failed(training, told)

    def _leave(self, training: Training, claim: Claim) -> None:
        """Give a training back, as the claim says."""
        self._patience(lambda: self._trainings.leave(claim))
        self._emit(TrainingLeft(training.trial, claim.repeat))

    def _failed(self, training: Training, told: Failed | Died) -> None:
        died = isinstance(told, Died)
        reason = killed(told.how, training.claim.deaths + 1) if isinstance(told, Died) else told.reason
        state = "failed" if isinstance(told, Died) else state_of(told)
        ended = replace(training, claim=replace(training.claim, deaths=training.claim.deaths + died))
        self._patience(lambda: self._trainings.require(training.claim))  # the files may be another's by now
        self._shelf.clean(_name(ended.claim), ended.claim.digest)
        if training.repeat is None:
            self._shelf.drop_weights(ended.claim.digest)  # the last thing that it did
            self._conclude(ended, replace(training.trial, state=state, error=reason, accuracy=None))
        else:
            self._conclude_repeat(ended, replace(training.repeat, state=state, error=reason))
        self._note_failure(reason)

    def _conclude(self, training: Training, record: TrialRecord, ended: Ended | None = None) -> None:
        answers = ended.answers if ended is not None and not ended.paused else None
        if answers is not None:
            self._shelf.take_in(training.claim.digest)
        end = partial(self._trainings.end_trial, training.claim, record, answers=answers)
        self._patience(lambda: end(told=self._leads()))
        if record.state != "stopped":
            self._shelf.discard(_name(training.claim))
        if self._leads() and training.trial.epochs is not None:  # it had paused
            self._patience(lambda: add_copies(self._proposer.optuna, [record]))
        self._emit(TrialFinished(record, went_on=training.claim.source == "promoted"))

    def _conclude_repeat(self, training: Training, repeat: Repeat, ended: Ended | None = None) -> None:
        answers = None if ended is None else ended.answers
        self._patience(lambda: self._trainings.end_repeat(training.claim, repeat, answers=answers))
        self._shelf.discard(_name(training.claim))
        self._emit(RepeatFinished(training.trial, repeat))

    def _note_failure(self, reason: str) -> None:
        """Note how a training ended: a reason where it failed."""
        self._came_to_something |= not reason
        self._failures.append(reason)
        if len(self._failures) == FAILURES_IN_A_ROW and all(self._failures):
            self.fault = NasError(f"{FAILURES_IN_A_ROW} trainings in a row failed, the last with: {reason}")

    def fall_silent(self) -> None:
        """Write what was kept; nobody listens to events any more, and nothing is waited for."""
        self._emit = lambda event: None
        self._patience = Patience(0.0, note=lambda line: None)
        while self._heard:
            self.last_words(self._heard.popleft())

    def last_words(self, told: Told) -> bool:
        """Write what a hand tells that was told to stop."""
        self._write_or_leave(lambda: self._write(told))
        return False

    def give_back(self) -> None:
        """Give back what was begun and has not been told of; where the database is away, the next start does it."""
        for training in tuple(self._made.values()):
            self._forget(training)
            with suppress(Outdated):
                self._write_or_leave(partial(self._trainings.leave, training.claim))

    def _write_or_leave(self, write: Callable[[], object]) -> None:
        """Write what can be written; once the database does not answer, nothing more is tried."""
        if not self._away:
            with outages_suppressed() as raised:
                write()
            self._away = bool(raised)

    def require_something(self) -> None:
        """Raise NasError where trainings failed and none came to anything."""
        if self._failures and not self._came_to_something:
            raise NasError(f"nothing was trained, the last training failed with: {self._failures[-1]}")


def _name(claim: Claim) -> str:
    """Return what the checkpoint of a training is called."""
    return repeat_name(claim.digest, claim.repeat) if claim.repeat else claim.digest
