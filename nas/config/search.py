"""The ``search`` section of a study: which networks are proposed, how, how many, and when a training stops early."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from nas.architecture.layers import Activation
from nas.architecture.rows import Whole
from nas.architecture.space import DIMENSIONS, OddInt, Range, ResolutionRange, SearchSpace, load_space
from nas.errors import ConfigError
from nas.schema import Strict

COEFFICIENTS = ("width", "depth", "resolution")

ValueT = TypeVar("ValueT")
OneOrMore: TypeAlias = Annotated[tuple[ValueT, ...], Field(min_length=1), BeforeValidator(lambda given: _listed(given))]
"""A list of values to choose from; a single value fixes the choice."""


def _listed(given: Any) -> Any:
    values = given if isinstance(given, list | tuple) else [given]
    if any(value in values[:index] for index, value in enumerate(values)):
        raise ValueError(f"a value is given twice: {', '.join(map(str, values))}")
    return values


class Halving(Strict):
    """Early stopping by what comes of the others: trainings pause at rungs, and few go on from each.

    At a rung a trial is compared with all that reached it, by FLOPs and validation accuracy there
    (``nas/fronts/halving.py``). Those that pause keep their checkpoint and go on later, should they come to be among
    the best.

    Attributes:
        first: Epochs before the first rung.
        factor: Each rung lies at so many times the epochs of the one before, and one trial in so many goes on from it.
    """

    first: PositiveInt = 3
    factor: int = Field(3, ge=2)

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs after which a training may pause; the last lies within the first half of all."""
        rungs = list[int]()
        while (rung := self.first * self.factor ** len(rungs)) * 2 <= epochs:
            rungs.append(rung)
        return tuple(rungs)

    def require(self, *, epochs: int, trials: int) -> None:
        """Raise ValueError where trainings of so many epochs have no rung, or so few trials would all stop early."""
        rungs = self.rungs(epochs)
        if not rungs:
            raise ValueError(
                f"search.halving.first must be at most half the epochs of a training ({epochs}), but is {self.first}"
            )
        if trials < (least := self.factor ** len(rungs)):
            raise ValueError(
                f"search.halving trains one network in {least} to the end (rungs after epochs"
                f" {', '.join(map(str, rungs))}), so search.trials must be at least {least}, but is {trials}"
            )


class Replicates(Strict):
    """Further trainings of some networks from other seeds, so that luck is told from merit.

    Attributes:
        seeds: Trainings of each, the trial's own among them.
        of: ``front``: the networks that may be on the front, given the noise; ``spread``: networks spread evenly over
            the logarithm of the FLOPs.
        networks: Number of networks at most.
    """

    seeds: int = Field(3, ge=2)
    of: Literal["front", "spread"] = "front"
    networks: PositiveInt = 20


class SearchConfig(Strict):
    """The ``search`` section: which networks are proposed, how, and how many.

    Attributes:
        spaces: Names of shipped search spaces or paths of YAML files; with several, the family is searched too.
        width: Coefficients to search; without it, all that every space allows.
        depth: Likewise.
        resolution: Likewise, in pixels.
        kernel: Sides to choose from for the spatial kernels of every stage, odd; without it, the space's table decides.
            This and the next four are one value for a whole network, and open to the spaces that have them.
        expansion: Ratios of expanded channels; rows of ratio 1 keep it.
        cardinality: Groups of the bottlenecks' middle convolutions; inner channels become a multiple of it.
        activation: Names, of all layers: relu, prelu, leaky_relu, elu, silu, gelu, hardswish.
        squeeze_excitation: true, false or both: whether blocks end in a gate.
        trials: Number of proposals; infeasible and repeated ones count.
        sampler: ``pareto`` (learns accuracy only, since the cost is known, and proposes no network twice nor outside
            the bounds of closed form; ``nas/sampling/pareto.py``), ``tpe`` (multivariate) or ``random``.
        startup_trials: Proposals before it begins to learn: at random for ``tpe``, spread over the cost for ``pareto``,
            where few are enough; give ``tpe`` ten or more.
        seed: Of the proposals and of every trial's training.
        halving: Early stopping; without it every network within the budget is trained to the end.
        replicates: Further trainings once all proposals were made; does not change what is searched.
    """

    spaces: tuple[SearchSpace, ...] = Field(min_length=1)
    width: Range
    depth: Range
    resolution: ResolutionRange
    kernel: OneOrMore[OddInt] | None = None
    expansion: OneOrMore[Whole] | None = None
    cardinality: OneOrMore[Whole] | None = None
    activation: OneOrMore[Activation] | None = None
    squeeze_excitation: OneOrMore[bool] | None = None
    trials: PositiveInt = 50
    sampler: Literal["pareto", "tpe", "random"] = "pareto"
    startup_trials: PositiveInt = 4
    seed: int = 0
    halving: Halving | None = None
    replicates: Replicates | None = None

    @model_validator(mode="before")
    @classmethod
    def _load_spaces(cls, given: Any) -> Any:
        """Load spaces given by name, and fill in the coefficients that all of them allow."""
        if not isinstance(given, dict) or not isinstance(given.get("spaces"), str | list | tuple):
            return given
        named = [given["spaces"]] if isinstance(given["spaces"], str) else given["spaces"]
        spaces = [load_space(item) if isinstance(item, str | Path) else item for item in named]
        spaces = [SearchSpace.model_validate(item) for item in spaces]
        common = {key: _common([getattr(space, key) for space in spaces], key) for key in COEFFICIENTS if spaces}
        return {**common, **given, "spaces": spaces}

    @model_validator(mode="after")
    def _ranges_allowed(self) -> Self:
        names = [space.name for space in self.spaces]
        if len(set(names)) < len(names):
            raise ValueError(f"a space is given twice: {', '.join(names)}")
        for space in self.spaces:
            for end in ("min", "max"):
                space.require_in_range(**{key: getattr(getattr(self, key), end) for key in COEFFICIENTS})
            if self.resolution.min < space.smallest_resolution():
                raise ValueError(
                    f"resolution {self.resolution.min} is too small for the strides of {space.name}, which needs at"
                    f" least {space.smallest_resolution()}"
                )
        return self

    @model_validator(mode="after")
    def _dimensions_apply(self) -> Self:
        for key in DIMENSIONS:
            if getattr(self, key) is not None and not any(key in space.dimensions for space in self.spaces):
                names = ", ".join(space.name for space in self.spaces)
                raise ValueError(f"{key} does not apply to any block of {names}")
        return self

    def dimensions(self, space: str) -> dict[str, tuple[Any, ...]]:
        """Return the dimensions that are open in a space, with the values to choose from."""
        known = self.space(space).dimensions
        return {key: values for key in DIMENSIONS if key in known and (values := getattr(self, key)) is not None}

    def choices(self, space: str) -> Iterator[dict[str, Any]]:
        """Yield every combination of the values that are open in a space."""
        dimensions = self.dimensions(space)
        for values in itertools.product(*dimensions.values()):
            yield dict(zip(dimensions, values, strict=True))

    def space(self, name: str) -> SearchSpace:
        """Return the space of that name."""
        return next(space for space in self.spaces if space.name == name)


def _common(ranges: list[Range], key: str) -> Range:
    """Return the values that all ranges allow."""
    low, high = max(r.min for r in ranges), min(r.max for r in ranges)
    if low > high:
        raise ConfigError(f"the spaces have no {key} in common: {', '.join(map(str, ranges))}; give one space only")
    steps = [r.step for r in ranges if r.step is not None]
    return type(ranges[0])(min=low, max=high, **({"step": max(steps)} if steps else {}))
