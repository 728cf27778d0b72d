"""Run a study, or continue it: what must hold before anything is proposed, and who does the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch

from nas.config.study import StudyConfig, earlier_ways, idle_keys
from nas.data.sources import Dataset
from nas.errors import ConfigError, StudyError
from nas.executors.inline import Inline
from nas.executors.known import Known
from nas.executors.processes import Processes
from nas.executors.ray import Ray
from nas.executors.task import Executor
from nas.models.device import describe_device, devices_of
from nas.processes.interrupts import Interrupts
from nas.search.alike import TrainedElsewhere
from nas.search.bounds import require_hands, require_memory, require_rungs, require_satisfiable
from nas.search.opening import Named, find_study
from nas.search.priors import prior_note, with_prior
from nas.search.run.clock import HandClock
from nas.search.run.coordinator import Coordinator
from nas.search.run.events import Event, ImagesLoaded, Noted
from nas.search.run.lease import Lease
from nas.search.run.limits import ENDLESS, make_limits
from nas.search.run.shelf import Shelf, place_of, require_writable, trace
from nas.search.seconds import Forecast
from nas.search.sharing import sharing_of
from nas.search.storage.database import retry_creation
from nas.search.storage.outage import Patience
from nas.search.storage.seconds import read_seconds
from nas.search.study import Study
from nas.search.teachers import with_teachers
from nas.training.preparing import flips, mirror_note, require_batch

ExecutorName: TypeAlias = Literal["processes", "inline", "ray"]
EXECUTORS: tuple[ExecutorName, ...] = get_args(ExecutorName)
"""Where trainings may run."""


def run_study(
    study: Named,
    *,
    trials: int | None = None,
    workers: int = 1,
    device: str = "auto",
    storage: str | None = None,
    until: Literal["stagnant"] | None = None,
    max_hours: float | None = None,
    max_gpu_hours: float | None = None,
    share_gpu: bool = False,
    executor: ExecutorName | None = None,
    address: str | None = None,
    checkpoints: str | None = None,
    patience: float = 3600.0,
    on_event: Callable[[Event], None] | None = None,
) -> Study:
    """Run a study, or continue it.

    Args:
        study: A study file, the name of a shipped study, a definition (its folder is ``./studies/NAME``), or an opened
            study.
        trials: Number of further trials; default: as many as the study still needs or, with ``until``, no limit.
        workers: Number of trainings at the same time.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. ``auto`` spreads the workers over all GPUs.
        storage: Database URL; default: an SQLite database in the study's folder.
        until: ``stagnant`` makes no new proposals once the last third of the compute has added less than 1 % to the
            hypervolume of the front (``nas/fronts/growth.py``). Paused trainings that are among the best still
            continue.
        max_hours: Start nothing that is likely to end after this many hours. Default: no limit.
        max_gpu_hours: The same for the hours that all trainings of this run take together.
        share_gpu: Whether the workers of a GPU share one process, so that it does their work at once and not in turns.
        executor: ``processes`` trains in processes of their own, also where there is one, so that a crash ends one
            training and not the search; ``inline`` in this one, for debugging; ``ray`` on a cluster (extra
            ``cluster``). Default: what the environment variable ``NAS_EXECUTOR`` says, and else ``processes``.
        address: Of the Ray cluster: ``auto`` (the one this machine belongs to), ``HOST:PORT`` or ``ray://HOST:PORT``.
        checkpoints: Folder, or URL that fsspec reaches, for the checkpoints of trainings. Trained weights come from
            there into the study's folder. Default: the study's folder.
        patience: How many seconds a database that does not answer is waited for.
        on_event: Called with each event, such as a finished epoch or trial.

    Returns:
        The study.

    Raises:
        UserError: The study, budget, data, device, memory or database does not allow a search.
        NasError: Several trainings in a row failed, or all that were made.
        KeyboardInterrupt: You pressed Ctrl-C. Trainings are saved; run the study again to continue.
        Exception: Whatever ``on_event`` raises; trainings are saved.
    """
    limits = make_limits(until=until, max_hours=max_hours, max_gpu_hours=max_gpu_hours)
    chosen = _executor_name(executor, workers, address, share_gpu=share_gpu)
    emit = on_event or (lambda event: None)
    given = find_study(study, storage=storage)
    found = given.as_begun()
    # on a cluster Ray chooses; here no more is done than on a CPU
    devices = [torch.device("cpu")] if chosen == "ray" else devices_of(device, workers)
    elsewhere = place_of(checkpoints)
    require_writable(elsewhere)
    interrupted = Interrupts()
    if chosen == "ray":
        hands = _cluster(found, workers, address=address, device=device, folder=elsewhere, stop=interrupted)
    else:
        hands = _hands(chosen, found, devices, interrupted, share_gpu=share_gpu)
    with closing(hands):
        if trials != 0:
            hands.prepare(workers if trials is None else min(workers, trials))
        _require_possible(found, list(dict.fromkeys(devices)) if share_gpu else devices)
        _make_folder(found.directory)
        found.database.prepare()
        waiting = Patience(patience, note=lambda line: emit(Noted(line)), interrupted=interrupted)
        with found.database.errors():
            begun = _open(found, given, emit, waiting)
            clock = HandClock(workers)
            rows = Lease(begun.database, begun.name, hands=workers, patience=waiting, waited=clock.waited)
            shelf = Shelf(begun.weights_folder().absolute(), elsewhere and f"{elsewhere}/{begun.name}")
            with rows as lease, interrupted:
                build = partial(
                    Coordinator,
                    begun,
                    _knowing(hands, begun, waiting) if begun.config.search.plan else hands,
                    lease=lease,
                    devices=devices,
                    trials=ENDLESS if trials is None and until else trials,
                    limits=limits,
                    forecast=_forecast(begun, [] if chosen == "ray" else devices, waiting),
                    emit=emit,
                    patience=waiting,
                    interrupted=interrupted,
                    clock=clock,
                    shelf=shelf,
                )
                waiting(build).run()
    return begun


def _knowing(hands: Executor, study: Study, waiting: Patience) -> Executor:
    """Return hands that make no training which another study of the database has made."""
    elsewhere = waiting(lambda: TrainedElsewhere(study))
    return Known(hands, lambda task: waiting(lambda: elsewhere(task)))


def _forecast(study: Study, devices: Sequence[torch.device], waiting: Patience) -> Forecast:
    """Return what tells how long trainings take on devices; on a cluster nothing is known of them, hence none."""
    if not devices:
        return Forecast()
    checked = waiting(partial(read_seconds, study.database.engine, study.name))
    return Forecast(frozenset(map(describe_device, devices)), tuple(checked))


def _open(found: Study, given: Study, emit: Callable[[Event], None], waiting: Patience) -> Study:
    """Write a study's definition or compare it with the one written, and tell what there is to tell of its images."""
    begun, told = waiting(lambda: _begin(found))
    emit(ImagesLoaded(begun.dataset))
    if note := mirror_note(given.config.data, begun.dataset, given.config.recipe):
        told.append(note)
    told += [*idle_keys(given.config), *filter(None, [prior_note(begun.config)])]
    if ways := earlier_ways(given.config, begun.config):
        told.append(f"this study goes on as it began: {'; '.join(ways)}")
    for line in told:
        emit(Noted(line))
    return begun


def _executor_name(given: str | None, workers: int, address: str | None, *, share_gpu: bool) -> str:
    """Return where to train.

    Raises:
        ConfigError: There is no such executor, it has not so many hands, or it has other ways to share GPUs.
    """
    name = given or os.environ.get("NAS_EXECUTOR") or "processes"
    if name not in EXECUTORS:
        raise ConfigError(f"--executor: unknown executor {name!r}; known: {', '.join(EXECUTORS)}")
    if name == "inline" and workers > 1 and given is not None:
        raise ConfigError(f"--executor inline trains one network at a time, but --workers is {workers}")
    if address is not None and name != "ray":
        raise ConfigError(f"--address is for --executor ray, but the executor is {name}")
    name = "processes" if name == "inline" and workers > 1 else name
    if share_gpu and name != "processes":
        raise ConfigError(f"--share-gpu is for --executor processes, but the executor is {name}")
    return name


def _hands(
    name: str, study: Study, devices: Sequence[torch.device], stop: Callable[[], bool], *, share_gpu: bool
) -> Executor:
    """Return what trains on this machine."""
    if name == "inline":
        return Inline(lambda: study.dataset, device=devices[0], stop=stop)
    sharing = sharing_of(study.config, lambda: study.dataset, devices, wanted=share_gpu)
    named = [str(device) for device in devices]
    return Processes(study.config.data, lambda: study.dataset, devices=named, sharing=sharing)


def _cluster(
    study: Study, workers: int, *, address: str | None, device: str, folder: str | None, stop: Callable[[], bool]
) -> Executor:
    """Return what trains on a cluster, whose nodes must see the folder of the checkpoints."""
    data = study.config.data.relative_to(Path.cwd())  # nodes have another working directory
    return Ray(
        data,
        lambda: study.dataset,
        hands=workers,
        address=address or "auto",
        device=device,
        cpus=study.config.recipe.cpu_threads if device == "cpu" else 1,
        seen=lambda: trace(folder or str(study.directory.absolute())),
        stop=stop,
    )


def _require_possible(study: Study, devices: Sequence[torch.device]) -> None:
    """Raise UserError where device, images, budget, memory or halving do not allow the search."""
    require_batch(study.config.recipe, len(study.dataset.train))
    require_satisfiable(study.config, study.dataset)
    require_memory(study.config, study.dataset, devices[0])
    require_hands(study.config, study.dataset, devices)
    require_rungs(study.config, study.dataset)


def _begin(study: Study) -> tuple[Study, list[str]]:
    """Write a study's definition or compare it with the one written, and put right what a killed run left.

    Returns:
        The study as it was begun, and what cannot be told of its images.
    """
    store, dataset, earlier = study.store, study.dataset, study.as_begun()  # another may have begun it just now
    config = with_prior(earlier.config, study.database, study.directory)
    config = with_teachers(config, dataset, study.database, study.directory)
    if earlier is study:
        config = _complete(config, dataset)
    labels, images = dataset.validation.labels, dataset.identity
    told = retry_creation(lambda: store.register(config, images=images, val_labels=labels, notes=dataset.notes))
    begun = study.settled(config, dataset.fingerprint)
    retry_creation(begun.optuna)
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
