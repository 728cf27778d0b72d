"""What networks are made of: layers and blocks as frozen values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag

Activation: TypeAlias = Literal["identity", "relu", "prelu", "leaky_relu", "elu", "silu", "gelu", "hardswish"]
"""As torch's modules of these names with their defaults; ``prelu`` has one slope, which is learnt, for all channels."""

Kernel: TypeAlias = int | tuple[int, int]
"""Side of a square window, or (height, width)."""

Padding: TypeAlias = Literal["same", "valid", "ceil"]
"""How a window meets the edge: ``same`` pads by (kernel - 1) // 2, ``valid`` by nothing; ``ceil`` pads by nothing and
rounds the output size up, so that a last, partial window counts (torch's ``ceil_mode``)."""


class Plain:
    """Base of the values: a file that names a field they lack is refused."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


class Shape(NamedTuple):
    """A feature map of one image: (channels, size, size)."""

    channels: int
    size: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return self.channels * self.size * self.size


@dataclass(frozen=True, slots=True)
class Conv(Plain):
    """A convolution, then batch norm (or a bias instead), then an activation."""

    channels: int
    kernel: Kernel
    stride: int = 1
    groups: int = 1
    norm: bool = True
    activation: Activation = "identity"
    padding: Literal["same", "valid"] = "same"
    kind: Literal["conv"] = "conv"


@dataclass(frozen=True, slots=True)
class MaxPool(Plain):
    """Max pooling."""

    kernel: int
    stride: int
    padding: Padding = "same"
    kind: Literal["max_pool"] = "max_pool"


@dataclass(frozen=True, slots=True)
class AvgPool(Plain):
    """Average pooling; padded zeros count as elements."""

    kernel: int
    stride: int
    padding: Padding = "same"
    kind: Literal["avg_pool"] = "avg_pool"


@dataclass(frozen=True, slots=True)
class SqueezeExcite(Plain):
    """Channel attention (Hu et al. 2018, arXiv:1709.01507): pool, 1x1 down to ``channels``, 1x1 up, sigmoid gate."""

    channels: int
    activation: Activation = "relu"
    kind: Literal["squeeze_excite"] = "squeeze_excite"


Layer: TypeAlias = Annotated[Conv | MaxPool | AvgPool | SqueezeExcite, Field(discriminator="kind")]


def _kind(value: Any) -> str:
    """Return the kind of a layer of a file or of Python; a block has none."""
    return str(value.get("kind", "block") if isinstance(value, dict) else getattr(value, "kind", "block"))


BranchLayer: TypeAlias = Annotated[
    Annotated[Conv, Tag("conv")]
    | Annotated[MaxPool, Tag("max_pool")]
    | Annotated[AvgPool, Tag("avg_pool")]
    | Annotated[SqueezeExcite, Tag("squeeze_excite")]
    | Annotated["Block", Tag("block")],
    Discriminator(_kind),
]
"""What a branch is made of: a layer, or a block within the block."""


@dataclass(frozen=True, slots=True)
class Block(Plain):
    """``activation(join(branch(x) for each branch) + shortcut(x))``.

    Attributes:
        branches: Layers in sequence, branch by branch; a branch of no layers passes its input on.
        shortcut: Layers of the residual path; the empty tuple is the identity, None means no residual path.
            Stochastic depth drops the branches of a block that has one.
        join: How several branches meet.
        activation: Applied last.
    """

    branches: tuple[tuple[BranchLayer, ...], ...]
    shortcut: tuple[Layer, ...] | None = None
    join: Literal["add", "concat"] = "concat"
    activation: Activation = "identity"
    _hash: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hash once: shapes and costs are remembered by block, and hashing a tree of values is slower than both."""
        object.__setattr__(self, "_hash", hash((self.branches, self.shortcut, self.join, self.activation)))

    def __hash__(self) -> int:
        """Return the hash of the values."""
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        """Make the block anew when unpickled: another process hashes strings differently."""
        return Block, (self.branches, self.shortcut, self.join, self.activation)
