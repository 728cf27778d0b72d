"""The scaling lab as functions: each trains what it lacks, as a scaling study beside yours, and returns the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from nas.architecture.point import Point
from nas.scaling.costs import cost_kind
from nas.scaling.rules import Rule, scaling_rule
from nas.scaling.simplex import Simplex
from nas.scaling.trust import Trust
from nas.search.lab.compare import Comparison, ask_comparison
from nas.search.lab.data import PARTS, DataAnswer, ask_data
from nas.search.lab.grow import GrownNetwork, ask_budget, parse_budget
from nas.search.lab.shape import Run, ShapeAnswer, ask_doubling, ask_shape
from nas.search.lab.source import Source, open_source
from nas.search.lab.studies import baseline_of
from nas.search.lab.trust import TIMES, ask_trust
from nas.search.opening import Named, find_study
from nas.search.run.events import Event
from nas.search.run.start import run_study
from nas.search.study import Study


def prepared(source: Source, run: Run, *, train: bool, device: str = "auto") -> tuple[Source, Run | None]:
    """Return what is asked and what trains for it, or the source as it is and None.

    A study that trains has been begun, so that its scaling studies have its settled recipe and images.
    """
    if not train or source.table is not None:
        return source, None
    if source.opened.was_run():
        return source, run
    return replace(source, study=run_study(source.opened, trials=0, device=device)), run


def runner(*, workers: int = 1, device: str = "auto", on_event: Callable[[Event], None] | None = None) -> Run:
    """Return what runs scaling studies."""

    def run(study: Study) -> Study:
        return run_study(study, workers=workers, device=device, on_event=on_event)

    return run


def scale_shape(
    source: Named,
    baseline: Point | int | None = None,
    *,
    levels: Sequence[float] = (),
    seeds: int = 1,
    cost: str = "flops",
    train: bool = True,
    workers: int = 1,
    device: str = "auto",
    storage: str | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> ShapeAnswer:
    """Find out how a network should grow: the best width, depth and resolution at several costs.

    Args:
        source: A study, or the file of a table of trainings, to which none is added.
        baseline: Network that grows: a point of the space or the number of a trial. Default: of a study one of the
            lower third of its front, of a table one from the middle.
        levels: Multiples of its cost; default: 1, 2 and 4 where something is trained, and else what was tried.
        seeds: Trainings of each network.
        cost: What doubles: ``flops``, ``params`` or ``activations``.
        train: Whether to train what is missing.
        workers: Number of trainings at the same time.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        storage: Database URL; default: an SQLite database in the study's folder.
        on_event: Called with each event of the trainings.

    Raises:
        UserError: The plan cannot be made, or what was trained does not tell.
    """
    with _opened(source, storage) as found:
        grows, run = _baseline(found, baseline), runner(workers=workers, device=device, on_event=on_event)
        asked, trains = prepared(found, run, train=train, device=device)
        return ask_shape(asked, grows, levels=levels, seeds=seeds, kind=cost_kind(cost), run=trains)


def scale_search(
    source: Named,
    baseline: Point | int | None = None,
    *,
    networks: int = 30,
    seeds: int = 1,
    train: bool = True,
    workers: int = 1,
    device: str = "auto",
    storage: str | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Simplex:
    """Find out which shares of twice the FLOPs width, depth and resolution should get: alpha, beta and gamma.

    Args:
        source: As for ``scale_shape``, like all that is not named here.
        baseline: Network that grows.
        networks: Number of networks of twice its FLOPs.
        seeds: Trainings of each.
        train: Whether to train what is missing.
        workers: Number of trainings at the same time.
        device: On which.
        storage: Database URL.
        on_event: Called with each event.

    Raises:
        UserError: There are no such networks, or what was trained does not tell.
    """
    with _opened(source, storage) as found:
        grows, run = _baseline(found, baseline), runner(workers=workers, device=device, on_event=on_event)
        asked, trains = prepared(found, run, train=train, device=device)
        return ask_doubling(asked, grows, networks=networks, seeds=seeds, run=trains)


def scale_compare(
    source: Named,
    rules: Sequence[Rule | str],
    baseline: Point | int | None = None,
    *,
    phis: Sequence[float] = (1, 2, 3),
    seeds: int = 3,
    train: bool = True,
    workers: int = 1,
    device: str = "auto",
    storage: str | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Comparison:
    """Compare scaling rules at matched measured cost, over several seeds.

    Args:
        source: A study, or the file of a table of trainings, to which none is added.
        rules: As ``scaling_rule`` knows them.
        baseline: Network that grows, as for ``scale_shape``.
        phis: Numbers of doublings.
        seeds: Trainings of each network.
        train: Whether to train what is missing.
        workers: Number of trainings at the same time.
        device: On which.
        storage: Database URL.
        on_event: Called with each event.

    Raises:
        UserError: No rule makes a network that the space allows.
    """
    meant = [rule if isinstance(rule, Rule) else scaling_rule(rule) for rule in rules]
    with _opened(source, storage) as found:
        grows, run = _baseline(found, baseline), runner(workers=workers, device=device, on_event=on_event)
        asked, trains = prepared(found, run, train=train, device=device)
        return ask_comparison(asked, grows, meant, phis, seeds=seeds, run=trains)


def scale_trust(
    study: Named,
    *,
    times: Sequence[int] = TIMES,
    networks: int = 16,
    seeds: int = 1,
    workers: int = 1,
    device: str = "auto",
    storage: str | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> list[Trust]:
    """Find out how far a study's short trainings put networks in the order of longer ones.

    Args:
        study: A study that has been run.
        times: Multiples of its epochs.
        networks: Size of the sample.
        seeds: Trainings of each network.
        workers: Number of trainings at the same time.
        device: On which.
        storage: Database URL.
        on_event: Called with each event.

    Raises:
        StudyError: The recipe does not count in epochs, or too few networks were trained.
    """
    with _opened(study, storage) as found:
        run = runner(workers=workers, device=device, on_event=on_event)
        return ask_trust(found, times=times, networks=networks, seeds=seeds, run=run)


def scale_data(
    study: Named,
    *,
    networks: int = 5,
    parts: Sequence[float] = PARTS,
    seeds: int = 1,
    workers: int = 1,
    device: str = "auto",
    storage: str | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> DataAnswer:
    """Find out whether more images or a larger network would bring more.

    Args:
        study: A study that has been run.
        networks: How many of its best are trained, spread over the cost.
        parts: Shares of the training images.
        seeds: Trainings of each.
        workers: Number of trainings at the same time.
        device: On which.
        storage: Database URL.
        on_event: Called with each event.

    Raises:
        UserError: Too few networks were trained, or a part is none.
    """
    with _opened(study, storage) as found:
        run = runner(workers=workers, device=device, on_event=on_event)
        return ask_data(found, networks=networks, parts=parts, seeds=seeds, run=run)


def scale_grow(source: Named, to: str, *, space: str | None = None, storage: str | None = None) -> GrownNetwork:
    """Tell the network to take at a budget that was never tried. Trains nothing.

    Args:
        source: A study that has been run, or the file of a table.
        to: The budget: ``4x`` the FLOPs of the dearest trained network, ``20M`` FLOPs, or ``8h`` of one training.
        space: Family to grow; default: that of the most accurate network.
        storage: Database URL.

    Raises:
        ValueError: ``to`` is no budget.
        StudyError: Nothing was trained of that family, or nothing tells how long networks train.
        ConfigError: The space has no network of that cost.
    """
    with _opened(source, storage) as found:
        return ask_budget(found, parse_budget(to), space=space)


@contextmanager
def _opened(source: Named, storage: str | None) -> Iterator[Source]:
    """Open a source by whatever names it; a study that was opened stays open."""
    if isinstance(source, str | Path):
        with open_source(str(source), storage=storage) as found:
            yield found
    else:
        study = find_study(source, storage=storage).as_begun()
        yield Source(study, None, study.name)


def _baseline(source: Source, baseline: Point | int | None) -> Point:
    if isinstance(baseline, Point):
        return baseline
    if source.table is not None:
        return source.nearest(space=None, width=None, depth=None, resolution=None)
    return baseline_of(source.opened, number=baseline)
