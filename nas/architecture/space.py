"""A search space: the stage table of a paper, and the coefficients that scale it.

A file in ``search_spaces/`` is one ``SearchSpace``; a row of its ``stages`` is a row of the paper's table. The class is
public, so a notebook can build a space in Python and never write a file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from nas.architecture import blocks
from nas.architecture.scaling import round_channels, round_repeats
from nas.architecture.spec import Activation, Architecture, Block, Conv, Layer, MaxPool, Stage
from nas.errors import ArchitectureError, ConfigError
from nas.files import Strict, find, read_yaml, validate

Round: TypeAlias = Callable[[int], int]


class Range(Strict):
    """The values a coefficient may take; a single number in YAML means that number only.

    Attributes:
        min: Smallest value.
        max: Largest value, included.
        step: Distance of neighbouring values in a search, counted from ``min``; the whole range without it.
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
        return self

    def __contains__(self, value: float) -> bool:
        """Tell whether a value lies in the range, steps aside."""
        return self.min <= value <= self.max

    def __str__(self) -> str:
        """Write the range as people do."""
        return f"{self.min:g}" if self.min == self.max else f"{self.min:g} to {self.max:g}"


class ResolutionRange(Range):
    """Resolutions in pixels; the step is a whole number, 1 where none is given."""

    min: PositiveInt
    max: PositiveInt
    step: PositiveInt = 1


class ConvRow(Strict):
    """A plain convolution of the stem or head, batch norm and activation included."""

    layer: Literal["conv"]
    kernel: PositiveInt
    stride: PositiveInt = 1
    channels: PositiveInt

    def build(self, scale: Round, activation: Activation) -> Layer:
        """Return the layer with scaled channels."""
        return Conv(scale(self.channels), self.kernel, self.stride, activation=activation)


class MaxPoolRow(Strict):
    """Max pooling of the stem."""

    layer: Literal["max_pool"]
    kernel: PositiveInt
    stride: PositiveInt

    def build(self, scale: Round, activation: Activation) -> Layer:
        """Return the layer; nothing in it scales."""
        return MaxPool(self.kernel, self.stride)


class StageRow(Strict):
    """What every stage has: the first block strides, the others keep the shape."""

    kernel: PositiveInt = 3
    stride: PositiveInt
    channels: PositiveInt
    repeats: PositiveInt

    def out_channels(self, channels: int) -> int:
        """Return the channels after a block whose (scaled) ``channels`` are given."""
        return channels


class MBConvRow(StageRow):
    """Inverted residuals; ``expansion`` and ``squeeze_excitation`` are ratios to the block's input channels."""

    block: Literal["mbconv"]
    expansion: PositiveInt
    squeeze_excitation: NonNegativeFloat = 0.25

    def build(self, in_channels: int, channels: int, stride: int, activation: Activation) -> Block:
        """Return one block of the stage."""
        return blocks.mbconv(
            in_channels,
            channels,
            kernel=self.kernel,
            stride=stride,
            expansion=self.expansion,
            squeeze_excitation=self.squeeze_excitation,
            activation=activation,
        )


class BasicRow(StageRow):
    """Residual blocks of two convolutions."""

    block: Literal["basic"]

    def build(self, in_channels: int, channels: int, stride: int, activation: Activation) -> Block:
        """Return one block of the stage."""
        return blocks.basic(in_channels, channels, kernel=self.kernel, stride=stride, activation=activation)


class BottleneckRow(StageRow):
    """Residual bottlenecks; ``channels`` are the inner ones, the stage ends in ``expansion * channels``."""

    block: Literal["bottleneck"]
    expansion: PositiveInt = 4

    def out_channels(self, channels: int) -> int:
        """Return the channels after the last 1x1 convolution."""
        return self.expansion * channels

    def build(self, in_channels: int, channels: int, stride: int, activation: Activation) -> Block:
        """Return one block of the stage."""
        return blocks.bottleneck(
            in_channels, channels, kernel=self.kernel, stride=stride, expansion=self.expansion, activation=activation
        )


LayerRow: TypeAlias = Annotated[ConvRow | MaxPoolRow, Field(discriminator="layer")]
BlockRow: TypeAlias = Annotated[MBConvRow | BasicRow | BottleneckRow, Field(discriminator="block")]


class Rounding(Strict):
    """How scaled channels are rounded: to a multiple of ``divisor``, never below ``floor`` of the exact value."""

    divisor: PositiveInt = 8
    floor: float = Field(0.9, ge=0, le=1)


class SearchSpace(Strict):
    """A family of networks spanned by width, depth and resolution coefficients.

    Attributes:
        name: What studies call it.
        source: The paper, and the table in it, that the rows are from.
        stem: Layers before the stages.
        stages: Rows of the paper's table; width scales ``channels``, depth scales ``repeats``.
        head: Layers after the stages.
        activation: Of every block and layer.
        base_resolution: That the table was made for, in pixels.
        width: Allowed width coefficients.
        depth: Allowed depth coefficients.
        resolution: Allowed resolutions in pixels.
        rounding: Of scaled channels.
        dropout: Before the classifier.
        stochastic_depth: Largest drop rate of a residual block.
    """

    name: str
    source: str
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

    def architecture(
        self, *, width: float = 1.0, depth: float = 1.0, resolution: int, num_classes: int, in_channels: int = 3
    ) -> Architecture:
        """Return the network at the given coefficients.

        Args:
            width: Factor on all channels, then rounded to a multiple of the divisor.
            depth: Factor on the repeats of each stage, then rounded up.
            resolution: Input height and width in pixels.
            num_classes: Number of logits.
            in_channels: Channels of the images.

        Raises:
            ConfigError: A coefficient lies outside the space's range.
            ArchitectureError: The resolution is too small for the strides.
        """
        self.require_in_range(width=width, depth=depth, resolution=resolution)

        def scale(channels: int) -> int:
            return round_channels(channels * width, divisor=self.rounding.divisor, floor=self.rounding.floor)

        stem = tuple(row.build(scale, self.activation) for row in self.stem)
        channels = next((layer.channels for layer in reversed(stem) if isinstance(layer, Conv)), in_channels)
        stages = []
        for row in self.stages:
            scaled, repeats = scale(row.channels), round_repeats(row.repeats * depth)
            first = row.build(channels, scaled, row.stride, self.activation)
            channels = row.out_channels(scaled)
            others = [row.build(channels, scaled, 1, self.activation)] * (repeats - 1)
            stages.append(Stage((first, *others)))
        try:
            return Architecture(
                stem=stem,
                stages=tuple(stages),
                head=tuple(row.build(scale, self.activation) for row in self.head),
                resolution=resolution,
                num_classes=num_classes,
                in_channels=in_channels,
                dropout=self.dropout,
                stochastic_depth=self.stochastic_depth,
                name=f"{self.name} width {width:g} depth {depth:g} resolution {resolution}",
            )
        except ArchitectureError as error:
            raise ArchitectureError(f"{error}; {self.name} needs at least {self.smallest_resolution()} px") from None

    def smallest_resolution(self) -> int:
        """Return the smallest resolution in pixels that no stride of the space meets at a smaller feature map."""
        size = 1
        for row in reversed((*self.stem, *self.stages, *self.head)):
            size = max((size - 1) * row.stride + 1, row.stride)
        return size

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
        ConfigError: There is no such space (the message lists those there are), or the file is wrong (it says where).
    """
    path = find("search_spaces", space, what="space")
    return validate(SearchSpace, read_yaml(path), source=path)
