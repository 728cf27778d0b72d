"""Rows of stages in a search space: how a line of a paper's table becomes blocks.

A row is a block and how often it is repeated. The choices of ``DIMENSIONS`` replace fields of the rows that have them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeAlias

from pydantic import Field, NonNegativeFloat, model_validator

from nas.architecture import blocks
from nas.architecture.layers import Activation, Block, Conv, Layer
from nas.architecture.rows import Branches, Scale, Whole, concatenated, convolutions
from nas.schema import Strict


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
            raise ValueError("give cardinality or group_width, not both")
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
        for row in convolutions(self.branches):
            if isinstance(row.channels, tuple) and len(row.channels) != self.repeats:
                raise ValueError(f"channels {list(row.channels)} must be one number, or one for each repeat")
        if any(isinstance(row.channels, tuple) for row in convolutions(self.reduction)):
            raise ValueError("the channels of a reduction must be one number")
        return self

    @property
    def lists_channels(self) -> bool:
        """Whether a convolution has a list of channels."""
        return any(isinstance(row.channels, tuple) for row in convolutions(self.branches))

    def stage(self, in_channels: int, scale: Scale) -> BuiltStage:
        """Return the scaled stage."""
        modules = [concatenated(self.reduction, scale)] if self.reduction else []
        channels = _channels_after(tuple(modules), in_channels)
        repeats = scale.repeats(self.repeats)
        for index in range(repeats):
            module = concatenated(self.branches, scale, (index + 0.5) / repeats)
            channels = _channels_after((module,), channels)
            gate = blocks.squeeze_excite(channels, self.squeeze_excitation, scale.activation)
            module = Block(((module, *gate),)) if gate else module
            modules.append(modules[-1] if modules and modules[-1] == module else module)
        return BuiltStage(tuple(modules), channels)


BlockRow: TypeAlias = Annotated[
    MBConvRow | FusedMBConvRow | BasicRow | BottleneckRow | InceptionRow, Field(discriminator="block")
]


def _channels_after(parts: tuple[Layer | Block, ...], channels: int) -> int:
    """Return the channels after layers and blocks in sequence that ``channels`` enter."""
    for part in parts:
        if isinstance(part, Conv):
            channels = part.channels
        elif isinstance(part, Block):
            channels = sum(_channels_after(branch, channels) for branch in part.branches)
    return channels
