"""A copy of a study in Optuna's memory that follows the database while the study is searched."""

from __future__ import annotations

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from nas.dashboard.told import told_trial
from nas.search.storage.optuna_study import METRICS, PROMOTED
from nas.search.study import Study

_DIRECTIONS = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]


class Copy:
    """A study in memory. What is done to it there changes nothing else.

    Attributes:
        storage: Optuna's, with one study of the same name; trials have the numbers that they have in the database.
    """

    def __init__(self, study: Study) -> None:
        """Copy a study that has been run."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study, self.storage = study, InMemoryStorage()
        self._id, self._unfinished = self._begin(), dict[int, int]()
        self.refresh()

    def refresh(self) -> int:
        """Take over what is new in the database, which is only read, and return how many trials that concerns.

        A study that was deleted in the dashboard is copied anew.

        Raises:
            StudyError: The database does not answer.
        """
        trials = self._trials()
        if self._id not in {known._study_id for known in self.storage.get_all_studies()}:
            self._id, self._unfinished = self._begin(), {}
        have = self.storage.get_n_trials(self._id)
        fresh = [trial for trial in trials if trial.number >= have or trial.number in self._unfinished]
        records = {record.number: record for record in self._study.trials()}
        curves = self._study.curves([_source(trial) for trial in fresh]) if fresh else {}
        for trial in fresh:
            number = _source(trial)
            told = told_trial(trial, records.get(number), curves.get(number, ()))
            self._write(trial.number, told)
        return len(fresh)

    def _trials(self) -> list[FrozenTrial]:
        """Return the trials as Optuna has them; none where the study is just being begun, since here nothing is."""
        with self._study.database.errors():
            try:
                study = optuna.load_study(study_name=self._study.name, storage=self._study.database.optunas)
            except KeyError:
                return []
            return study.get_trials(deepcopy=False)

    def _begin(self) -> int:
        study = optuna.create_study(study_name=self._study.name, storage=self.storage, directions=_DIRECTIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(METRICS)
        describe(study)
        return int(study._study_id)

    def _write(self, number: int, told: FrozenTrial) -> None:
        """Write a trial, or what is new of one that had not ended."""
        identity = self._unfinished.pop(number, None)
        if identity is None:
            identity = self.storage.create_new_trial(self._id, template_trial=told)
        else:
            _update(self.storage, identity, told)
        if not told.state.is_finished():
            self._unfinished[number] = identity


def _source(trial: FrozenTrial) -> int:
    """Return the number of the trial that our tables have of one of Optuna's."""
    number: int = trial.user_attrs.get(PROMOTED, trial.number)
    return number


def _update(storage: InMemoryStorage, identity: int, told: FrozenTrial) -> None:
    """Write what is new of a trial that had not ended."""
    known = storage.get_trial(identity)
    for name, distribution in told.distributions.items():
        if name not in known.params:
            internal = distribution.to_internal_repr(told.params[name])
            storage.set_trial_param(identity, name, internal, distribution)
    for step, value in told.intermediate_values.items():
        storage.set_trial_intermediate_value(identity, step, value)
    for key, value in told.user_attrs.items():
        storage.set_trial_user_attr(identity, key, value)
    for key, value in told.system_attrs.items():
        storage.set_trial_system_attr(identity, key, value)
    storage.set_trial_state_values(identity, told.state, told.values)


def describe(copy: optuna.Study) -> None:
    """Say on a copy's page that it is one."""
    from optuna_dashboard import save_note

    what = "A copy in memory. What you change here changes this copy alone, and is gone when nas dashboard ends."
    copy.set_user_attr("this page shows", what)
    save_note(copy, note_of(what))


def note_of(what: str) -> str:
    """Return what a copy's page says of it, in Markdown."""
    return (
        f"**{what}** It follows the study in the database while it is searched.\n\n"
        "- Accuracies are those of one training on the validation images, luck included. Fronts by expected accuracies:"
        " `nas front STUDY`, `nas report STUDY`.\n"
        "- A network outside the budget is not trained. Here it is complete, with the values -inf and inf, because"
        " optuna-dashboard calls only complete trials infeasible; its outcome says which bound it misses.\n"
        "- A paused training that went on is two trials here: the one that paused, and the one that goes on from it."
        " The outcome names both.\n"
        "- Curves are the intermediate values on each trial's own page.\n"
    )
