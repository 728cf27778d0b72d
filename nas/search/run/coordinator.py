"""The loop of a search: hands train what is wanted, and one coordinator decides what that is.

A leader makes proposals, lets paused trainings go on and wants networks once more; each of these becomes a wanted
training, and whoever has a hand free takes the next. On a server further coordinators train for the leader.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import torch

from nas.executors.task import Executor
from nas.processes.owners import name_of
from nas.records import UNFINISHED, TrialRecord
from nas.search.run.clock import HandClock
from nas.search.run.events import Event, Noted, NothingLeft, Stagnant, TimeIsUp, TrialFinished
from nas.search.run.lease import Lease
from nas.search.run.limits import Limits
from nas.search.run.proposing import Proposer
from nas.search.run.recovery import reconcile, recover, release_gone
from nas.search.run.reports import Reports
from nas.search.run.shelf import Shelf
from nas.search.run.wanted import Rungs, next_repeat
from nas.search.seconds import Forecast
from nas.search.storage.claims import Claim
from nas.search.storage.outage import Patience
from nas.search.storage.trainings import NotLeading, Trainings
from nas.search.study import Study

SECONDS_TO_STOP = 4.0
"""For a hand to save; what comes after must not make more than five of it."""
_GLANCE, _LOOK = 0.01, 0.5
"""Seconds to wait for the hands: where one waits for a proposal that is being made, and else."""

_HANDS_PER_PROPOSAL = 4
"""For so many there is one proposal ready, since several may be free at the same moment."""


class Coordinator:
    """Runs a study, or trains for who leads it."""

    def __init__(
        self,
        study: Study,
        executor: Executor,
        *,
        lease: Lease,
        devices: Sequence[torch.device],
        trials: int | None,
        limits: Limits,
        forecast: Forecast,
        emit: Callable[[Event], None],
        patience: Patience,
        interrupted: Callable[[], bool],
        clock: HandClock,
        shelf: Shelf,
    ) -> None:
        """Keep what it works with.

        Args:
            study: That is searched.
            executor: Has the hands.
            lease: Tells who leads.
            devices: On which hands train.
            trials: How many proposals to make; None for as many as the study still needs.
            limits: When to begin nothing more.
            forecast: Tells how long a training takes.
            emit: Called with each event.
            patience: Waits for the database.
            interrupted: Tells whether Ctrl-C was pressed.
            clock: Of the hands.
            shelf: Where the files of trainings lie.
        """
        self._study, self._executor, self._lease, self._trials = study, executor, lease, trials
        self._limits, self._forecast, self._emit, self._patience = limits, forecast, emit, patience
        self._interrupted, self._clock, self._shelf = interrupted, clock, shelf
        self._trainings = Trainings(study.database.engine, study.name, owner=lease.holder)
        self._rungs = Rungs(study)
        self._proposer = Proposer(study, self._trainings, self._rungs, devices=devices)
        self._reports = Reports(
            *(study, self._trainings, self._proposer, self._rungs),
            leads=lambda: self._leads,
            emit=emit,
            patience=patience,
            clock=clock,
            shelf=shelf,
        )
        self._tickets: int | None = None
        self._looked_around, self._led_by = -math.inf, lease.holder
        self._leads = self._proposals_ended = self._up = False
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="proposals")
        self._proposal: Future[TrialRecord] | None = None

    def run(self) -> None:
        """Train until there is no more to do.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; what was being trained is saved and goes on first next time.
            NasError: Several trainings in a row failed, or all did, or what is around them does not allow any.
            Exception: Whatever the listener raised.
        """
        try:
            while not (self._interrupted() or self._reports.fault):
                self._look_around()
                others_trained = self._others_train()
                self._fill()
                if self._reports.behind:
                    self._reports.write_one()
                elif not (self._executor.running or self._proposal or others_trained or self._others_train()):
                    break
                hear = partial(self._reports.hear, later=self._executor.hands > 1)
                self._executor.wait(hear, seconds=self._pause())
        finally:
            self._stop()
        if self._interrupted():
            raise KeyboardInterrupt
        if self._reports.fault is not None:
            raise self._reports.fault
        self._reports.require_something()

    def _stop(self) -> None:
        """Let the hands save, and give back what they have not ended."""
        self._patience.end()
        self._ahead.shutdown(wait=not self._interrupted(), cancel_futures=True)
        try:
            self._reports.fall_silent()
            self._executor.stop(self._reports.last_words, seconds=SECONDS_TO_STOP)
        finally:
            self._executor.close()
            self._reports.give_back()

    # who leads

    def _look_around(self) -> None:
        """Find out who leads, and put right what others left, now and then."""
        if self._leads and self._lease.alone:
            return
        now = time.monotonic()
        if now - self._looked_around >= self._lease.seconds / 60:
            self._looked_around = now
            self._patience(self._look)

    def _look(self) -> None:
        self._leads &= self._lease.leader() == self._lease.holder  # another may have led, and be gone, since
        leads = self._lease.take_lead()
        self._trainings.release(self._trainings.owner, but=self._reports.held)  # taken, and the answer was lost
        if leads and self._leads:
            release_gone(self._trainings, self._lease)
            reconcile(self._proposer.optuna, self._study.store)
        elif leads and self._proposal is None:  # one of an earlier lead must have ended
            self._begin_to_lead()
        elif not leads:
            self._leads = False
            self._note_leader(self._lease.leader())

    def _begin_to_lead(self) -> None:
        recover(self._proposer.optuna, self._study.store, self._trainings, self._lease)
        if not self._lease.others():
            self._shelf.prune(self._study.store.trials(), self._study.store.repeats())
        if self._tickets is None or self._trials is None:
            self._tickets = self._count_tickets()
        self._leads = True
        self._note_leader(self._lease.holder)

    def _note_leader(self, leader: str) -> None:
        """Tell who leads, unless that was told or nobody does."""
        if leader in ("", self._led_by):
            return
        self._led_by, ours = leader, leader == self._lease.holder
        study = f"study {self._study.name!r}"
        line = f"{name_of(leader)} leads {study}; this search trains for it"
        self._emit(Noted(f"this search leads {study} now" if ours else line))

    def _count_tickets(self) -> int:
        """Return how many new proposals to make; those that wait for their training count among the asked ones."""
        standing = self._trainings.standing()
        if self._trials is None:
            return max(0, self._study.config.search.trials - standing.ended - standing.unfinished)
        return max(0, self._trials - standing.unfinished)

    def _others_train(self) -> bool:
        """Tell whether to stay because others are at work on the study, which may give more to do."""
        if self._lease.alone or self._up:
            return False
        return not self._leads or self._patience(self._trainings.unfinished)

    # what is begun

    def _pause(self) -> float:
        """Return for how many seconds to listen."""
        if self._reports.behind:
            return 0.0
        return _GLANCE if self._hand_waits() else _LOOK

    def _hand_waits(self) -> bool:
        something_may_come = self._proposal is not None or not self._leads
        return len(self._executor.running) < self._executor.hands and something_may_come

    def _fill(self) -> None:
        """Give each free hand something to do, and have the next ready."""
        self._collect()
        while len(self._executor.running) < self._executor.hands and not self._interrupted():
            claim = self._next()
            if claim is None:
                return
            if not self._ends_in_time(claim):
                return
            self._executor.start(self._patience(partial(self._reports.begin, claim)))
        self._think_ahead()

    def _next(self) -> Claim | None:
        """Return the training to begin next; None where there is nothing to begin now."""
        while not self._time_is_up():
            claim = self._patience(self._trainings.take)
            if claim is not None:
                return claim
            with suppress(NotLeading):
                if self._leads and self._want_more():
                    continue
            return None
        return None

    def _time_is_up(self, seconds: float = 0.0) -> bool:
        """Tell whether there is no time for a training of so many seconds; if not, nothing more begins."""
        beside = 1 + len(self._executor.running)
        if not self._up and self._limits.seconds_left(self._clock.busy_seconds, hands=beside) <= seconds:
            self._up = True
            self._emit(TimeIsUp(self._limits.reason))
        return self._up

    def _ends_in_time(self, claim: Claim) -> bool:
        """Tell whether a training is likely to end in time; one that is not is given back."""
        if not self._limits.are_hours:
            return True
        trials = self._patience(self._study.store.trials)
        if not self._time_is_up(self._forecast.seconds(trials, like=claim.number)):
            return True
        self._patience(lambda: self._trainings.leave(claim))
        return False

    def _want_more(self) -> bool:
        """Decide on one more training, or on a proposal; tell whether to look again what there is to begin."""
        number = self._patience(self._rungs.promotable)
        if number is not None:
            return self._patience(lambda: self._trainings.promote(number))
        if not self._no_more_proposals():
            return self._propose()
        if self._proposal is not None or self._patience(self._trials_unfinished):
            return False
        wanted = self._patience(lambda: next_repeat(self._study))
        if wanted is None:
            return False
        return self._patience(lambda: self._trainings.want_repeat(wanted.trial, wanted.repeat, seed=wanted.seed))

    def _no_more_proposals(self) -> bool:
        if not self._proposals_ended and (end := self._patience(self._end_of_proposals)) is not None:
            self._proposals_ended = True
            self._emit(end)
        return self._proposals_ended or not self._tickets

    def _end_of_proposals(self) -> Event | None:
        """Return why to propose nothing more, but for the tickets that are used up."""
        if (networks := self._proposer.all_proposed()) is not None:
            return NothingLeft(networks)
        if self._limits.until_stagnant and (reason := self._proposer.stagnation()) is not None:
            return Stagnant(reason)
        return None

    def _trials_unfinished(self) -> bool:
        return self._trainings.standing().unfinished > 0

    # proposals

    def _propose(self) -> bool:
        """Propose: with one hand now, knowing all results, and with several beside what they do."""
        if self._proposal is not None:
            return False
        self._use_ticket()
        if self._executor.hands == 1:
            self._tell(self._patience(self._proposer.propose))
            return True
        self._proposal = self._ahead.submit(self._patience, self._proposer.propose)
        return False

    def _use_ticket(self) -> None:
        self._tickets = (self._tickets or 0) - 1

    def _think_ahead(self) -> None:
        """Have proposals ready for the next hands that are free."""
        if not self._leads or self._proposal is not None or self._time_is_up():
            return
        others = 0 if self._lease.alone else sum(one.hands for one in self._patience(self._lease.others))
        wanted = others + (-(-self._executor.hands // _HANDS_PER_PROPOSAL) if self._executor.hands > 1 else 0)
        if wanted and not self._no_more_proposals() and self._patience(self._trainings.waiting) < wanted:
            self._use_ticket()
            self._proposal = self._ahead.submit(self._patience, self._proposer.propose)

    def _collect(self) -> None:
        """Take over the proposal that was made beside."""
        if self._proposal is not None and self._proposal.done():
            done, self._proposal = self._proposal, None
            with suppress(NotLeading):
                self._tell(done.result())

    def _tell(self, record: TrialRecord) -> None:
        if record.state not in UNFINISHED:
            self._emit(TrialFinished(record))
