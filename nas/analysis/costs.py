"""What accuracy may be held against: costs that follow from a network, and those that were measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nas.analysis.pareto import NoisyFront, front_of
from nas.architecture.cost import BYTES_PER_ELEMENT, count_cost
from nas.config.budget import METRICS, write_metric
from nas.errors import ConfigError, StudyError
from nas.fronts.judged import Judgement
from nas.models.backends import Latency
from nas.records import Purpose, TrialRecord
from nas.schema import did_you_mean, shortened
from nas.search.study import Study
from nas.units import format_seconds

_PURPOSES: tuple[Purpose, ...] = ("front", "budget")
_LABELS = {
    "flops": "FLOPs",
    "params": "parameters",
    "weight_bytes": "bytes of the weights",
    "peak_memory": "peak memory",
}
_SHORT = {"latency": "latency_ms", "memory": "peak_memory", "time": "train_seconds", "weights": "weight_bytes"}
"""Words for costs that are accepted too."""


@dataclass(frozen=True, slots=True)
class StudyCost:
    """A cost that accuracy may be held against.

    Attributes:
        name: Such as ``latency_ms``; with ``budget`` the same.
        label: What people call it, for the axis of a plot.
        unit: ``bytes``, ``ms``, ``s``, or empty for counts.
        write: Writes a value with its unit.
    """

    name: str
    label: str
    unit: str
    write: Callable[[float], str]


def _counted(name: str) -> StudyCost:
    unit = "bytes" if name in ("weight_bytes", "peak_memory") else ""
    return StudyCost(name, _LABELS.get(name, name), unit, write_metric(name))  # type: ignore[arg-type]  # one of METRICS


COSTS: dict[str, StudyCost] = {
    **{name: _counted(name) for name in METRICS},
    "latency_ms": StudyCost("latency_ms", "latency", "ms", lambda value: f"{value:.3g} ms"),
    "train_seconds": StudyCost("train_seconds", "training time", "s", format_seconds),
}
"""By name: what a budget may bound, and the time of a training."""


@dataclass(frozen=True, slots=True)
class Costed:
    """A cost of the trained networks of a study.

    Attributes:
        cost: Which.
        values: By the numbers of their trials, in the unit of the cost.
        notes: How it was measured and what is left out, each in one sentence.
    """

    cost: StudyCost
    values: Mapping[int, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CostFront(NoisyFront):
    """The front over some cost, by the same expected accuracies as the one over FLOPs.

    Attributes:
        costed: The cost of the networks, which are in its order; a network without one is left out.
    """

    costed: Costed

    def value(self, trial: TrialRecord) -> float:
        """Return the cost of a network of the front or off it."""
        return self.costed.values[trial.number]


def cost_named(name: str) -> StudyCost:
    """Return a cost by its name or a short word for it.

    Raises:
        ConfigError: There is none of that name.
    """
    known = _SHORT.get(name, name)
    if known not in COSTS:
        raise ConfigError(f"accuracy cannot be held against {shortened(name)}{did_you_mean(name, COSTS)}")
    return COSTS[known]


def cost_values(study: Study, against: str) -> dict[int, float]:
    """Return a cost of the trained networks of a study, by the numbers of their trials.

    Args:
        study: A study that has been run.
        against: One of ``COSTS``.

    Raises:
        ConfigError: There is no such cost.
        StudyError: It was measured of no network; the message says how to measure it.
    """
    return dict(costed(study, against, _networks(study)).values)


def front_against(study: Study, against: str, *, max_flops: int | None = None) -> CostFront:
    """Return the front of accuracy over a cost.

    The accuracies to expect are those of the front over FLOPs; which networks no other beats is found anew.

    Args:
        study: A study that has been run.
        against: One of ``COSTS``.
        max_flops: Networks of more FLOPs are left out.

    Raises:
        ConfigError: There is no such cost.
        StudyError: It was measured of no network; the message says how to measure it.
    """
    return judged_against(study, study.judgement(), against, max_flops=max_flops)


def judged_against(study: Study, judgement: Judgement, against: str, *, max_flops: int | None = None) -> CostFront:
    """Return the front of accuracy over a cost, as ``front_against`` does, where the networks have been judged."""
    networks = [one.network.trial for one in judgement.networks]
    within = [trial for trial in networks if max_flops is None or trial.flops <= max_flops]
    found = costed(study, against, within)
    same = found.cost.name == "flops" and len(within) == len(networks)
    front = front_of(judgement if same else judgement.over(found.values))
    return CostFront(front.points, front.others, front.noise, found)


def costed(study: Study, against: str, networks: list[TrialRecord]) -> Costed:
    """Return a cost of some networks, how it was measured, and of how many of them it is not known.

    Raises:
        ConfigError: There is no such cost.
        StudyError: It was measured of none of them; the message says how to measure it.
    """
    cost = cost_named(against)
    if cost.name == "latency_ms":
        return _latency(study, cost, networks)
    known = {trial.number: _value(study, cost.name, trial) for trial in networks}
    values = {number: value for number, value in known.items() if value}  # a time may not have been kept
    if known and not values:
        raise StudyError(f"no {cost.label} of study {study.name!r} is known; it is measured while networks are trained")
    devices = {trial.device or "an unknown device" for trial in networks}
    mixed = cost.name == "train_seconds" and len(devices) > 1
    notes = [f"Trained on several devices, whose times differ: {', '.join(sorted(devices))}."] if mixed else []
    return Costed(cost, values, (*notes, *_left_out(len(values), len(known), cost)))


def _networks(study: Study) -> list[TrialRecord]:
    return [one.network.trial for one in study.judgement().networks]


def _value(study: Study, name: str, trial: TrialRecord) -> float | None:
    if name == "peak_memory":
        return count_cost(study.architecture(trial)).peak_memory
    if name == "weight_bytes":
        return BYTES_PER_ELEMENT * trial.params
    value: float | None = getattr(trial, name)
    return value


def _latency(study: Study, cost: StudyCost, networks: list[TrialRecord]) -> Costed:
    """Return the latencies of the setting in which most networks were measured; of equals, the newest for the front."""
    best, latency = dict[int, float](), None
    for purpose in _PURPOSES:
        known = study.latencies(purpose=purpose)
        settings = dict[tuple[object, ...], Latency]()
        for one in (one for found in known.values() for one in found):
            settings.setdefault(one.setting, one)
        for setting, one in settings.items():
            medians = {trial.number: _median(known.get(trial.digest, []), setting) for trial in networks}
            values = {number: median for number, median in medians.items() if median is not None}
            if len(values) > len(best):
                best, latency = values, one
    if latency is None:
        raise StudyError(
            f"no latency of study {study.name!r} was measured; to measure that of its front: nas latency {study.typed}"
        )
    notes = [f"Latency: {latency.backend}, batch {latency.batch}, {_where(latency)}."]
    return Costed(cost, best, (*notes, *_left_out(len(best), len(networks), cost)))


def _left_out(known: int, networks: int, cost: StudyCost) -> list[str]:
    return [f"{known} of {networks} networks have a {cost.label}; the others are left out."] if known < networks else []


def _median(known: list[Latency], setting: tuple[object, ...]) -> float | None:
    return next((one.median_ms for one in known if one.setting == setting), None)


def _where(latency: Latency) -> str:
    threads = f"{latency.threads} thread{'s' * (latency.threads != 1)}"
    return f"{latency.device}, {threads}{', on a busy machine' * latency.noisy}"
