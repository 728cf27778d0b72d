"""Studies of one database whose trainings are equal: of the same images, split and recipe."""

from __future__ import annotations

from typing import Any

from nas.architecture.serialization import architecture_from_json
from nas.config.study import StudyConfig
from nas.data.sources import PATHS
from nas.executors.task import Task
from nas.records import Repeat, Trained, TrialRecord
from nas.search.storage.store import Store
from nas.search.storage.study_row import studies_like
from nas.search.study import Study


def circumstances_of(study: StudyConfig) -> dict[str, Any]:
    """Return what two studies must have in common for their trainings to be compared, as plain data."""
    document = study.model_dump(mode="json")
    return {
        "data": {key: value for key, value in document["data"].items() if key not in PATHS},
        "recipe": {key: value for key, value in document["recipe"].items() if key != "cpu_threads"},
    }


def alike(study: Study) -> list[Study]:
    """Return the other studies of a study's database that trained in the same circumstances on the same images.

    What the database complains of comes as it is (see ``Database.errors``).
    """
    found, circumstances, ours = [], circumstances_of(study.config), study.store.images()
    for name in studies_like(study.database, ""):
        stored = Store(study.database, name).config() if name != study.name else None
        if stored is None or circumstances_of(stored[0]) != circumstances:
            continue
        other = Study(stored[0], study.directory, study.database, stored[1])
        theirs = other.store.images()
        if (theirs.fingerprint, theirs.content) == (ours.fingerprint, ours.content):
            found.append(other)
    return found


class TrainedElsewhere:
    """Looks up trainings that another study of the database has made: equal network, recipe, images and seed.

    Its weights stay with the study that made it.
    """

    def __init__(self, study: Study) -> None:
        """Find the studies that are alike; what they train meanwhile is seen too."""
        self._others = alike(study)

    def studies_with(self, digest: str) -> list[str]:
        """Return the names of the studies that have trained a network."""
        return [other.name for other in self._others if _trained(other, digest) is not None]

    def __call__(self, task: Task) -> Trained | None:
        """Return what the training of a task gave; None where nobody has made it."""
        digest = architecture_from_json(task.architecture).digest
        for other in self._others:
            trial = _trained(other, digest)
            trained = None if trial is None else _of_seed(other, trial, task.seed)
            if trained is not None:
                return trained
        return None


def _trained(study: Study, digest: str) -> TrialRecord | None:
    number = study.store.reserved(digest)
    trial = None if number is None else study.store.trial(number)
    return trial if trial is not None and trial.state == "trained" else None


def _of_seed(study: Study, trial: TrialRecord, seed: int) -> Trained | None:
    """Return what the training of a trial's network from a seed gave; None where there is none, or without answers."""
    store = study.store
    further = store.repeats() if trial.seed != seed else []
    made: list[TrialRecord | Repeat] = [r for r in further if r.number == trial.number and r.state == "trained"]
    training = next((training for training in (trial, *made) if training.seed == seed), None)
    if training is None:
        return None
    repeat = training.repeat if isinstance(training, Repeat) else 0
    answers = store.answers([trial.number])
    if (trial.number, repeat) not in answers:
        return None
    return Trained(
        paused=False,
        curve=training.curve if isinstance(training, Repeat) else tuple(store.curves([trial.number])[trial.number]),
        device=training.device or "",
        train_seconds=training.train_seconds or 0.0,
        micro_batch=trial.micro_batch,
        data_share=trial.data_share or 0.0,
        answers=answers[trial.number, repeat],
    )
