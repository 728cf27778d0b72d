"""What is written of trainings: once, by whoever has them, whatever answers of the database get lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from test_creation import url as url  # noqa: F401 - a fixture: of SQLite and of PostgreSQL

from nas.architecture.cost import count_cost
from nas.architecture.presets import preset
from nas.records import Epoch, TrialRecord
from nas.search.run.recovery import end_unwritten, reconcile
from nas.search.storage.claims import Claim, Outdated
from nas.search.storage.coordinators import Coordinators
from nas.search.storage.database import Database
from nas.search.storage.earlier import adopt_trainings
from nas.search.storage.optuna_study import open_optuna_study
from nas.search.storage.schema import STUDY, TRAINING
from nas.search.storage.store import Store
from nas.search.storage.trainings import NotLeading, Standing, Trainings

NETWORK = preset("resnet18", num_classes=10)
EPOCH = Epoch(1, 1.0, 0.5, 1.0, 0.5, 0.1)


@pytest.fixture
def database(url: str) -> Any:  # noqa: F811
    with Database(url) as opened:
        opened.prepare()
        with opened.engine.begin() as connection:
            connection.execute(STUDY.insert().values(name="study", config="", fingerprint=""))
        yield opened


@pytest.fixture
def leader(database: Database) -> Trainings:
    assert Coordinators(database.engine, "study").lead("leader", after=None)
    return Trainings(database.engine, "study", owner="leader")


def record(number: int) -> TrialRecord:
    cost = count_cost(NETWORK)
    return TrialRecord(number, "s", 1.0, 1.0, 8, NETWORK.digest, cost.flops, cost.params, cost.activations)


def propose(trainings: Trainings, number: int) -> TrialRecord:
    return trainings.propose(record(number), NETWORK, count_cost(NETWORK))


def taken(trainings: Trainings) -> Claim:
    claim = trainings.take()
    assert claim is not None
    return claim


def state(database: Database) -> tuple[Any, ...]:
    with database.engine.connect() as connection:
        columns = (TRAINING.c.state, TRAINING.c.owner, TRAINING.c.attempt, TRAINING.c.number)
        return tuple(connection.execute(sa.select(*columns)).one())


def test_what_is_written_twice_because_the_answer_was_lost_is_there_once(database: Database, leader: Trainings) -> None:
    assert propose(leader, 0) == propose(leader, 0)
    assert propose(leader, 1).state == propose(leader, 1).state == "repeated"
    assert leader.standing() == Standing(ended=1, unfinished=1)
    claim = taken(leader)
    assert leader.add_epoch(claim, EPOCH) and not leader.add_epoch(claim, EPOCH)
    trained = replace(record(0), state="trained", accuracy=0.5)
    for _ in range(2):
        leader.end_trial(claim, trained, answers=np.zeros(3, np.int64))
    assert state(database) == ("ended", None, 1, 0)
    store = Store(database, "study")
    assert [(trial.state, trial.accuracy) for trial in store.trials()] == [("trained", 0.5), ("repeated", 0.5)]
    assert store.states() == {0: "trained", 1: "repeated"} and store.trials([1]) == store.trials()[1:]
    with pytest.raises(Outdated):
        leader.end_trial(claim, replace(trained, state="failed"))  # another outcome is none of a lost answer
    with pytest.raises(Outdated):
        leader.leave(claim)


def test_a_training_that_was_taken_without_knowing_is_given_back(database: Database, leader: Trainings) -> None:
    propose(leader, 0)
    claim = taken(leader)
    assert leader.release("leader", but={claim.key}) == 0 and state(database)[0] == "running"
    assert leader.release("leader", but={"another"}) == 1 and state(database) == ("wanted", None, 1, 0)
    again = taken(leader)
    assert again.attempt == 2
    for outdated in (leader.leave, lambda one: leader.add_epoch(one, EPOCH)):
        with pytest.raises(Outdated):
            outdated(claim)
    assert leader.owners() == {"leader"} and leader.unfinished()
    leader.end_trial(again, replace(record(0), state="trained", accuracy=0.5))
    assert not leader.owners() and not leader.unfinished()


def test_only_the_leader_decides(database: Database, leader: Trainings) -> None:
    follower = Trainings(database.engine, "study", owner="follower")
    decisions: list[Callable[[], object]] = [
        lambda: propose(follower, 1),
        lambda: follower.promote(0),
        lambda: follower.want_repeat(record(0), 1, seed=1),
        follower.require_lead,
    ]
    propose(leader, 0)
    for decide in decisions:
        with pytest.raises(NotLeading):
            decide()
    rows = Coordinators(database.engine, "study")
    assert not rows.lead("follower", after="nobody") and not rows.lead("follower", after=None)
    assert rows.lead("follower", after="leader") and not rows.lead("another", after="leader")
    with pytest.raises(NotLeading):
        propose(leader, 1)
    assert propose(follower, 1).state == "repeated"


def test_a_network_that_failed_and_was_tried_again_is_no_hindrance(database: Database, leader: Trainings) -> None:
    propose(leader, 0)
    leader.end_trial(taken(leader), replace(record(0), state="failed", error="why"))
    assert propose(leader, 1).state == "waiting"
    adopt_trainings(database.engine, "study")  # as each new leader does
    assert state(database)[0] == "wanted" and state(database)[3] == 1


def test_a_proposal_that_is_being_made_is_left_alone(database: Database, leader: Trainings) -> None:
    study, store = open_optuna_study(database, "study"), Store(database, "study")
    asked = study.ask()
    reconcile(study, store)  # what a leader does every now and then
    assert study.trials[asked.number].state is TrialState.RUNNING
    propose(leader, asked.number)
    lost = study.ask()
    end_unwritten(study, store)  # what a new leader does, before it proposes
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING, TrialState.FAIL]
    assert lost.number == 1
    leader.end_trial(taken(leader), replace(record(0), state="trained", accuracy=0.5))
    reconcile(study, store)
    assert study.trials[0].values == [0.5, record(0).flops]
    reconcile(study, store)
    assert len(study.trials) == 2


def test_what_optuna_was_told_by_another_meanwhile_is_no_error(
    database: Database, leader: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, store = open_optuna_study(database, "study"), Store(database, "study")
    propose(leader, study.ask().number)
    leader.end_trial(taken(leader), replace(record(0), state="trained", accuracy=0.5))
    before = study.get_trials(deepcopy=True)
    study.tell(0, [0.5, 1.0])
    monkeypatch.setattr(optuna.Study, "get_trials", lambda self, **_: before)  # as they were a moment ago
    reconcile(study, store)


def test_who_renews_late_is_told_so_and_comes_back(database: Database) -> None:
    rows = Coordinators(database.engine, "study")
    assert not rows.renew("one", hands=2, seconds=60, waited=None)
    assert rows.renew("one", hands=2, seconds=60, waited=0.5)
    [one] = rows.all()
    assert one.hands == 2 and one.waited == 0.5 and -60 <= one.lapsed < -50
    rows.leave("one")  # another took it for gone
    assert rows.all()[0].left
    assert not rows.renew("one", hands=2, seconds=60, waited=None) and not rows.all()[0].left
    assert not rows.renew("one", hands=2, seconds=600, waited=None)  # less than half of it was left
    assert rows.renew("one", hands=2, seconds=600, waited=None)
    rows.leave("one")
    rows.forget_ended()
    assert not rows.all()
