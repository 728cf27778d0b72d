"""The shapes that layers and blocks put out, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from nas.architecture.layers import AvgPool, Block, Conv, Kernel, Layer, MaxPool, Shape, SqueezeExcite
from nas.errors import ArchitectureError

LARGEST = 1_000_000
"""Channels, classes and pixels beyond this are mistakes: nothing of the size could be built."""


def layer_shape(layer: Layer | Block, shape: Shape) -> Shape:
    """Return the shape (channels, size) after a layer or block.

    Raises:
        ArchitectureError: The layer does not fit the shape.
    """
    if isinstance(layer, Block):
        return trace_block(layer, shape).after
    if isinstance(layer, SqueezeExcite):
        require(layer.channels >= 1, f"squeeze-and-excitation channels must be at least 1, but are {layer.channels}")
        return shape
    size = _window_steps(layer, shape.size)
    if not isinstance(layer, Conv):
        return Shape(shape.channels, size)
    channels, groups = layer.channels, layer.groups
    if not 1 <= channels <= LARGEST:
        raise ArchitectureError(f"channels must be at least 1 and at most {LARGEST:,}, but are {shortened(channels)}")
    if groups < 1 or shape.channels % groups or channels % groups:
        raise ArchitectureError(f"{groups} groups must divide both {shape.channels} and {channels} channels")
    return Shape(channels, size)


def shortened(value: int) -> str:
    """Write a whole number for an error, however long it is."""
    return str(value) if abs(value) < 10**15 else "far beyond"


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
        raise ArchitectureError(f"kernel must be square without padding, but is {height}x{width}")
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
    kept: Layer | Block | None = None  # a part that keeps the shape, and so does each repeat of it
    for part in parts:
        if part is not kept:
            after = layer_shape(part, shape)
            kept = part if after == shape else None
            shape = after
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
    require(any(block.branches), "a block needs at least one branch with a layer")
    added = block.join == "add" and not all(block.branches)
    require(not added, "a branch without layers cannot be added: make it the shortcut")
    branches = tuple(tuple(runs(branch, shape)) for branch in block.branches)
    ends = [branch[-1].after if branch else shape for branch in branches]
    same = len(set(ends)) == 1 if block.join == "add" else len({end.size for end in ends}) == 1
    require(same, f"branches of shapes {', '.join(map(_text, ends))} cannot be joined by {block.join}")
    joined = ends[0] if block.join == "add" else Shape(sum(end.channels for end in ends), ends[0].size)
    shortcut = tuple(runs(block.shortcut or (), shape))
    if block.shortcut is not None:
        end = shortcut[-1].after if shortcut else shape
        require(end == joined, f"a shortcut of shape {_text(end)} cannot be added to {_text(joined)}")
    return Trace(branches, shortcut, joined)


def _text(shape: Shape) -> str:
    return f"{shape.channels}x{shape.size}x{shape.size}"


def require(condition: bool, message: str) -> None:
    """Raise ArchitectureError unless a condition holds."""
    if not condition:
        raise ArchitectureError(message)
