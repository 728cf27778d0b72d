"""Open, run and continue studies."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import optuna
from optuna.trial import TrialState
from sqlalchemy.engine import URL

from nas.architecture.spec import Architecture
from nas.config import StudyConfig, load_study_config
from nas.data.sources import Dataset, load_data
from nas.errors import NasError, StudyError
from nas.models.backends import Latency
from nas.models.device import resolve_device
from nas.search.abandoned import release_abandoned
from nas.search.bounds import require_memory, require_rungs, require_satisfiable
from nas.search.database import (
    database_errors,
    engine_options,
    parse_storage,
    prepare_database,
    retry_creation,
    without_password,
)
from nas.search.disk import prune_checkpoints
from nas.search.events import Event, ImagesLoaded, NothingLeft, RepeatFinished, Stagnant, TimeIsUp, TrialFinished
from nas.search.later import claim_paused, claim_repeat, go_on
from nas.search.limits import ENDLESS, Limits, make_limits
from nas.search.noise import images_behind
from nas.search.objective import Objective
from nas.search.progress import Ended, Growth, read_ended, read_growth, stagnation
from nas.search.proposals import Networks, distributions
from nas.search.sampler import (
    PROMOTED,
    counts_for_nothing,
    make_sampler,
    owner_is_gone,
    was_interrupted,
)
from nas.search.store import Purpose, Repeat, Store, TrialRecord
from nas.search.trainer import Trainer
from nas.training.recipe import OPEN
from nas.training.result import Epoch

FAILURES_IN_A_ROW = 3
"""A search stops after so many: the next would fail too."""


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
            hypervolume of the front (``nas/search/progress.py``); paused trainings that deserve it still go on.
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
            from nas.search.workers import run_workers

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


def run_trials(
    config: StudyConfig,
    directory: Path,
    storage: str,
    dataset: Dataset,
    *,
    tickets: Iterable[object],
    device: str,
    limits: Limits,
    on_event: Callable[[Event], None] | None,
) -> None:
    """Run one trial per ticket in this process.

    Raises:
        NasError: Several trials in a row failed.
        StudyError: What a trial made cannot be written.
    """
    emit, store = on_event or (lambda event: None), Store(storage, config.name)
    trainer = Trainer(
        config,
        dataset,
        store,
        weights=weights_folder(store, directory),
        device=resolve_device(device),
        emit=emit,
    )
    networks = Networks(config, dataset)
    startup = config.search.startup_trials
    everything = networks.all_allowed(distributions(config.search)) if config.search.sampler == "pareto" else None
    sampler = make_sampler(config.search, networks, partial=trainer.partial_accuracies if trainer.rungs else None)
    optuna_study = open_optuna_study(config, storage, sampler=sampler)
    objective = Objective(config, dataset, store, trainer)
    waiting = iter(tickets)
    while not limits.time_is_up():
        paused = claim_paused(config, store, rungs=trainer.rungs)
        if paused is not None:
            emit(TrialFinished(go_on(paused, optuna_study, store, trainer), went_on=True))
        elif everything is not None and everything <= store.proposed():
            emit(NothingLeft(len(everything)))
            break
        elif limits.until_stagnant and (reason := stagnation(store, optuna_study, startup_trials=startup)) is not None:
            emit(Stagnant(reason))
            break
        elif next(waiting, None) is None:
            break
        else:
            _propose(optuna_study, objective, store, emit)
    _repeat_trainings(config, store, trainer, emit, val_images=len(dataset.validation), limits=limits)


def _repeat_trainings(
    config: StudyConfig,
    store: Store,
    trainer: Trainer,
    emit: Callable[[Event], None],
    *,
    val_images: int,
    limits: Limits,
) -> None:
    """Make the further trainings that a study asks for."""
    failures = 0
    while not limits.time_is_up():
        claimed = claim_repeat(config, store, val_images=val_images)
        if claimed is None:
            return
        trial, repeat = claimed
        done = trainer.repeat(trial, store.architecture(trial.digest), repeat)
        emit(RepeatFinished(trial, done))
        failures = failures + 1 if done.state == "failed" else 0
        if failures == FAILURES_IN_A_ROW:
            raise NasError(f"{failures} further trainings in a row failed, the last with: {done.error}")
    emit(TimeIsUp(f"time is up after {limits.hours:g} h: nothing new begins"))


def _propose(study: optuna.Study, objective: Objective, store: Store, emit: Callable[[Event], None]) -> None:
    study.optimize(objective, n_trials=1, catch=(Exception,))
    if objective.stopped is not None:
        raise objective.stopped
    if objective.finished is not None:
        emit(TrialFinished(objective.finished))  # only now: what a listener raises cannot undo the trial
    trials = [trial for trial in study.get_trials(deepcopy=False) if PROMOTED not in trial.user_attrs]
    last = trials[-FAILURES_IN_A_ROW:]
    if len(last) == FAILURES_IN_A_ROW and all(t.state is TrialState.FAIL and not was_interrupted(t) for t in last):
        errors = {record.number: record.error for record in store.trials()}
        raise NasError(f"{FAILURES_IN_A_ROW} trials in a row failed, the last with: {errors[last[-1].number]}")


def open_optuna_study(
    config: StudyConfig, storage: str, *, sampler: optuna.samplers.BaseSampler | None = None
) -> optuna.Study:
    """Open or create the Optuna study: accuracy up, FLOPs down; without a sampler, to look at it.

    Raises:
        StudyError: The database was written by a version of Optuna that this one cannot read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of heartbeats
            backend = optuna.storages.RDBStorage(
                storage, engine_kwargs=engine_options(storage), heartbeat_interval=30, grace_period=180
            )
    except RuntimeError as error:
        raise StudyError(f"{without_password(storage)}: {' '.join(str(error).split())}") from None
    return optuna.create_study(
        study_name=config.name,
        storage=backend,
        directions=["maximize", "minimize"],
        sampler=sampler,
        load_if_exists=True,
    )


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


def weights_folder(store: Store, directory: Path) -> Path:
    """Return where weights lie: apart for each definition, which another database may hold under the same name."""
    return directory / "weights" / store.definition_digest()


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
