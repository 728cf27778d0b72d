"""Rows of a search space: how a line of a paper's table becomes layers and blocks.

A row of the stem or head is a layer; a row of the stages is a block and how often it is repeated. Width scales
channels, depth scales repeats, and the choices of ``DIMENSIONS`` replace fields of the rows that have them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeAlias

from pydantic import BeforeValidator, Field, NonNegativeFloat, model_validator

from nas.architecture import blocks
from nas.architecture.layers import Activation, AvgPool, Block, Conv, Layer, MaxPool, Padding
from nas.architecture.scaling import round_channels, round_repeats
from nas.errors import ArchitectureError
from nas.files import Strict


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a whole number, but {value} was given")
    return value


Whole: TypeAlias = Annotated[int, BeforeValidator(_no_truth), Field(gt=0)]
"""A whole number above zero; YAML's yes and true are none."""

MOST_REPEATS = 1_000
"""Blocks of a stage beyond this are a mistake."""

Branches: TypeAlias = tuple[tuple["BranchRow", ...], ...]


class Scale(NamedTuple):
    """How a table's figures become those of one network: coefficients, rounding of channels, activation."""

    width: float
    depth: float
    divisor: int
    floor: float
    activation: Activation

    def channels(self, channels: int, *, multiple_of: int = 1) -> int:
        """Return scaled channels, rounded to a common multiple of the divisor and ``multiple_of``."""
        divisor = self.divisor if multiple_of == 1 else math.lcm(self.divisor, multiple_of)
        return round_channels(channels * self.width, divisor=divisor, floor=self.floor)

    def repeats(self, repeats: int) -> int:
        """Return the scaled number of blocks.

        Raises:
            ArchitectureError: There are more than any network has.
        """
        scaled = round_repeats(repeats * self.depth)
        if scaled > MOST_REPEATS:
            raise ArchitectureError(f"a stage of {scaled:.4g} blocks is too long: at most {MOST_REPEATS:,}")
        return scaled


class ConvRow(Strict):
    """A convolution, batch norm and activation included.

    Attributes:
        kernel: Side of the kernel, or [height, width].
        stride: Of the convolution.
        padding: ``same`` or ``valid``.
        channels: After it. In an Inception module also a list of one number for each repeat of the module.
    """

    layer: Literal["conv"]
    kernel: Whole | tuple[Whole, Whole]
    stride: Whole = 1
    padding: Literal["same", "valid"] = "same"
    channels: Whole | Annotated[tuple[Whole, ...], Field(min_length=1)]

    def build(self, scale: Scale, place: float = 0.0) -> Layer:
        """Return the layer with scaled channels; ``place`` in [0, 1) is that of its module among the repeats."""
        listed = self.channels
        channels = listed[int(place * len(listed))] if isinstance(listed, tuple) else listed
        scaled = scale.channels(channels)
        return Conv(scaled, self.kernel, self.stride, activation=scale.activation, padding=self.padding)


class PoolRow(Strict):
    """Max or average pooling; nothing in it scales.

    Attributes:
        kernel: Side of the window.
        stride: Of the windows.
        padding: ``same``, ``valid`` or ``ceil``.
    """

    layer: Literal["max_pool", "avg_pool"]
    kernel: Whole
    stride: Whole
    padding: Padding = "same"

    def build(self, scale: Scale, place: float = 0.0) -> Layer:
        """Return the layer."""
        return (MaxPool if self.layer == "max_pool" else AvgPool)(self.kernel, self.stride, self.padding)


class ForkRow(Strict):
    """Branches within a branch, concatenated."""

    layer: Literal["fork"]
    branches: Branches = Field(min_length=1)

    def build(self, scale: Scale, place: float = 0.0) -> Block:
        """Return the branches as a block within the block."""
        return _concatenated(self.branches, scale, place)


LayerRow: TypeAlias = Annotated[ConvRow | PoolRow, Field(discriminator="layer")]
BranchRow: TypeAlias = Annotated[ConvRow | PoolRow | ForkRow, Field(discriminator="layer")]
ForkRow.model_rebuild()


class BuiltStage(NamedTuple):
    """The blocks of a stage, and the channels that leave it."""

    blocks: tuple[Block, ...]
    channels: int


class Row(Strict):
    """What the rows of all stages have."""

    gate: ClassVar[float] = 1 / 16
    """Ratio of squeeze-and-excitation where a search turns it on and the table has none; Hu et al. 2018 take 16."""

    def choose(self, choices: Mapping[str, Any]) -> Self:
        """Return the row with the choices that it has a field for."""
        update = {key: self._chosen(key, value) for key, value in choices.items() if key in type(self).model_fields}
        return self.model_copy(update=update)

    def _chosen(self, key: str, value: Any) -> Any:
        """Return what a choice means for this row."""
        now = getattr(self, key)
        if key == "squeeze_excitation":
            return (now or self.gate) if value else 0.0
        return now if key == "expansion" and now == 1 else value  # a row that does not expand stays so


class RepeatedRow(Row):
    """Blocks that keep the shape, but for the first, which strides.

    Attributes:
        kernel: Side of the block's spatial kernel.
        stride: Of the first block.
        channels: Of the block; what they are is the block's own matter.
        repeats: Number of blocks.
    """

    kernel: Whole = 3
    stride: Whole
    channels: Whole
    repeats: Whole

    @property
    def multiple_of(self) -> int:
        """What scaled channels must be a multiple of, besides the space's divisor."""
        return 1

    def out_channels(self, channels: int) -> int:
        """Return the channels after a block whose (scaled) ``channels`` are given."""
        return channels

    @abstractmethod
    def build(self, in_channels: int, channels: int, stride: int, activation: Activation) -> Block:
        """Return one block of the stage."""

    def stage(self, in_channels: int, scale: Scale) -> BuiltStage:
        """Return the scaled stage."""
        channels = scale.channels(self.channels, multiple_of=self.multiple_of)
        first = self.build(in_channels, channels, self.stride, scale.activation)
        last = self.out_channels(channels)
        repeats = scale.repeats(self.repeats)
        others = (self.build(last, channels, 1, scale.activation),) * (repeats - 1) if repeats > 1 else ()
        return BuiltStage((first, *others), last)


class InvertedRow(RepeatedRow):
    """Inverted residuals; ``expansion`` and ``squeeze_excitation`` are ratios to the block's input channels."""

    gate: ClassVar[float] = 0.25
    expansion: Whole
    squeeze_excitation: NonNegativeFloat = 0.0

    def build(self, in_channels: int, channels: int, stride: int, activation: Activation) -> Block:
        """Return one block of the stage."""
        return self.function(
            in_channels,
            channels,
            kernel=self.kernel,
            stride=stride,
            expansion=self.expansion,
            squeeze_excitation=self.squeeze_excitation,
            activation=activation,
        )

    @property
    @abstractmethod
    def function(self) -> Callable[..., Block]:
        """The function of ``blocks`` that makes the block."""


class MBConvRow(InvertedRow):
    """EfficientNet's blocks."""

    block: Literal["mbconv"]
    squeeze_excitation: NonNegativeFloat = 0.25

    @property
    def function(self) -> Callable[..., Block]:
        """The block with a depthwise convolution."""
        return blocks.mbconv


class FusedMBConvRow(InvertedRow):
    """EfficientNetV2's blocks, with one convolution for two."""

    block: Literal["fused_mbconv"]

    @property
    def function(self) -> Callable[..., Block]:
        """The block with a full convolution."""
        return blocks.fused_mbconv


class BasicRow(RepeatedRow):
    """Residual blocks of two convolutions; ``squeeze_excitation`` is a ratio to the block's last channels."""

    block: Literal["basic"]
    squeeze_excitation: NonNegativeFloat = 0.0

    def build(self, in_channels: int, channels: int, stride: int, activation: Activation) -> Block:
        """Return one block of the stage."""
        return blocks.basic(
            in_channels,
            channels,
            kernel=self.kernel,
            stride=stride,
            squeeze_excitation=self.squeeze_excitation,
            activation=activation,
        )


class BottleneckRow(RepeatedRow):
    """Residual bottlenecks; ``channels`` are the inner ones, the stage ends in ``expansion * channels``.

    Attributes:
        expansion: Ratio of the last channels to the inner ones.
        cardinality: Groups of the middle convolution; scaled inner channels are a multiple of it.
        group_width: Or the channels of one group; the number of groups grows with the width.
        squeeze_excitation: Ratio of the squeezed channels to the last ones; 0 for none.
    """

    block: Literal["bottleneck"]
    expansion: Whole = 4
    cardinality: Whole | None = None
    group_width: Whole | None = None
    squeeze_excitation: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _one_kind_of_group(self) -> Self:
        if self.cardinality is not None and self.group_width is not None:
            raise ValueError("give either cardinality or group_width")
        return self

    def choose(self, choices: Mapping[str, Any]) -> Self:
        """Return the row with choices; a chosen cardinality takes the place of a group width."""
        grouped = {"group_width": None} if "cardinality" in choices else {}
        return super().choose(choices).model_copy(update=grouped)

    @property
    def multiple_of(self) -> int:
        """What inner channels must be a multiple of."""
        return self.cardinality or self.group_width or 1

    def out_channels(self, channels: int) -> int:
        """Return the channels after the last 1x1 convolution."""
        return self.expansion * channels

    def build(self, in_channels: int, channels: int, stride: int, activation: Activation) -> Block:
        """Return one block of the stage."""
        return blocks.bottleneck(
            in_channels,
            channels,
            kernel=self.kernel,
            stride=stride,
            expansion=self.expansion,
            cardinality=channels // self.group_width if self.group_width else self.cardinality or 1,
            squeeze_excitation=self.squeeze_excitation,
            activation=activation,
        )


class InceptionRow(Row):
    """Modules of concatenated branches, drawn branch by branch (Szegedy et al. 2015, arXiv:1409.4842, figure 2b).

    Attributes:
        reduction: Branches of a first module that strides and is not repeated; none where the list is empty.
        repeats: Number of modules after it. Scaled to another number, each takes its channels from the module of the
            table that stands at the same place of the sequence.
        branches: Of the repeated module.
        squeeze_excitation: Ratio of the squeezed channels to the module's of a gate after it (SE-Inception, Hu et al.
            2018, arXiv:1709.01507, figure 2); 0 for none.
    """

    block: Literal["inception"]
    reduction: Branches = ()
    repeats: Whole
    branches: Branches = Field(min_length=1)
    squeeze_excitation: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _lists_are_as_long_as_the_stage(self) -> Self:
        for row in _convolutions(self.branches):
            if isinstance(row.channels, tuple) and len(row.channels) != self.repeats:
                raise ValueError(f"channels {list(row.channels)} must be one number, or one for each of the repeats")
        if any(isinstance(row.channels, tuple) for row in _convolutions(self.reduction)):
            raise ValueError("the channels of a reduction must be one number")
        return self

    @property
    def lists_channels(self) -> bool:
        """Whether a convolution has a list of channels."""
        return any(isinstance(row.channels, tuple) for row in _convolutions(self.branches))

    def stage(self, in_channels: int, scale: Scale) -> BuiltStage:
        """Return the scaled stage."""
        modules = [_concatenated(self.reduction, scale)] if self.reduction else []
        channels = _channels_after(tuple(modules), in_channels)
        repeats = scale.repeats(self.repeats)
        for index in range(repeats):
            module = _concatenated(self.branches, scale, (index + 0.5) / repeats)
            channels = _channels_after((module,), channels)
            gate = blocks.squeeze_excite(channels, self.squeeze_excitation, scale.activation)
            module = Block(((module, *gate),)) if gate else module
            modules.append(modules[-1] if modules and modules[-1] == module else module)
        return BuiltStage(tuple(modules), channels)


BlockRow: TypeAlias = Annotated[
    MBConvRow | FusedMBConvRow | BasicRow | BottleneckRow | InceptionRow, Field(discriminator="block")
]


def _concatenated(branches: Branches, scale: Scale, place: float = 0.0) -> Block:
    return Block(tuple(tuple(row.build(scale, place) for row in branch) for branch in branches))


def _convolutions(branches: Branches) -> Iterator[ConvRow]:
    for branch in branches:
        for row in branch:
            if isinstance(row, ConvRow):
                yield row
            elif isinstance(row, ForkRow):
                yield from _convolutions(row.branches)


def _channels_after(parts: tuple[Layer | Block, ...], channels: int) -> int:
    """Return the channels after layers and blocks in sequence that ``channels`` enter."""
    for part in parts:
        if isinstance(part, Conv):
            channels = part.channels
        elif isinstance(part, Block):
            channels = sum(_channels_after(branch, channels) for branch in part.branches)
    return channels
