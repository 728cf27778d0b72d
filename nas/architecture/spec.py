"""An architecture is a frozen value: stem, stages of blocks, head, resolution, classes.

A block is data: branches of layers, how they join, an optional shortcut that is added, an activation. Everything
else in the package (the module, its cost, its file, its digest) is derived from these values by code that knows
layers and nothing of families.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import ConfigDict, Field

from nas.errors import ArchitectureError

Activation: TypeAlias = Literal["identity", "relu", "silu"]


class _Plain:
    """Base of the values: a file that names a field they lack is refused."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


class Shape(NamedTuple):
    """A feature map of one image: (channels, size, size)."""

    channels: int
    size: int


@dataclass(frozen=True, slots=True)
class Conv(_Plain):
    """A square convolution with padding (kernel - 1) // 2, then batch norm (or a bias instead), then an activation."""

    channels: int
    kernel: int
    stride: int = 1
    groups: int = 1
    norm: bool = True
    activation: Activation = "identity"
    kind: Literal["conv"] = "conv"


@dataclass(frozen=True, slots=True)
class MaxPool(_Plain):
    """Max pooling with padding (kernel - 1) // 2."""

    kernel: int
    stride: int
    kind: Literal["max_pool"] = "max_pool"


@dataclass(frozen=True, slots=True)
class SqueezeExcite(_Plain):
    """Channel attention (Hu et al. 2018, arXiv:1709.01507): pool, 1x1 down to ``channels``, 1x1 up, sigmoid gate."""

    channels: int
    activation: Activation = "relu"
    kind: Literal["squeeze_excite"] = "squeeze_excite"


Layer: TypeAlias = Annotated[Conv | MaxPool | SqueezeExcite, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Block(_Plain):
    """``activation(join(branch(x) for each branch) + shortcut(x))``.

    Attributes:
        branches: Layers in sequence, branch by branch.
        shortcut: Layers of the residual path; the empty tuple is the identity, None means no residual path.
            Stochastic depth drops the branches of a block that has one.
        join: How several branches meet.
        activation: Applied last.
    """

    branches: tuple[tuple[Layer, ...], ...]
    shortcut: tuple[Layer, ...] | None = None
    join: Literal["add", "concat"] = "concat"
    activation: Activation = "identity"


@dataclass(frozen=True, slots=True)
class Stage(_Plain):
    """Blocks in sequence; by custom all but the first keep the shape."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Architecture(_Plain):
    """A whole network from image to logits.

    The classifier (global average pooling, dropout, one linear layer) follows the head and needs no description.

    Attributes:
        stem: Layers before the first stage.
        stages: Stages in sequence.
        head: Layers between the last stage and the classifier.
        resolution: Height and width of the input in pixels.
        num_classes: Number of logits.
        in_channels: Channels of the input, 3 for RGB and 1 for grayscale.
        dropout: Probability of zeroing a feature before the linear layer.
        stochastic_depth: Largest drop rate of a residual block; block i of n has the rate ``stochastic_depth * i / n``
            (Huang et al. 2016, arXiv:1603.09382, as torchvision indexes it).
        name: For people; takes no part in equality or digest.

    Raises:
        ArchitectureError: On construction, if the network cannot exist; names stage and block.
    """

    stem: tuple[Layer, ...]
    stages: tuple[Stage, ...]
    head: tuple[Layer, ...]
    resolution: int
    num_classes: int
    in_channels: int = 3
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    name: str = dataclasses.field(default="", compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for field in ("resolution", "num_classes", "in_channels"):
            _require(getattr(self, field) >= 1, f"{field} must be at least 1, but is {getattr(self, field)}")
        for field in ("dropout", "stochastic_depth"):
            _require(0 <= getattr(self, field) < 1, f"{field} must be in [0, 1), but is {getattr(self, field)}")
        for _ in walk(self):
            pass

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits; equal digests are equal networks, whatever their names."""
        document = {key: value for key, value in to_document(self).items() if key != "name"}
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


class Step(NamedTuple):
    """One part of a network as met from input to output."""

    where: str
    part: Layer | Block
    before: Shape
    after: Shape


def walk(architecture: Architecture) -> Iterator[Step]:
    """Yield stem layers, blocks and head layers in order with their shapes (channels, size) before and after.

    Raises:
        ArchitectureError: A part does not fit the feature map that reaches it.
    """
    parts: list[tuple[str, Layer | Block]] = [(f"stem[{i}]", layer) for i, layer in enumerate(architecture.stem)]
    for s, stage in enumerate(architecture.stages):
        parts += [(f"stages[{s}].blocks[{b}]", block) for b, block in enumerate(stage.blocks)]
    parts += [(f"head[{i}]", layer) for i, layer in enumerate(architecture.head)]
    shape = Shape(architecture.in_channels, architecture.resolution)
    for where, part in parts:
        try:
            after = block_shape(part, shape) if isinstance(part, Block) else layer_shape(part, shape)
        except ArchitectureError as error:
            raise ArchitectureError(f"{where} of {architecture.name or 'the architecture'}: {error}") from None
        yield Step(where, part, shape, after)
        shape = after


def layer_shape(layer: Layer, shape: Shape) -> Shape:
    """Return the shape (channels, size) after a layer.

    Raises:
        ArchitectureError: The layer does not fit the shape.
    """
    if isinstance(layer, SqueezeExcite):
        _require(layer.channels >= 1, f"squeeze-and-excitation channels must be at least 1, but are {layer.channels}")
        return shape
    _require(layer.kernel >= 1 and layer.kernel % 2 == 1, f"kernel must be odd, but is {layer.kernel}")
    _require(layer.stride >= 1, f"stride must be at least 1, but is {layer.stride}")
    _require(
        shape.size >= layer.stride,
        f"a {shape.size}x{shape.size} feature map is too small for stride {layer.stride}: raise the resolution",
    )
    size = (shape.size - 1) // layer.stride + 1
    if isinstance(layer, MaxPool):
        return Shape(shape.channels, size)
    _require(layer.channels >= 1, f"channels must be at least 1, but are {layer.channels}")
    divides = layer.groups >= 1 and shape.channels % layer.groups == 0 and layer.channels % layer.groups == 0
    _require(divides, f"{layer.groups} groups do not divide {shape.channels} into {layer.channels} channels")
    return Shape(layer.channels, size)


@lru_cache(maxsize=1 << 16)
def block_shape(block: Block, shape: Shape) -> Shape:
    """Return the shape (channels, size) after a block.

    Raises:
        ArchitectureError: Branches or shortcut end in shapes that cannot join.
    """
    _require(bool(block.branches), "a block needs at least one branch")
    ends = [branch_shape(branch, shape) for branch in block.branches]
    same = ends[1:] == ends[:-1] if block.join == "add" else len({end.size for end in ends}) == 1
    _require(same, f"branches of shapes {', '.join(map(_text, ends))} cannot be joined by {block.join}")
    joined = ends[0] if block.join == "add" else Shape(sum(end.channels for end in ends), ends[0].size)
    if block.shortcut is not None:
        end = branch_shape(block.shortcut, shape)
        _require(end == joined, f"a shortcut of shape {_text(end)} cannot be added to {_text(joined)}")
    return joined


def branch_shape(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    """Return the shape (channels, size) after layers in sequence."""
    for layer in layers:
        shape = layer_shape(layer, shape)
    return shape


def to_document(value: Any) -> Any:
    """Return a value of this module as plain JSON data, without fields that hold their defaults.

    Leaving defaults out keeps digests stable when a later version adds a field.
    """
    if dataclasses.is_dataclass(value):
        return {
            field.name: to_document(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name == "kind" or getattr(value, field.name) != field.default
        }
    return [to_document(item) for item in value] if isinstance(value, tuple) else value


def _text(shape: Shape) -> str:
    return f"{shape.channels}x{shape.size}x{shape.size}"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ArchitectureError(message)
