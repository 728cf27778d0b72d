"""An architecture is a frozen value: stem, stages of blocks, head, resolution, classes.

A block is data: branches of layers (which may be blocks again), how they join, an optional shortcut that is added, an
activation. Everything else in the package (the module, its cost, its file, its digest) is derived from these values by
code that knows layers and nothing of families.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag

from nas.errors import ArchitectureError

Activation: TypeAlias = Literal["identity", "relu", "prelu", "leaky_relu", "elu", "silu", "gelu", "hardswish"]
"""As torch's modules of these names with their defaults; ``prelu`` has one slope, which is learnt, for all channels."""

Kernel: TypeAlias = int | tuple[int, int]
"""Side of a square window, or (height, width)."""

Padding: TypeAlias = Literal["same", "valid", "ceil"]
"""How a window meets the edge: ``same`` pads by (kernel - 1) // 2, ``valid`` by nothing; ``ceil`` pads by nothing and
rounds the output size up, so that a last, partial window counts (torch's ``ceil_mode``)."""


class _Plain:
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
class Conv(_Plain):
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
class MaxPool(_Plain):
    """Max pooling."""

    kernel: int
    stride: int
    padding: Padding = "same"
    kind: Literal["max_pool"] = "max_pool"


@dataclass(frozen=True, slots=True)
class AvgPool(_Plain):
    """Average pooling; padded zeros count as elements."""

    kernel: int
    stride: int
    padding: Padding = "same"
    kind: Literal["avg_pool"] = "avg_pool"


@dataclass(frozen=True, slots=True)
class SqueezeExcite(_Plain):
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
class Block(_Plain):
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
        norm_epsilon: Added to the variance in every batch norm.
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
    norm_epsilon: float = 1e-5
    name: str = dataclasses.field(default="", compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for field in ("resolution", "num_classes", "in_channels"):
            _require(getattr(self, field) >= 1, f"{field} must be at least 1, but is {getattr(self, field)}")
        for field in ("dropout", "stochastic_depth"):
            _require(0 <= getattr(self, field) < 1, f"{field} must be in [0, 1), but is {getattr(self, field)}")
        _require(0 < self.norm_epsilon < 1, f"norm_epsilon must be in (0, 1), but is {self.norm_epsilon}")
        shape = Shape(self.in_channels, self.resolution)
        try:
            for section in sections(self):
                shape = branch_shape(section.parts, shape)
        except ArchitectureError:
            for _ in walk(self):  # says where
                pass
            raise

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits; equal digests are equal networks, whatever their names."""
        document = {key: value for key, value in to_document(self).items() if key != "name"}
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


class Section(NamedTuple):
    """The parts of the stem, of one stage or of the head; ``name`` is where they lie, for example ``stages[0]``."""

    name: str
    parts: tuple[Layer | Block, ...]


class Step(NamedTuple):
    """One part of a network as met from input to output."""

    where: str
    part: Layer | Block
    before: Shape
    after: Shape


def sections(architecture: Architecture) -> list[Section]:
    """Return stem, stages and head in order."""
    stages = [Section(f"stages[{i}]", stage.blocks) for i, stage in enumerate(architecture.stages)]
    return [Section("stem", architecture.stem), *stages, Section("head", architecture.head)]


def walk(architecture: Architecture) -> Iterator[Step]:
    """Yield stem layers, blocks and head layers in order with their shapes (channels, size) before and after.

    Raises:
        ArchitectureError: A part does not fit the feature map that reaches it.
    """
    shape = Shape(architecture.in_channels, architecture.resolution)
    for section in sections(architecture):
        kind = ".blocks" if section.name.startswith("stages") else ""
        for index, part in enumerate(section.parts):
            where = f"{section.name}{kind}[{index}]"
            try:
                after = layer_shape(part, shape)
            except ArchitectureError as error:
                raise ArchitectureError(f"{where} of {architecture.name or 'the architecture'}: {error}") from None
            yield Step(where, part, shape, after)
            shape = after


def layer_shape(layer: Layer | Block, shape: Shape) -> Shape:
    """Return the shape (channels, size) after a layer or block.

    Raises:
        ArchitectureError: The layer does not fit the shape.
    """
    if isinstance(layer, Block):
        return trace_block(layer, shape).after
    if isinstance(layer, SqueezeExcite):
        _require(layer.channels >= 1, f"squeeze-and-excitation channels must be at least 1, but are {layer.channels}")
        return shape
    size = _window_steps(layer, shape.size)
    if not isinstance(layer, Conv):
        return Shape(shape.channels, size)
    channels, groups = layer.channels, layer.groups
    if channels < 1:
        raise ArchitectureError(f"channels must be at least 1, but are {channels}")
    if groups < 1 or shape.channels % groups or channels % groups:
        raise ArchitectureError(f"{groups} groups do not divide {shape.channels} into {channels} channels")
    return Shape(channels, size)


def kernel_sides(kernel: Kernel) -> tuple[int, int]:
    """Return a window's height and width."""
    return kernel if isinstance(kernel, tuple) else (kernel, kernel)


def kernel_padding(layer: Conv | MaxPool | AvgPool) -> tuple[int, int]:
    """Return the zeros added on each side of the height and of the width."""
    height, width = kernel_sides(layer.kernel)
    return ((height - 1) // 2, (width - 1) // 2) if layer.padding == "same" else (0, 0)


def _window_steps(layer: Conv | MaxPool | AvgPool, size: int) -> int:
    """Return how many windows of a layer fit along a feature map of ``size`` by ``size``."""
    height, width = kernel_sides(layer.kernel)
    if min(height, width, layer.stride) < 1:
        raise ArchitectureError(f"kernel and stride must be at least 1, but are {layer.kernel} and {layer.stride}")
    if layer.padding == "same":
        if height % 2 == 0 or width % 2 == 0:
            raise ArchitectureError(f"kernel must be odd, but is {layer.kernel}")
        if size < layer.stride:
            raise ArchitectureError(
                f"a {size}x{size} feature map is too small for stride {layer.stride}: raise the resolution"
            )
        return (size - 1) // layer.stride + 1
    if height != width:
        raise ArchitectureError(f"kernel must be square where nothing is padded, but is {height}x{width}")
    if size < height:
        raise ArchitectureError(
            f"a {size}x{size} feature map is smaller than the {height}x{height} kernel: raise the resolution"
        )
    if layer.padding == "valid":
        return (size - height) // layer.stride + 1
    steps = -((height - size) // layer.stride) + 1
    return steps - 1 if (steps - 1) * layer.stride >= size else steps  # the last window begins inside, as torch has it


class Run(NamedTuple):
    """One part that stands once or more in a row, meeting the same shape each time."""

    part: Layer | Block
    before: Shape
    after: Shape
    repeats: int


def runs(parts: tuple[Layer | Block, ...], shape: Shape) -> Iterator[Run]:
    """Yield parts in sequence with their shapes; the same part over and over, as most of a stage is, comes once.

    Raises:
        ArchitectureError: A part does not fit the shape that reaches it.
    """
    start = 0
    while start < len(parts):
        part, end = parts[start], start + 1
        after = layer_shape(part, shape)
        while after == shape and end < len(parts) and parts[end] is part:
            end += 1
        yield Run(part, shape, after, end - start)
        start, shape = end, after


def branch_shape(parts: tuple[Layer | Block, ...], shape: Shape) -> Shape:
    """Return the shape (channels, size) after parts in sequence."""
    for run in runs(parts, shape):
        shape = run.after
    return shape


class Trace(NamedTuple):
    """The layers of a block with the shapes they meet; ``after`` is that of the whole block."""

    branches: tuple[tuple[Run, ...], ...]
    shortcut: tuple[Run, ...]
    after: Shape


@lru_cache(maxsize=1 << 18)
def trace_block(block: Block, shape: Shape) -> Trace:
    """Return the shapes (channels, size) within a block.

    Raises:
        ArchitectureError: Branches or shortcut end in shapes that cannot join.
    """
    _require(any(block.branches), "a block needs at least one branch that has a layer")
    added = block.join == "add" and not all(block.branches)
    _require(not added, "a branch of no layers cannot be added: make it the shortcut")
    branches = tuple(tuple(runs(branch, shape)) for branch in block.branches)
    ends = [branch[-1].after if branch else shape for branch in branches]
    same = len(set(ends)) == 1 if block.join == "add" else len({end.size for end in ends}) == 1
    _require(same, f"branches of shapes {', '.join(map(_text, ends))} cannot be joined by {block.join}")
    joined = ends[0] if block.join == "add" else Shape(sum(end.channels for end in ends), ends[0].size)
    shortcut = tuple(runs(block.shortcut or (), shape))
    if block.shortcut is not None:
        end = shortcut[-1].after if shortcut else shape
        _require(end == joined, f"a shortcut of shape {_text(end)} cannot be added to {_text(joined)}")
    return Trace(branches, shortcut, joined)


def to_document(value: Any) -> Any:
    """Return a value of this module as plain JSON data, without fields that hold their defaults.

    Leaving defaults out keeps digests stable when a later version adds a field.
    """
    if dataclasses.is_dataclass(value):
        return {
            field.name: to_document(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.init and (field.name == "kind" or getattr(value, field.name) != field.default)
        }
    return [to_document(item) for item in value] if isinstance(value, tuple) else value


def _text(shape: Shape) -> str:
    return f"{shape.channels}x{shape.size}x{shape.size}"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ArchitectureError(message)
