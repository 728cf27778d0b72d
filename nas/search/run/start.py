"""Run a study, or continue it: what must hold before anything is proposed, and who does the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from nas.config.study import StudyConfig, earlier_ways
from nas.data.sources import Dataset
from nas.errors import StudyError
from nas.models.device import resolve_device
from nas.search.bounds import require_memory, require_rungs, require_satisfiable
from nas.search.disk import prune_checkpoints
from nas.search.run.events import Event, ImagesLoaded, Noted
from nas.search.run.limits import ENDLESS, make_limits
from nas.search.run.loop import run_trials
from nas.search.run.pool import run_workers
from nas.search.run.recovery import release_abandoned
from nas.search.storage.database import retry_creation
from nas.search.study import Named, Study, find_study
from nas.training.preparing import flips, mirror_note, require_batch
from nas.training.recipe import without_effect


def run_study(
    study: Named,
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
        study: A study file, the name of a shipped study, a definition (its folder is ``./studies/NAME``), or an opened
            study.
        trials: Number of further trials; default: as many as the study still needs or, with ``until``, no limit.
        workers: Number of processes that train at the same time.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. ``auto`` spreads the workers over all GPUs.
        storage: Database URL; default: an SQLite database in the study's folder.
        until: ``stagnant`` makes no new proposals once the last third of the compute has added less than 1 % to the
            hypervolume of the front (``nas/fronts/growth.py``). Paused trainings that are among the best still
            continue.
        max_hours: Start nothing new after this many hours; running trainings are finished. Default: no limit.
        on_event: Called with each event, such as a finished epoch or trial.

    Returns:
        The study.

    Raises:
        UserError: The study, budget, data, device, memory or database does not allow a search. Nothing was changed.
        NasError: Several trials in a row failed.
        KeyboardInterrupt: You pressed Ctrl-C. Finished trials are kept; run the study again to continue.
    """
    limits = make_limits(until=until, max_hours=max_hours)
    given = find_study(study, storage=storage)
    found = given.as_begun()
    _require_possible(found, device)
    _make_folder(found.directory)
    found.database.prepare()
    with found.database.errors():
        begun, told = _begin(found)
        if on_event is not None:
            on_event(ImagesLoaded(begun.dataset))
            for line in told:
                on_event(Noted(line))
            if note := mirror_note(given.config.data, begun.dataset, given.config.recipe):
                on_event(Noted(note))
            for line in without_effect(given.config.recipe, given.config.recipe.model_fields_set):
                on_event(Noted(line))
            if ways := earlier_ways(given.config, begun.config):
                on_event(Noted(f"this study goes on as it began: {'; '.join(ways)}"))
        count = trials if trials is not None else ENDLESS if until else begun.missing_trials()
        if workers > 1:
            run_workers(begun, trials=count, workers=workers, device=device, limits=limits, on_event=on_event)
        else:
            run_trials(begun, tickets=range(count), device=device, limits=limits, on_event=on_event)
    return begun


def _require_possible(study: Study, device: str) -> None:
    """Raise UserError where device, images, budget, memory or halving do not allow the search."""
    chosen = resolve_device(device)
    require_batch(study.config.recipe, len(study.dataset.train))
    require_satisfiable(study.config, study.dataset)
    require_memory(study.config, study.dataset, chosen)
    require_rungs(study.config, study.dataset)


def _begin(study: Study) -> tuple[Study, list[str]]:
    """Write a study's definition or compare it with the one written, and put right what a killed run left.

    Returns:
        The study as it was begun, and what cannot be told of its images.
    """
    store, dataset = study.store, study.dataset
    config = study.config if study.was_run() else _complete(study.config, dataset)
    labels, images = dataset.validation.labels, dataset.identity
    told = retry_creation(lambda: store.register(config, images=images, val_labels=labels, notes=dataset.notes))
    begun = study.settled(config, dataset.fingerprint)
    release_abandoned(retry_creation(begun.optuna), store)
    prune_checkpoints(begun.weights_folder(), store.trials(), store.repeats())
    return begun, told


def _complete(config: StudyConfig, dataset: Dataset) -> StudyConfig:
    """Return a definition that leaves nothing open that the images decide."""
    recipe = config.recipe.resolved(len(dataset.train))
    return config.model_copy(update={"recipe": recipe.model_copy(update={"flip": flips(dataset, recipe)})})


def _make_folder(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StudyError(f"{directory}: cannot be written: {error.strerror}") from None
