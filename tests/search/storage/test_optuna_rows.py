"""What is read of Optuna's rows by plain SQL is what its storage reads."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from nas.search.storage.database import Database
from nas.search.storage.optuna_rows import read_trials
from nas.search.storage.optuna_study import ENDED, PROMOTED
from nas.search.storage.reading import stored_ends, trial_ends
from nas.search.storage.store import Store
from nas.search.study import Study

RANGES = {
    "width": FloatDistribution(0.1, 1.0, step=0.1),
    "space": CategoricalDistribution(("a", "b", None)),
    "pixels": IntDistribution(8, 32),
}
PARAMETERS = {"width": 0.3, "space": None, "pixels": 8}


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """Return a database with trials of all kinds in a study, and one trial in another."""
    database = Database(f"sqlite:///{tmp_path / 'study.db'}")
    for name in ("other", "study"):
        study = optuna.create_study(study_name=name, storage=database.optunas, directions=["maximize", "minimize"])
        study.add_trial(create_trial(values=[0.5, math.inf], params=PARAMETERS, distributions=RANGES))
    study.add_trial(create_trial(values=[0.1, 3.0], user_attrs={ENDED: 5.0, "note": "x"}))
    study.add_trial(
        create_trial(
            state=TrialState.PRUNED, intermediate_values={1: 0.5, 2: -math.inf, 3: math.nan}, system_attrs={"a": [1]}
        )
    )
    study.add_trial(create_trial(values=[0.2, 3.0], user_attrs={PROMOTED: 2, ENDED: 7e9}))
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={ENDED: 6.0}))
    study.ask(RANGES)
    return database


def test_trials_are_those_of_optunas_storage(database: Database) -> None:
    whole = RDBStorage(database.url)
    for name in ("study", "other"):
        study_id = whole.get_study_id_from_name(name)
        with database.engine.connect() as connection:
            found = read_trials(connection, study_id)
        expected = whole.get_all_trials(study_id)
        assert len(found) == {"study": 6, "other": 1}[name]
        for trial in (*found, *expected):  # NaN is not equal to itself
            assert math.isnan(trial.intermediate_values.pop(3, math.nan))
        assert found == expected
        assert [list(trial.params) for trial in found] == [list(trial.params) for trial in expected]
        assert [trial._trial_id for trial in found] == [trial._trial_id for trial in expected]
    whole.engine.dispose()


def test_a_trial_that_goes_on_is_read_again(database: Database) -> None:
    study = optuna.load_study(study_name="study", storage=database.optunas)
    running = study.get_trials()[-1]
    assert running.state is TrialState.RUNNING
    with Database(database.url) as elsewhere:
        optuna.load_study(study_name="study", storage=elsewhere.optunas).tell(running.number, [0.5, 1.0])
    assert study.get_trials()[-1].values == [0.5, 1.0]


def test_ends_are_those_of_the_trials(database: Database, own_study: Study) -> None:
    study = optuna.load_study(study_name="study", storage=database.optunas)
    ends = stored_ends(Store(database, "study"))
    assert ends == trial_ends(study)
    assert ends.keys() == {0, 1, 2, 4} and ends[2].timestamp() == 7e9 and ends[1].timestamp() == 5.0
    assert stored_ends(own_study.store) == trial_ends(own_study.optuna()) != {}
