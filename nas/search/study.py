"""Open, run and continue studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import optuna
from optuna.trial import TrialState
from sqlalchemy.engine import URL

from nas.architecture.spec import Architecture
from nas.config.study import StudyConfig, load_study_config
from nas.data.sources import load_data
from nas.errors import StudyError
from nas.fronts.growth import Ended, Growth
from nas.models.backends import Latency
from nas.models.device import resolve_device
from nas.records import Epoch, Purpose, Repeat, TrialRecord
from nas.search.bounds import require_memory, require_rungs, require_satisfiable
from nas.search.disk import prune_checkpoints, weights_folder
from nas.search.run.events import Event, ImagesLoaded
from nas.search.run.limits import ENDLESS, make_limits
from nas.search.run.loop import run_trials
from nas.search.run.recovery import release_abandoned
from nas.search.storage.optuna_study import counts_for_nothing, open_optuna_study, owner_is_gone
from nas.search.storage.reading import images_behind, read_ended, read_growth
from nas.search.storage.schema import (
    database_errors,
    parse_storage,
    prepare_database,
    retry_creation,
    without_password,
)
from nas.search.storage.store import Store
from nas.training.recipe import OPEN


@dataclass(frozen=True, slots=True)
class Study:
    """A study that has been run.

    Attributes:
        config: As it was first run, images from where they lie now.
        directory: Holds the weights and, by default, the database.
        storage: URL of the database; may hold a password, so it is not shown.
        fingerprint: Of the images that it was run on.
    """

    config: StudyConfig
    directory: Path
    storage: str = field(repr=False)
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.config.name

    def trials(self) -> list[TrialRecord]:
        """Return all trials in the order of their numbers."""
        with database_errors(self.storage):
            return self._store().trials()

    def repeats(self) -> list[Repeat]:
        """Return the further trainings of networks from other seeds, in the order of trial and repeat."""
        with database_errors(self.storage):
            return self._store().repeats()

    def val_images(self) -> int:
        """Return the number of validation images, or the least that the accuracies allow where it was not noted."""
        with database_errors(self.storage):
            return images_behind(self._store(), self.trials())

    def curves(self) -> dict[int, list[Epoch]]:
        """Return the learning curve of each trained trial, by number."""
        with database_errors(self.storage):
            return self._store().curves()

    def ended(self) -> list[Ended]:
        """Return the trainings that have ended, in that order, with what they took."""
        with database_errors(self.storage):
            return read_ended(self._store(), open_optuna_study(self.config, self.storage))

    def growth(self) -> Growth | None:
        """Return what the last part of the search has added to its front; None where it is too short to tell."""
        with database_errors(self.storage):
            opened = open_optuna_study(self.config, self.storage)
            return read_growth(self._store(), opened, startup_trials=self.config.search.startup_trials)

    def architecture(self, trial: TrialRecord) -> Architecture:
        """Return a trial's network."""
        with database_errors(self.storage):
            return self._store().architecture(trial.digest)

    def latencies(self, *, purpose: Purpose = "front") -> dict[str, list[Latency]]:
        """Return what was measured of the study's networks, newest first, by digest."""
        with database_errors(self.storage):
            return self._store().latencies(purpose=purpose)

    def add_latency(self, trial: TrialRecord, latency: Latency) -> None:
        """Keep a measurement of a trial's network that was made to rank the front."""
        with database_errors(self.storage):
            self._store().add_latency(trial.digest, latency, purpose="front")

    def weights(self, trial: TrialRecord) -> Path:
        """Return where a trained trial's weights lie."""
        return self.weights_folder() / f"{trial.digest}.safetensors"

    def weights_folder(self) -> Path:
        """Return the folder of all weights."""
        with database_errors(self.storage):
            return weights_folder(self._store(), self.directory)

    def _store(self) -> Store:
        return Store(self.storage, self.name)


def open_study(study: str | Path | StudyConfig, *, storage: str | None = None) -> Study:
    """Open a study that has been run, to look at it.

    Args:
        study: A study file, the name of a shipped study, or a definition.
        storage: URL of its database where it is not in the study's folder.

    Raises:
        ConfigError: The study file is missing or wrong.
        StudyError: The study was never run, or its database is not one of ours.
    """
    config, directory = resolve_study(study)
    url = storage or default_storage(directory)
    never = StudyError(f"study {config.name!r} was never run in {without_password(url)}: run it with nas search")
    path = parse_storage(url).database
    if parse_storage(url).get_backend_name() == "sqlite" and not (path and Path(path).is_file()):
        raise never
    prepare_database(url)
    with database_errors(url):
        stored = Store(url, config.name).config()
    if stored is None:
        raise never
    return Study(stored[0].model_copy(update={"data": config.data}), directory, url, stored[1])


def run_study(
    study: str | Path | StudyConfig,
    *,
    trials: int | None = None,
    workers: int = 1,
    device: str = "auto",
    storage: str | None = None,
    until: Literal["stagnant"] | None = None,
    max_hours: float | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Study:
    """Run a study, or continue it.

    Args:
        study: A study file, the name of a shipped study, or a definition (whose folder is ``./studies/NAME``).
        trials: Number of further trials; without it, as many as the study's ``trials`` still lack, or with ``until`` as
            many as it takes.
        workers: Processes that run trials side by side.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` spreads workers over all GPUs.
        storage: Database URL; without it, SQLite in the study's folder.
        until: ``stagnant``: no new proposal once the last third of the compute has added less than 1 % to the
            hypervolume of the front (``nas/fronts/growth.py``); paused trainings that deserve it still go on.
        max_hours: Nothing new begins once this run has taken so long; what runs is trained to its end.
        on_event: Called with each finished epoch and trial.

    Returns:
        The study.

    Raises:
        UserError: The study, its budget, data, device, memory or database does not allow a search; nothing was changed.
        NasError: Several trials in a row failed.
        KeyboardInterrupt: Finished trials are kept, and running again continues.
    """
    limits = make_limits(until=until, max_hours=max_hours)
    config, directory = resolve_study(study)
    url = storage or default_storage(directory)
    parse_storage(url)
    chosen = resolve_device(device)
    dataset = load_data(config.data)
    require_satisfiable(config, dataset)
    require_memory(config, dataset, chosen)
    require_rungs(config, dataset)
    _make_folder(directory)
    prepare_database(url)
    with database_errors(url):
        store = Store(url, config.name)
        config = settled(config, store.config(), train_images=len(dataset.train))
        retry_creation(lambda: store.register(config, dataset.fingerprint, val_images=len(dataset.validation)))
        optuna_study = retry_creation(lambda: open_optuna_study(config, url))
        release_abandoned(optuna_study, store)
        prune_checkpoints(weights_folder(store, directory), store.trials(), store.repeats())
        count = trials if trials is not None else ENDLESS if until else missing_trials(config, optuna_study)
        if on_event is not None:
            on_event(ImagesLoaded(dataset))
        if workers > 1:
            from nas.search.run.pool import run_workers

            run_workers(
                *(config, directory, url),
                trials=count,
                workers=workers,
                device=device,
                limits=limits,
                on_event=on_event,
            )
        else:
            own = range(count)
            run_trials(config, directory, url, dataset, tickets=own, device=device, limits=limits, on_event=on_event)
    return Study(config, directory, url, dataset.fingerprint)


def settled(config: StudyConfig, stored: tuple[StudyConfig, str] | None, *, train_images: int) -> StudyConfig:
    """Return a definition that leaves nothing open: as at the study's first run, else as its data ask for."""
    known = config.recipe.resolved(train_images) if stored is None else stored[0].recipe
    chosen = {key: getattr(known, key) for key in OPEN if getattr(config.recipe, key) is None}
    search = config.search
    if stored is not None:  # another version may have other defaults
        unsaid = {key for key in ("sampler", "startup_trials") if key not in search.model_fields_set}
        search = search.model_copy(update={key: getattr(stored[0].search, key) for key in unsaid})
    return config.model_copy(update={"search": search, "recipe": config.recipe.model_copy(update=chosen)})


def planned_trials(study: str | Path | StudyConfig, *, storage: str | None = None) -> int:
    """Return how many trials ``run_study`` would run by itself."""
    config, _ = resolve_study(study)
    try:
        opened = open_study(study, storage=storage)
    except StudyError:
        return config.search.trials
    return missing_trials(config, open_optuna_study(opened.config, opened.storage))


def missing_trials(config: StudyConfig, study: optuna.Study) -> int:
    """Return how many trials the study's definition asks for beyond those that ended or run."""
    trials = study.get_trials(deepcopy=False)
    done = [t for t in trials if not counts_for_nothing(t) and not (t.state is TrialState.RUNNING and owner_is_gone(t))]
    return max(0, config.search.trials - len(done))


def default_storage(directory: Path) -> str:
    """Return the URL of the SQLite database in a study's folder."""
    return URL.create("sqlite", database=str(directory / "study.db")).render_as_string()


def resolve_study(study: str | Path | StudyConfig) -> tuple[StudyConfig, Path]:
    """Return a study's definition and folder: that of a definition made in Python is ``./studies/NAME``."""
    return (study, Path("studies") / study.name) if isinstance(study, StudyConfig) else load_study_config(study)


def _make_folder(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StudyError(f"{directory}: cannot be written: {error.strerror}") from None
