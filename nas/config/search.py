"""The ``search`` section of a study: which networks are proposed, how, how many, and when a training stops early."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from nas.architecture.layers import Activation
from nas.architecture.rows import Whole
from nas.architecture.space import COEFFICIENTS, DIMENSIONS, OddInt, Range, ResolutionRange, SearchSpace, load_space
from nas.config.prior import Prior
from nas.errors import ConfigError, UserError
from nas.schema import Strict, shortened, validate, wrong_value

STARTUP_WITH_PRIOR = 2
"""Proposals before the sampler starts to learn, where an earlier study has told it something."""

ValueT = TypeVar("ValueT")
OneOrMore: TypeAlias = Annotated[tuple[ValueT, ...], Field(min_length=1), BeforeValidator(lambda given: _listed(given))]
"""A list of values to choose from; a single value fixes the choice."""


def _listed(given: Any) -> Any:
    values = given if isinstance(given, list | tuple) else [given]
    if any(value in values[:index] for index, value in enumerate(values)):
        raise ValueError(f"a value is given twice: {', '.join(map(str, values))}")
    return values


class Halving(Strict):
    """Early stopping: trainings pause at certain epochs, called rungs, and only the best continue from there.

    At a rung, a trial is compared with all trials that reached it, by FLOPs and by the validation accuracy at that
    epoch (``nas/fronts/halving.py``). A paused trial keeps its checkpoint. It continues later if it is then among the
    best.

    Attributes:
        first: Number of epochs before the first rung; default 3.
        factor: Each rung comes after this many times the epochs of the previous one, and one in this many trials
            continues from it; default 3.
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
    """Further trainings of some networks with other seeds, to tell luck from merit.

    Attributes:
        seeds: Number of trainings of each network, including the trial's own, at most 1,000; default 3.
        of: Which networks: ``front`` for those that may be on the front, given the noise (the default), or ``spread``
            for networks spread evenly over the logarithm of the FLOPs.
        networks: Largest number of networks to train again; default 20.
    """

    seeds: int = Field(3, ge=2, le=1000)
    of: Literal["front", "spread"] = "front"
    networks: PositiveInt = 20


class PlannedNetwork(Strict):
    """A network that is to be trained, by the values of its parameters.

    Attributes:
        space: Name of the search space; default: the first of the study.
        width: Width coefficient.
        depth: Depth coefficient.
        resolution: In pixels.
        kernel: This and the next four: value of a dimension, where the study leaves it open.
    """

    space: str | None = None
    width: PositiveFloat
    depth: PositiveFloat
    resolution: PositiveInt
    kernel: OddInt | None = None
    expansion: Whole | None = None
    cardinality: Whole | None = None
    activation: Activation | None = None
    squeeze_excitation: bool | None = None


class Asked(Strict):
    """What a planned study was to answer, so that it can be answered again from what was trained.

    Attributes:
        baseline: The network that grows; of the space of the plan.
        cost: What doubles.
        levels: Multiples of the baseline's cost at which shapes are compared.
        rules: Rules that are compared, as JSON (``nas/scaling/rules.py``).
        phis: Numbers of doublings at which they are.
    """

    baseline: PlannedNetwork
    cost: str = "flops"
    levels: tuple[PositiveFloat, ...] = ()
    rules: tuple[str, ...] = ()
    phis: tuple[float, ...] = ()


class SearchConfig(Strict):
    """The ``search`` section: which networks are proposed, how, and how many.

    Attributes:
        spaces: Names of shipped search spaces, or paths of YAML files. With several, the search chooses the family too.
        width: Width coefficients to search; default: all values that every space allows.
        depth: Depth coefficients to search; default: all values that every space allows.
        resolution: Resolutions to search, in pixels; default: all values that every space allows.
        kernel: Sizes to choose from for the spatial kernels of every stage, odd. Without it, the space's table decides.
            This and the next four have one value for a whole network, and apply to the spaces that have them.
        expansion: Expansion ratios to choose from; rows of ratio 1 keep it.
        cardinality: Numbers of groups to choose from for the middle convolutions of bottlenecks; inner channels become
            a multiple of it.
        activation: Activations of all layers to choose from: relu, prelu, leaky_relu, elu, silu, gelu, hardswish.
        squeeze_excitation: Whether blocks end in a squeeze-and-excitation gate: true, false, or a list of both.
        trials: Number of proposals, including infeasible and repeated ones; default 50.
        plan: Networks to train, in this order, in place of a search. A plan may grow at its end.
        asked: What ``nas scale`` wants to know from a plan; it decides nothing of what is trained.
        sampler: ``pareto`` (the default) learns the accuracy only, because the cost is known. It proposes no network
            twice, and none outside the bounds that are computed (``nas/sampling/pareto.py``). The others are ``tpe``
            (multivariate) and ``random``. With a ``plan`` it is ``planned``.
        sampler_version: Of ``pareto``: 3 (the default), or 1 or 2, which studies keep that were begun with them.
        prior: An earlier study of the same parameters on other images, which tells the sampler where to begin: its
            name, its file, or a table of ``nas table build``. It is read once, at the first run, and kept as the
            coefficients of a law (``nas/config/prior.py``). Needs version 3 of ``pareto``.
        startup_trials: Number of proposals before the sampler starts to learn; default 4, with a prior 2. They are
            random for ``tpe``, which needs ten or more, and spread over the cost for ``pareto``.
        seed: Random seed of the proposals and of every trial's training; default 0.
        halving: Early stopping. Without it, every network within the budget is trained to the end.
        replicates: Further trainings after all proposals; they do not change what is proposed.
        repeat_by: Which accuracies tell ``replicates`` who may be on the front: ``shrunk`` towards what others of the
            cost have (the default; ``nas/fronts/shrinkage.py``), or the ``raw`` means over seeds, as earlier versions.
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
    plan: tuple[PlannedNetwork, ...] = ()
    asked: Asked | None = None
    sampler: Literal["pareto", "tpe", "random", "planned"] = "pareto"
    sampler_version: Literal[1, 2, 3] = 3
    prior: Prior | str | None = None
    startup_trials: PositiveInt = 4
    seed: int = 0
    halving: Halving | None = None
    replicates: Replicates | None = None
    repeat_by: Literal["shrunk", "raw"] = "shrunk"

    @model_validator(mode="before")
    @classmethod
    def _load_spaces(cls, given: Any) -> Any:
        """Load spaces given by name, and fill in the coefficients that all of them allow."""
        if not isinstance(given, dict) or not isinstance(given.get("spaces"), str | list | tuple):
            return given
        named = [given["spaces"]] if isinstance(given["spaces"], str) else given["spaces"]
        try:
            spaces = [_space(item) for item in named]
            common = {
                key: common_range([getattr(space, key) for space in spaces], key) for key in COEFFICIENTS if spaces
            }
        except UserError as error:
            raise wrong_value("spaces", str(error)) from None
        return {**common, **_planned(given), "spaces": spaces}

    @model_validator(mode="before")
    @classmethod
    def _begin_sooner_with_a_prior(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("prior") is not None:
            return {"startup_trials": STARTUP_WITH_PRIOR, **given}
        return given

    @model_validator(mode="after")
    def _prior_is_used(self) -> Self:
        if self.prior is not None and (self.sampler != "pareto" or self.sampler_version < 3):
            raise wrong_value("prior", "needs sampler: pareto and sampler_version: 3")
        return self

    @model_validator(mode="after")
    def _ranges_allowed(self) -> Self:
        names = [space.name for space in self.spaces]
        if len(set(names)) < len(names):
            raise wrong_value("spaces", f"a space is given twice: {', '.join(names)}")
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

    @model_validator(mode="after")
    def _plan_allowed(self) -> Self:
        if (self.sampler == "planned") != bool(self.plan):
            raise wrong_value("sampler", f"{self.sampler} does not go with {'a' if self.plan else 'no'} search.plan")
        for index, network in enumerate(self.plan):
            try:
                self._require_planned(network)
            except ConfigError as error:
                raise wrong_value("plan", f"network {index + 1}: {error}") from None
        return self

    def _require_planned(self, network: PlannedNetwork) -> None:
        names = [space.name for space in self.spaces]
        name = network.space or names[0]
        if name not in names:
            raise ConfigError(f"unknown space {name!r}; known: {', '.join(names)}")
        for key in COEFFICIENTS:
            value, allowed = getattr(network, key), getattr(self, key)
            if value not in allowed:
                raise ConfigError(f"{key} {value:g} is out of range: the study allows {allowed}")
        for key in DIMENSIONS:
            value, values = getattr(network, key), self.dimensions(name).get(key)
            if value is not None and value not in (values or ()):
                raise ConfigError(f"{key} {value} is not open in {name}; name it in search.{key}")

    @property
    def known_prior(self) -> Prior:
        """The prior's coefficients, which a study has that was run; there must be one."""
        assert isinstance(self.prior, Prior)
        return self.prior

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


def _planned(given: dict[str, Any]) -> dict[str, Any]:
    """Fill in what a plan decides: as many trials as networks, and no sampler of a search."""
    if not given.get("plan"):
        return given
    count = len(given["plan"]) if isinstance(given["plan"], list | tuple) else 1
    return {"trials": max(1, count), "sampler": "planned", **given}


def _space(item: Any) -> SearchSpace:
    """Return the space that a name, a file or a definition means."""
    if isinstance(item, str | Path):
        return load_space(item)
    if not isinstance(item, SearchSpace | dict):
        raise ConfigError(f"must be names or files of search spaces, but {shortened(item)} was given")
    return validate(SearchSpace, item, source="a space")


def common_range(ranges: list[Range], key: str) -> Range:
    """Return the values that all ranges allow.

    Raises:
        ConfigError: There are none.
    """
    low, high = max(r.min for r in ranges), min(r.max for r in ranges)
    if low > high:
        raise ConfigError(f"the spaces have no {key} in common: {', '.join(map(str, ranges))}; give one space only")
    steps = [r.step for r in ranges if r.step is not None]
    return type(ranges[0])(min=low, max=high, **({"step": max(steps)} if steps else {}))
