"""Rows of layers in a search space: the stem, the head, and the branches of a module.

Width scales channels and depth scales repeats.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import Field

from nas.architecture.layers import Activation, AvgPool, Block, Conv, Layer, MaxPool, Padding
from nas.architecture.scaling import round_channels, round_repeats
from nas.errors import ArchitectureError
from nas.schema import Strict

Whole: TypeAlias = Annotated[int, Field(gt=0)]
"""A whole number above zero."""

MOST_REPEATS = 1_000
"""Blocks of a stage beyond this are a mistake."""


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
        return concatenated(self.branches, scale, place)


LayerRow: TypeAlias = Annotated[ConvRow | PoolRow, Field(discriminator="layer")]
BranchRow: TypeAlias = Annotated[ConvRow | PoolRow | ForkRow, Field(discriminator="layer")]
Branches: TypeAlias = tuple[tuple[BranchRow, ...], ...]
ForkRow.model_rebuild()  # its branches hold rows like itself


def concatenated(branches: Branches, scale: Scale, place: float = 0.0) -> Block:
    """Return the module of branches with scaled channels; ``place`` in [0, 1) is that of it among the repeats."""
    return Block(tuple(tuple(row.build(scale, place) for row in branch) for branch in branches))


def convolutions(branches: Branches) -> Iterator[ConvRow]:
    """Yield the rows of convolutions, those of nested branches too."""
    for branch in branches:
        for row in branch:
            if isinstance(row, ConvRow):
                yield row
            elif isinstance(row, ForkRow):
                yield from convolutions(row.branches)
