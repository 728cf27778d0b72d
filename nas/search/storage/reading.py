"""What a study's database tells about its trainings, from both our tables and Optuna's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import optuna

from nas.fronts.growth import IDLE_PROPOSALS, Ended, Growth, ended_trainings, idle, recent_growth
from nas.fronts.judged import Judgement, best_expected, judge
from nas.fronts.noise import fewest_images, over_seeds, seed_noise
from nas.records import Metric, Repeat, TrialRecord
from nas.search.storage.optuna_rows import TrialEnd, read_ends
from nas.search.storage.optuna_study import ENDED, PROMOTED
from nas.search.storage.store import Store

_FEW = 20
"""Networks, at most, whose answers tell how far drawing the images moves a metric."""


def images_behind(store: Store, trials: Iterable[TrialRecord]) -> int:
    """Return a study's number of validation images, or the least that its accuracies allow where it was not noted."""
    return store.val_images() or fewest_images(trial.accuracy for trial in trials if trial.accuracy is not None)


def read_judgement(store: Store, *, metric: Metric) -> Judgement:
    """Return what is known of the networks of a study, from the database."""
    told = _told(store, metric)
    return judge(told.trials, told.repeats, metric=metric, **told.further)


def read_best_expected(store: Store, *, metric: Metric) -> float | None:
    """Return the highest accuracy to expect of a network of a study, from the database; None where there is none."""
    told = _told(store, metric)
    return best_expected(told.trials, told.repeats, metric=metric, **told.further)


class _Told(NamedTuple):
    """What networks are judged by."""

    trials: list[TrialRecord]
    repeats: list[Repeat]
    further: dict[str, Any]


def _told(store: Store, metric: Metric) -> _Told:
    trials, repeats = store.trials(), store.repeats()
    answers = store.answers(_worth_reading(trials, repeats, metric))
    images = images_behind(store, trials)
    return _Told(trials, repeats, {"val_images": images, "answers": answers, "labels": store.val_labels()})


def _worth_reading(trials: Sequence[TrialRecord], repeats: Sequence[Repeat], metric: Metric) -> list[int]:
    """Return the trials whose answers tell something: of networks trained again or, for a metric without, of a few."""
    again = {repeat.number for repeat in repeats}
    digests = {trial.digest for trial in trials if trial.number in again}
    trained = [trial.number for trial in trials if trial.state == "trained"]
    few = trained[:: 1 + len(trained) // _FEW] if metric != "accuracy" and not again else []
    return few or [trial.number for trial in trials if trial.digest in digests]


def trial_ends(study: optuna.Study) -> dict[int, datetime]:
    """Return when each trial ended, by number; one that paused and was then trained to the end, when it was."""
    trials = study.get_trials(deepcopy=False)
    return _last_ends(TrialEnd(trial.number, trial.datetime_complete, trial.user_attrs) for trial in trials)


def stored_ends(store: Store) -> dict[int, datetime]:
    """Return the same from the database, which takes less time than to read all trials."""
    with store.database.engine.connect() as connection:
        return _last_ends(read_ends(connection, store.study, (ENDED, PROMOTED)))


def _last_ends(trials: Iterable[TrialEnd]) -> dict[int, datetime]:
    found = dict[int, datetime]()
    for trial in trials:
        number, ended = trial.attributes.get(PROMOTED, trial.number), _end(trial)
        if ended is not None:
            found[number] = max(ended, found.get(number, ended))
    return found


def _end(trial: TrialEnd) -> datetime | None:
    """Return when a trial ended; Optuna's own time is local, and an hour of it comes twice as summer ends."""
    if trial.complete is None:
        return None
    if ENDED in trial.attributes:
        return datetime.fromtimestamp(trial.attributes[ENDED], UTC)
    return trial.complete.astimezone(UTC)


def read_ended(store: Store) -> list[Ended]:
    """Return the trainings of a study that have ended, in that order, from the database."""
    return ended_trainings(store.trials(), store.spent(), stored_ends(store))


def read_growth(store: Store, ends: Mapping[int, datetime], *, startup_trials: int) -> Growth | None:
    """Return what the last part of a study has added, from the database.

    Args:
        store: Of the study.
        ends: When each trial ended, by number.
        startup_trials: As in the study.
    """
    trials = store.trials()
    ended = ended_trainings(trials, store.spent(), ends)
    noise = seed_noise(over_seeds(trials, store.repeats()).values(), val_images=images_behind(store, trials))
    return recent_growth(ended, startup_trials=startup_trials, noise=noise.std)


def stagnation(store: Store, study: optuna.Study, *, startup_trials: int) -> str | None:
    """Say why a search need not go on, or return None."""
    if idle([trial.state for trial in store.trials()]):
        return f"stagnant: the last {IDLE_PROPOSALS} proposals were outside the budget or already known"
    growth = read_growth(store, trial_ends(study), startup_trials=startup_trials)
    return f"stagnant: {growth}" if growth is not None and growth.stagnant else None
