"""A study, opened once: its definition, its database and its images. All that works with a study is given one."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import optuna
from optuna.samplers import BaseSampler

from nas.architecture.spec import Architecture
from nas.config.study import StudyConfig, settled
from nas.data.sources import PATHS, Dataset, load_data
from nas.errors import StudyError
from nas.fronts.growth import Ended, Growth
from nas.fronts.judged import Judgement
from nas.models.backends import Latency
from nas.processes.owners import process_is_gone
from nas.records import (
    UNFINISHED,
    ClassNumbers,
    Epoch,
    ImageDigests,
    Purpose,
    Reference,
    Repeat,
    TestLook,
    TrialRecord,
    Variant,
)
from nas.search.disk import weights_folder
from nas.search.storage.coordinators import Coordinator, Coordinators
from nas.search.storage.database import Database
from nas.search.storage.images import require_same_images
from nas.search.storage.optuna_study import open_optuna_study
from nas.search.storage.reading import (
    images_behind,
    read_best_expected,
    read_ended,
    read_growth,
    read_judgement,
    stored_ends,
)
from nas.search.storage.references import add_reference, read_references
from nas.search.storage.store import Store
from nas.search.storage.study_row import studies_like
from nas.search.storage.variants import add_variants, read_variants


@dataclass(frozen=True)
class Study:
    """A study: its definition, its files, and what it has found so far.

    The database and the images are opened once, when they are first needed. They are closed at the end of a ``with``
    block, or when Python deletes the study. A process that is given a study opens its own.

    Attributes:
        config: Definition of the study as it was first run, with the present path of the images.
        directory: Folder of the weights and, by default, of the database.
        database: Database of the study. Its URL may contain a password, which is never shown.
        fingerprint: Fingerprint of the images that the study was run on; empty if it is not known.
    """

    config: StudyConfig
    directory: Path
    database: Database = field(compare=False)
    fingerprint: str = ""

    def __enter__(self) -> Self:
        """Return the study."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close what was opened."""
        self.close()

    def close(self) -> None:
        """Close the database; the study must not be used any more."""
        self.database.close()

    def __getstate__(self) -> dict[str, object]:
        """Leave out what was opened, for another process."""
        return {key: value for key, value in self.__dict__.items() if key not in ("store", "dataset")}

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.config.name

    @property
    def typed(self) -> str:
        """The study as one types it in a shell: its file where it lies beside the folder, else its name."""
        file = self.directory.with_suffix(".yaml")
        return shlex.quote(str(file) if file.is_file() else self.name)

    @property
    def storage(self) -> str:
        """URL of the database. It may contain a password."""
        return self.database.url

    @cached_property
    def store(self) -> Store:
        """This study's rows; what the database complains of comes as it is (see ``Database.errors``)."""
        return Store(self.database, self.name)

    @cached_property
    def dataset(self) -> Dataset:
        """Training and validation images.

        Raises:
            DataError: They are missing or cannot be read.
        """
        return load_data(self.config.data)

    def verified(self) -> Dataset:
        """Return training and validation images after making sure that they are those that the study was run on.

        Raises:
            DataError: They are missing or cannot be read.
            StudyError: They have changed since.
        """
        return replace(self.dataset, notes=(*self.dataset.notes, *self.image_changes()))

    def image_changes(self) -> list[str]:
        """Return what of the images cannot be verified or is decoded otherwise than when the study was run.

        Raises:
            DataError: They are missing or cannot be read.
            StudyError: They have changed since.
        """
        return require_same_images(self.name, then=self.image_digests(), now=self.dataset.identity)

    def image_digests(self) -> ImageDigests:
        """Return what told the images from others when the study was run."""
        if not self.was_run():
            return ImageDigests(self.fingerprint)
        with self.database.errors():
            return replace(self.store.images(), fingerprint=self.fingerprint)

    def stored_images(self) -> ImageDigests:
        """Return what the images were when the study was run, as far as it was noted."""
        with self.database.errors():
            return self.store.images()

    def image_notes(self) -> list[str]:
        """Return what was told of the images when the study was run, one line each."""
        with self.database.errors():
            return self.store.image_notes()

    def optuna(self, sampler: BaseSampler | None = None) -> optuna.Study:
        """Return the Optuna study. Without a sampler, you can only look at it."""
        return open_optuna_study(self.database, self.name, sampler=sampler)

    def settled(self, config: StudyConfig, fingerprint: str) -> Study:
        """Return this study, with all that it has opened, as it was first run."""
        other = copy(self)
        other.__dict__.update(self.__dict__, config=config, fingerprint=fingerprint)
        return other

    def as_begun(self) -> Study:
        """Return this study with what its file leaves out as at its first run; itself where it has not been run."""
        stored = self.stored()
        return self if stored is None else self.settled(settled(self.config, stored[0]), stored[1])

    def was_run(self) -> bool:
        """Tell whether the study has been run."""
        return self.stored() is not None

    def trials(self) -> list[TrialRecord]:
        """Return all trials, ordered by number."""
        with self.database.errors():
            return self.store.trials()

    def repeats(self) -> list[Repeat]:
        """Return the further trainings of networks with other seeds, ordered by trial and repeat."""
        with self.database.errors():
            return self.store.repeats()

    def val_images(self) -> int:
        """Return the number of validation images; if it was not stored, the smallest that fits the accuracies."""
        with self.database.errors():
            return images_behind(self.store, self.trials())

    def judgement(self) -> Judgement:
        """Return what is known of every trained network, and which are on the front."""
        with self.database.errors():
            return read_judgement(self.store, metric=self.config.recipe.metric)

    def best_expected(self) -> float | None:
        """Return the highest accuracy to expect of a network; None if nothing is trained yet."""
        with self.database.errors():
            return read_best_expected(self.store, metric=self.config.recipe.metric)

    def curves(self, numbers: Collection[int] | None = None) -> dict[int, list[Epoch]]:
        """Return the learning curve of each trained trial, by number.

        Args:
            numbers: Of the trials; all by default.
        """
        with self.database.errors():
            return self.store.curves(numbers)

    def ended(self) -> list[Ended]:
        """Return the trainings that have ended, in the order in which they ended."""
        with self.database.errors():
            return read_ended(self.store)

    def ends(self) -> dict[int, datetime]:
        """Return when each trial ended, by number; one that paused and was then trained to the end, when it was."""
        with self.database.errors():
            return stored_ends(self.store)

    def growth(self) -> Growth | None:
        """Return what the last part of the search has added to the front; None if the search is too short to tell."""
        with self.database.errors():
            ends = stored_ends(self.store)
            return read_growth(self.store, ends, startup_trials=self.config.search.startup_trials)

    def searches(self) -> tuple[list[Coordinator], str | None]:
        """Return who works on the study or did last, and who of them leads it."""
        with self.database.errors():
            rows = Coordinators(self.database.engine, self.name)
            return rows.all(), rows.leader()

    def scaling_names(self) -> list[str]:
        """Return the names of the scaling studies that were run of this study, such as ``shape``."""
        if not self.was_run() and not self.database.exists():
            return []
        with self.database.errors():
            known = studies_like(self.database, f"{self.name}-")
            stored = {name: Store(self.database, name).config() for name in known}
        planned = [name for name, found in stored.items() if found is not None and found[0].search.plan]
        return [name.removeprefix(f"{self.name}-") for name in planned]

    def beside(self, name: str, config: StudyConfig) -> Study:
        """Return a scaling study of this study: it has a name, a folder and rows of its own in the same database."""
        own = config.model_copy(update={"name": f"{self.name}-{name}"})
        return replace(self, config=own, directory=self.directory / name, fingerprint="")

    def scaling(self, name: str) -> Study:
        """Return a scaling study of this study that was run before.

        Raises:
            StudyError: There is none of that name.
        """
        blank = self.beside(name, self.config)
        stored = blank.stored()
        if stored is None:
            kinds = ", ".join(f"{self.name}:{known}" for known in self.scaling_names()) or "none"
            raise StudyError(f"study {self.name!r} has no scaling study {name!r} in {self.database}; it has {kinds}")
        config, fingerprint = stored
        here = {key: getattr(self.config.data, key) for key in (*PATHS, "hf")}
        config = config.model_copy(update={"data": config.data.model_copy(update=here)})
        return replace(blank, config=config, fingerprint=fingerprint)

    def missing_trials(self) -> int:
        """Return how many trials the study still needs, besides those that have ended or are running."""
        if not self.was_run():
            return self.config.search.trials
        with self.database.errors():
            trials, owners = self.store.trials(), self.store.owners()
        running = [trial for trial in trials if (owner := owners.get(trial.number)) and not process_is_gone(owner)]
        ended = [trial for trial in trials if trial.state not in UNFINISHED]
        return max(0, self.config.search.trials - len(ended) - len(running))

    def architecture(self, trial: TrialRecord) -> Architecture:
        """Return a trial's network."""
        return self.stored_architecture(trial.digest)

    def stored_architecture(self, digest: str) -> Architecture:
        """Return a network that a study of the database has proposed."""
        with self.database.errors():
            return self.store.architecture(digest)

    def latencies(self, *, purpose: Purpose = "front") -> dict[str, list[Latency]]:
        """Return each network's latencies by digest: newest first, after them those of a busy machine."""
        with self.database.errors():
            return self.store.latencies(purpose=purpose)

    def add_latency(self, trial: TrialRecord, latency: Latency) -> None:
        """Store a latency of a trial's network, measured to rank the front."""
        with self.database.errors():
            self.store.add_latency(trial.digest, latency, purpose="front")

    def answers(self) -> dict[tuple[int, int], ClassNumbers]:
        """Return which class each training's network gave to each validation image, by trial and repeat."""
        with self.database.errors():
            return self.store.answers()

    def val_labels(self) -> ClassNumbers | None:
        """Return the labels of the validation images; None where an earlier version has not noted them."""
        with self.database.errors():
            return self.store.val_labels()

    def test_looks(self) -> list[TestLook]:
        """Return when which network was tried on the test images, in that order."""
        with self.database.errors():
            return self.store.test_looks()

    def add_test_look(self, digest: str, accuracy: float, *, command: str) -> None:
        """Keep that a network was tried on the test images, and by which command."""
        with self.database.errors():
            self.store.add_test_look(digest, accuracy, command=command)

    def references(self) -> list[Reference]:
        """Return the reference networks that were trained on the study's images, cheapest first."""
        with self.database.errors():
            return read_references(self.database.engine, self.name)

    def add_reference(self, reference: Reference) -> None:
        """Keep a network that was trained on the study's images beside the search.

        One of the same network, trained for as many epochs and from the same start, gives way to it.
        """
        with self.database.errors():
            add_reference(self.database.engine, self.name, reference)

    def variants(self) -> list[Variant]:
        """Return what ``nas compress`` made of the study's networks, in the order in which it was made."""
        with self.database.errors():
            return read_variants(self.database.engine, self.name)

    def add_variants(self, variants: Iterable[Variant], *, bundle: str) -> None:
        """Keep what was made of a network of the study, and where it was written.

        One of the same name, network and parent gives way to it.
        """
        with self.database.errors():
            add_variants(self.database.engine, self.name, variants, bundle=bundle)

    def weights(self, trial: TrialRecord) -> Path:
        """Return the path of a trained trial's weights."""
        return self.weights_folder() / f"{trial.digest}.safetensors"

    def weights_folder(self) -> Path:
        """Return the folder of the weights."""
        with self.database.errors():
            return weights_folder(self.store, self.directory)

    def stored(self) -> tuple[StudyConfig, str] | None:
        """Return definition and fingerprint as the database has them, or None where it does not know the study."""
        if not self.database.exists():
            return None
        self.database.prepare()
        with self.database.errors():
            return self.store.config()
