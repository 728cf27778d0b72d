"""What a search may propose: coefficients, the networks that they name, and what those cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from nas.architecture.cost import Cost, count_cost
from nas.architecture.spec import Architecture
from nas.config.search import SearchConfig
from nas.config.study import StudyConfig
from nas.data.sources import Dataset
from nas.records import TrialRecord
from nas.sampling.points import Parameters, all_points

_REMEMBERED = 10_000
"""Networks: those of all points of a space that is searched as a whole, and of some proposals' candidates elsewhere."""


class ImageKind(Protocol):
    """What of the images decides about a network; a data set knows it, and so does a table."""

    @property
    def classes(self) -> Sized:
        """As many as the network tells apart."""

    @property
    def channels(self) -> int:
        """Of an image."""


class Network(NamedTuple):
    """A proposal's network, as far as a sampler needs to know it.

    Attributes:
        digest: Of the network.
        flops: Of one image.
        excess: Largest share of a bound of closed form by which it is missed; 0 where the budget allows the network.
    """

    digest: str
    flops: int
    excess: float

    @property
    def allowed(self) -> bool:
        """Whether the network is within the bounds of closed form."""
        return self.excess <= 0


class Networks:
    """The networks of a study by their parameters, each realised once."""

    def __init__(self, config: StudyConfig, dataset: ImageKind) -> None:
        """Keep what decides about a network."""
        self._search = config.search

        def find(items: tuple[tuple[str, Any], ...]) -> Network:
            architecture = architecture_of(config.search, dict(items), dataset)
            cost = count_cost(architecture)
            excess = max(0.0, *config.budget.violations(cost).values(), 0.0)
            return Network(architecture.digest, cost.flops, excess)

        self._find = lru_cache(maxsize=_REMEMBERED)(find)
        self._known = dict[tuple[tuple[str, Any], ...], Network]()

    def __call__(self, parameters: Mapping[str, Any]) -> Network:
        """Return the network of some parameters."""
        items = tuple(sorted(parameters.items()))
        return self._known.get(items) or self._find(items)

    def remember(self, trials: Iterable[FrozenTrial], records: Mapping[int, TrialRecord]) -> None:
        """Take over the networks of trials, given their records by number, so that they are not realised again."""
        for trial in trials:
            if (record := records.get(trial.number)) is not None:
                missed = [value for key, value in trial.constraints.items() if not key.startswith("latency")]
                known = Network(record.digest, record.flops, max(0.0, *missed, 0.0))
                self._known[tuple(sorted(trial.params.items()))] = known

    def everything(self) -> frozenset[str] | None:
        """Return the digests of all networks within the bounds, or None where nobody can tell.

        That is where there are too many points to try them, or where a sampler proposes a network twice.
        """
        points = all_points(distributions(self._search)) if self._search.sampler == "pareto" else None
        if points is None:
            return None
        return frozenset(network.digest for network in map(self, points) if network.allowed)


def distributions(search: SearchConfig) -> dict[str, BaseDistribution]:
    """Return every parameter that a search leaves open; those of one value are none."""
    names = [space.name for space in search.spaces]
    width, depth, pixels = search.width, search.depth, search.resolution
    dimensions = {key: values for name in names for key, values in search.dimensions(name).items()}
    found: dict[str, BaseDistribution] = {
        "space": CategoricalDistribution(names),
        "width": FloatDistribution(width.min, width.max, step=width.step),
        "depth": FloatDistribution(depth.min, depth.max, step=depth.step),
        "resolution": IntDistribution(pixels.min, pixels.max, step=pixels.step),
        **{key: CategoricalDistribution(values) for key, values in dimensions.items()},
    }
    return {name: distribution for name, distribution in found.items() if not distribution.single()}


def all_proposals(search: SearchConfig, *, limit: int) -> list[Parameters] | None:
    """Return every proposal of a search once, or None where there are more than ``limit``.

    Each names its space, and of the choices only those that the space has; parameters of one value are left out.
    """
    found: list[Parameters] = []
    for space in search.spaces:
        points = all_points(distributions(search.model_copy(update={"spaces": (space,)})), limit=limit - len(found))
        if points is None:
            return None
        found += [{"space": space.name, **parameters} for parameters in points]
    return found


def architecture_of(search: SearchConfig, parameters: Mapping[str, Any], dataset: ImageKind) -> Architecture:
    """Return the network of parameters; those of one value may be left out, and those of other spaces are."""
    space = str(parameters.get("space", search.spaces[0].name))
    choices = {key: parameters.get(key, values[0]) for key, values in search.dimensions(space).items()}
    chosen = search.space(space).choose(**choices) if choices else search.space(space)
    return chosen.architecture(
        width=parameters.get("width", search.width.min),
        depth=parameters.get("depth", search.depth.min),
        resolution=parameters.get("resolution", search.resolution.min),
        num_classes=len(dataset.classes),
        in_channels=dataset.channels,
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed network: where it comes from, what it is, what it costs."""

    record: TrialRecord
    architecture: Architecture
    cost: Cost


def propose(trial: optuna.trial.BaseTrial, search: SearchConfig, dataset: Dataset) -> Candidate:
    """Ask Optuna for coefficients and realise the network they name."""
    names = [space.name for space in search.spaces]
    space = str(trial.suggest_categorical("space", names)) if len(names) > 1 else names[0]
    width = trial.suggest_float("width", search.width.min, search.width.max, step=search.width.step)
    depth = trial.suggest_float("depth", search.depth.min, search.depth.max, step=search.depth.step)
    pixels = search.resolution
    resolution = trial.suggest_int("resolution", pixels.min, pixels.max, step=pixels.step)
    choices = {
        key: trial.suggest_categorical(key, values) if len(values) > 1 else values[0]
        for key, values in search.dimensions(space).items()
    }
    return realise(
        search, trial.number, dataset, space=space, width=width, depth=depth, resolution=resolution, choices=choices
    )


def realise(
    search: SearchConfig,
    number: int,
    dataset: Dataset,
    *,
    space: str,
    width: float,
    depth: float,
    resolution: int,
    choices: Mapping[str, Any] | None = None,
) -> Candidate:
    """Return the network of a space at coefficients and choices, with its cost."""
    parameters = {"space": space, "width": width, "depth": depth, "resolution": resolution, **(choices or {})}
    architecture = architecture_of(search, parameters, dataset)
    cost = count_cost(architecture)
    record = TrialRecord(
        number=number,
        space=space,
        width=width,
        depth=depth,
        resolution=resolution,
        digest=architecture.digest,
        flops=cost.flops,
        params=cost.params,
        activations=cost.activations,
        choices=dict(choices or {}),
    )
    return Candidate(record, architecture, cost)
