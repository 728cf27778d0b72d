"""A search space: the stage table of a paper, and the coefficients that scale it.

A file in ``search_spaces/`` is one ``SearchSpace``; a row of its ``stages`` is a row of the paper's table. The class is
public, so a notebook can build a space in Python and never write a file.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from nas.architecture.layers import Activation, Conv
from nas.architecture.rows import ConvRow, LayerRow, Scale, Whole
from nas.architecture.spec import Architecture, Stage
from nas.architecture.stages import BlockRow, InceptionRow
from nas.errors import ArchitectureError, ConfigError
from nas.schema import Name, Strict, find, read_yaml, validate, wrong_value

COEFFICIENTS = ("width", "depth", "resolution")
"""What scales a network."""

DIMENSIONS = ("kernel", "expansion", "cardinality", "activation", "squeeze_excitation")
"""What a search may vary besides width, depth and resolution. Each has one value for a whole network."""


MOST_VALUES = 1_000_000
"""Of a range in steps; more are a mistake."""

LARGEST_RESOLUTION = 100_000
"""In pixels."""


class Range(Strict):
    """The values that a coefficient may take. A single number in YAML allows that number only.

    Attributes:
        min: Smallest value.
        max: Largest value, included.
        step: Distance between neighbouring values in a search, counted from ``min``; default: any value in the range.
    """

    min: PositiveFloat
    max: PositiveFloat
    step: PositiveFloat | None = None

    @model_validator(mode="before")
    @classmethod
    def _single(cls, given: Any) -> Any:
        return {"min": given, "max": given} if isinstance(given, int | float) else given

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is larger than max {self.max:g}")
        if self.step is not None and (self.max - self.min) / self.step > MOST_VALUES:
            raise wrong_value("step", f"{self.step:g} is too small: {self} has more than {MOST_VALUES:,} such steps")
        return self

    def __contains__(self, value: float) -> bool:
        """Tell whether a value lies in the range, steps aside."""
        return self.min <= value <= self.max

    def __str__(self) -> str:
        """Write the range as people do."""
        return f"{self.min:g}" if self.min == self.max else f"{self.min:g} to {self.max:g}"


class ResolutionRange(Range):
    """Resolutions in pixels. The step is a whole number; default 1."""

    min: PositiveInt = Field(le=LARGEST_RESOLUTION)
    max: PositiveInt = Field(le=LARGEST_RESOLUTION)
    step: PositiveInt = 1


class Rounding(Strict):
    """How scaled channels are rounded: to a multiple of ``divisor``, never below ``floor`` of the exact value."""

    divisor: PositiveInt = 8
    floor: float = Field(0.9, ge=0, le=1)


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"a kernel must be odd, but {value} was given")
    return value


OddInt: TypeAlias = Annotated[Whole, AfterValidator(_odd)]


class Choices(Strict):
    """Values for the names in ``DIMENSIONS``; None keeps the value in the space's table.

    Attributes:
        kernel: Size of the spatial kernels of every stage, odd.
        expansion: Ratio of the expanded channels; rows of ratio 1 keep it.
        cardinality: Number of groups of the bottlenecks' middle convolutions.
        activation: Activation of all layers.
        squeeze_excitation: On (with the table's ratio, or else the usual one of the block) or off.
    """

    kernel: OddInt | None = None
    expansion: Whole | None = None
    cardinality: Whole | None = None
    activation: Activation | None = None
    squeeze_excitation: bool | None = None


class SearchSpace(Strict):
    """A family of networks spanned by width, depth and resolution coefficients.

    Attributes:
        name: Name of the space in studies.
        source: Paper and table that the rows come from; default: none.
        stem: Layers before the stages.
        stages: Rows of the paper's table; width scales ``channels``, depth scales ``repeats``.
        head: Layers after the stages.
        activation: Activation of every block and layer.
        base_resolution: Resolution that the table was made for, in pixels.
        width: Allowed width coefficients.
        depth: Allowed depth coefficients.
        resolution: Allowed resolutions in pixels.
        rounding: How scaled channels are rounded.
        dropout: Dropout rate before the classifier; default 0.
        stochastic_depth: Largest drop rate of a residual block; default 0.
        norm_epsilon: Added to the variance in every batch norm.
    """

    name: Name
    source: str = ""
    stem: tuple[LayerRow, ...]
    stages: tuple[BlockRow, ...] = Field(min_length=1)
    head: tuple[LayerRow, ...] = ()
    activation: Activation = "relu"
    base_resolution: PositiveInt
    width: Range
    depth: Range
    resolution: ResolutionRange
    rounding: Rounding = Rounding()
    dropout: float = Field(0.0, ge=0, lt=1)
    stochastic_depth: float = Field(0.0, ge=0, lt=1)
    norm_epsilon: float = Field(1e-5, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_number_outside_of_modules(self) -> Self:
        if any(isinstance(row, ConvRow) and isinstance(row.channels, tuple) for row in (*self.stem, *self.head)):
            raise ValueError("the channels of a stem or head layer must be one number")
        return self

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names in ``DIMENSIONS`` that the space can vary."""
        fields = {field for row in self.stages for field in type(row).model_fields} | {"activation"}
        return tuple(name for name in DIMENSIONS if name in fields)

    @property
    def lists_channels(self) -> bool:
        """Whether channels change along a stage, so that another depth picks others."""
        return any(isinstance(row, InceptionRow) and row.lists_channels for row in self.stages)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The least and the largest width, depth and resolution."""
        return {key: (getattr(self, key).min, getattr(self, key).max) for key in COEFFICIENTS}

    def choose(self, **choices: Any) -> SearchSpace:
        """Return the space with dimensions fixed to other values than the table's.

        Args:
            **choices: Fields of ``Choices``.

        Raises:
            ConfigError: The space has no such dimension, or the value is not allowed.
        """
        chosen = validate(Choices, choices, source=self.name).model_dump(exclude_none=True)
        for key in chosen:
            if key not in self.dimensions:
                raise ConfigError(f"{key} does not apply to {self.name}; known: {', '.join(self.dimensions)}")
        return self.model_copy(
            update={
                "name": " ".join((self.name, *(f"{key} {value}" for key, value in chosen.items()))),
                "activation": chosen.get("activation", self.activation),
                "stages": tuple(row.choose(chosen) for row in self.stages),
            }
        )

    def architecture(
        self, *, width: float = 1.0, depth: float = 1.0, resolution: int, num_classes: int, in_channels: int = 3
    ) -> Architecture:
        """Return the network at the given coefficients.

        Args:
            width: Factor on all channels, which are then rounded to a multiple of the divisor.
            depth: Factor on the repeats of each stage, which are then rounded up.
            resolution: Height and width of the input in pixels.
            num_classes: Number of logits.
            in_channels: Number of channels of the images.

        Raises:
            ConfigError: A coefficient lies outside the space's range.
            ArchitectureError: The resolution is too small for the strides.
        """
        self.require_in_range(width=width, depth=depth, resolution=resolution)
        try:
            return self._build(width, depth, resolution, num_classes, in_channels)
        except ArchitectureError as error:
            smallest = self.smallest_resolution()
            if resolution >= smallest:
                raise
            raise ArchitectureError(f"{error}; {self.name} needs at least {smallest} px") from None

    def smallest_resolution(self) -> int:
        """Return the smallest resolution in pixels at which every layer of the space finds a large enough map."""
        for resolution in count(1):
            try:
                self._build(self.width.min, self.depth.min, resolution, 1, 1)
            except ArchitectureError:
                if resolution >= self.resolution.max:
                    raise
            else:
                break
        return resolution

    def _build(self, width: float, depth: float, resolution: int, num_classes: int, in_channels: int) -> Architecture:
        scale = Scale(width, depth, self.rounding.divisor, self.rounding.floor, self.activation)
        stem = tuple([row.build(scale) for row in self.stem])
        channels = next((layer.channels for layer in reversed(stem) if isinstance(layer, Conv)), in_channels)
        stages = []
        for row in self.stages:
            blocks, channels = row.stage(channels, scale)
            stages.append(Stage(blocks))
        return Architecture(
            stem=stem,
            stages=tuple(stages),
            head=tuple([row.build(scale) for row in self.head]),
            resolution=resolution,
            num_classes=num_classes,
            in_channels=in_channels,
            dropout=self.dropout,
            stochastic_depth=self.stochastic_depth,
            norm_epsilon=self.norm_epsilon,
            name=f"{self.name} width {width:g} depth {depth:g} resolution {resolution}",
        )

    def require_in_range(self, *, width: float, depth: float, resolution: float) -> None:
        """Raise ConfigError unless every coefficient lies in the space's range."""
        for key, value in (("width", width), ("depth", depth), ("resolution", resolution)):
            if value not in getattr(self, key):
                raise ConfigError(f"{key} {value:g} is out of range: {self.name} allows {getattr(self, key)}")


def load_space(space: str | Path) -> SearchSpace:
    """Load a search space.

    Args:
        space: The name of a shipped space, or the path of a YAML file.

    Raises:
        ConfigError: There is no such space (the message lists all spaces), or the file is wrong (it says where).
    """
    path = find("search_spaces", space, what="space")
    return validate(SearchSpace, read_yaml(path), source=path)
