"""Latency beside FLOPs: where the two orders disagree, and the front re-ranked by what users wait for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import NamedTuple

from nas.analysis.pareto import pareto_front
from nas.errors import MeasurementError, StudyError
from nas.models.backends import Backend, Latency
from nas.records import TrialRecord
from nas.search.study import Study


class Timed(NamedTuple):
    """A network with its cost and its measured time."""

    name: str
    flops: int
    latency: Latency


class SwappedPair(NamedTuple):
    """Two networks of which the one with fewer FLOPs takes longer.

    Attributes:
        fewer_flops: Name of the one with fewer FLOPs.
        faster: Name of the other.
        within_noise: Whether the ranges from the tenth to the ninetieth percentile overlap.
    """

    fewer_flops: str
    faster: str
    within_noise: bool


class Orders(NamedTuple):
    """How far the order by FLOPs is that by latency.

    Attributes:
        tau: Kendall's rank correlation (tau-b), 1 for the same order and -1 for the reverse; None below two networks,
            and where all FLOPs or all latencies are equal.
        pairs: Number of pairs.
        swapped: The pairs whose orders differ.
    """

    tau: float | None
    pairs: int
    swapped: tuple[SwappedPair, ...]


class RankedTrial(NamedTuple):
    """A member of the front by accuracy and FLOPs, ranked by latency.

    Attributes:
        trial: The member.
        latency: Of its network.
        flops_rank: Its place by FLOPs, from 1.
        latency_rank: Its place by median latency, from 1.
        beaten_by: Number of a trial that is at least as accurate and faster beyond the spread: its ninetieth percentile
            is below the tenth of this one. None for the front by latency.
        level_with: Number of a trial that is at least as accurate and has a lower median, but within the spread; None
            where there is none or this one is beaten.
        accuracy: To expect of it, in 0 to 1 (``FrontPoint.shrunk_accuracy``).
    """

    trial: TrialRecord
    latency: Latency
    flops_rank: int
    latency_rank: int
    beaten_by: int | None
    accuracy: float
    level_with: int | None = None


class FrontLatency(NamedTuple):
    """The front of a study by latency, fastest first, and how its order disagrees with that of FLOPs.

    Attributes:
        study: Its name.
        ranked: The members.
        orders: Of FLOPs and latency.
        earlier: Numbers of trials whose figures are those of an earlier, calm measurement, because other programs
            disturbed the present one.
    """

    study: str
    ranked: tuple[RankedTrial, ...]
    orders: Orders
    earlier: tuple[int, ...] = ()


def compare_orders(networks: Iterable[Timed]) -> Orders:
    """Compare the order of networks by FLOPs with that by median latency."""
    from scipy.stats import kendalltau

    timed = sorted(networks, key=lambda network: (network.flops, network.latency.median_ms))
    swapped = [
        SwappedPair(a.name, b.name, a.latency.p10_ms <= b.latency.p90_ms)
        for a, b in combinations(timed, 2)
        if a.flops < b.flops and a.latency.median_ms > b.latency.median_ms
    ]
    tau = math.nan
    if len(timed) > 1:
        tau = float(kendalltau([n.flops for n in timed], [n.latency.median_ms for n in timed]).statistic)
    return Orders(None if math.isnan(tau) else tau, math.comb(len(timed), 2), tuple(swapped))


def measure_front(
    study: Study,
    *,
    device: str = "auto",
    backend: Backend = "eager",
    batch: int = 1,
    threads: int = 1,
    on_start: Callable[[TrialRecord], None] | None = None,
) -> FrontLatency:
    """Measure the networks of a study's front and keep the measurements in its database.

    Args:
        study: A study that has been run.
        device: As for ``measure_latency``, likewise the next three.
        backend: How the networks are run.
        batch: Images in a batch.
        threads: Of the CPU within one operator.
        on_start: Called with each trial before its network is measured.

    Raises:
        StudyError: The front is empty.
        MeasurementError: The backend does not run here; what was measured before is kept.
    """
    from nas.models.latency import measure_latency  # loads torch, for those who measure

    front = pareto_front(study)
    if not front:
        raise StudyError(f"study {study.name!r} has no trained network yet")
    measured = []
    for trial in front:
        if on_start is not None:
            on_start(trial)
        found = measure_latency(
            study.architecture(trial), device=device, backends=(backend,), batches=(batch,), threads=threads
        )
        if found.failures:
            raise MeasurementError(f"{backend} could not be measured: {found.failures[0].reason}")
        study.add_latency(trial, found.latencies[0])
        measured.append((trial, found.latencies[0]))
    known = study.latencies()
    best = [(trial, _best(known[trial.digest], like=latency)) for trial, latency in measured]
    earlier = [trial.number for trial, latency in best if not latency.noisy and (trial, latency) not in measured]
    return _ranked(study, best)._replace(earlier=tuple(earlier))


def _best(known: list[Latency], *, like: Latency) -> Latency:
    """Return the newest measurement in a setting, of a calm machine if there is one."""
    return next(old for old in known if old.setting == like.setting)


def stored_front_latency(study: Study) -> FrontLatency | None:
    """Return the newest complete measurement of a study's front from its database, or None where there is none."""
    measured = study.latencies()
    latencies = [(trial, measured.get(trial.digest, [])) for trial in pareto_front(study)]
    if not latencies:
        return None
    for setting in dict.fromkeys(latency.setting for latency in latencies[0][1]):
        found = [(trial, _first(known, setting)) for trial, known in latencies]
        complete = [(trial, latency) for trial, latency in found if latency is not None]
        if len(complete) == len(latencies):
            return _ranked(study, complete)
    return None


def _first(known: list[Latency], setting: tuple[object, ...]) -> Latency | None:
    return next((old for old in known if old.setting == setting), None)


def _ranked(study: Study, measured: list[tuple[TrialRecord, Latency]]) -> FrontLatency:
    """Rank the members of a front, given cheapest first."""
    flops_rank = {trial.number: rank for rank, (trial, _) in enumerate(measured, start=1)}
    ranked: list[RankedTrial] = []
    means = {one.network.trial: one.network.shrunk for one in study.judgement().networks}
    by_latency = sorted(measured, key=lambda entry: (entry[1].median_ms, -means[entry[0]]))
    for rank, (trial, latency) in enumerate(by_latency, start=1):
        rivals = sorted((r for r in ranked if r.accuracy >= means[trial]), key=lambda r: -r.accuracy)
        beaten_by = next((r.trial.number for r in rivals if r.latency.p90_ms < latency.p10_ms), None)
        level_with = rivals[0].trial.number if rivals and beaten_by is None else None
        place = flops_rank[trial.number], rank
        ranked.append(RankedTrial(trial, latency, *place, beaten_by, means[trial], level_with))
    timed = [Timed(f"#{trial.number}", trial.flops, latency) for trial, latency in measured]
    return FrontLatency(study.name, tuple(ranked), compare_orders(timed))
