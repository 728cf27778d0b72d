"""Networks as the page keeps them to draw them: a few numbers for each section, blocks that are alike told once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from nas.architecture.cost import count_cost
from nas.architecture.layers import Block, Conv, Layer, Shape, SqueezeExcite
from nas.architecture.shapes import branch_shape, kernel_sides
from nas.architecture.spec import Architecture, Step, walk


class Drawn(NamedTuple):
    """A part of a network, as it is drawn: parts that look alike are one value.

    Attributes:
        label: Its layers in words, such as ``3×3, stride 2 → 3×3``.
        branches: Channels of each of its branches; one number where it has no branches.
        shortcut: Whether its input is added.
    """

    label: str
    branches: tuple[int, ...]
    shortcut: bool


class Drawings:
    """Networks as plain data: the page holds each kind of block once, and each network's sections as numbers."""

    def __init__(self) -> None:
        """Begin with none."""
        self._parts: dict[Drawn, int] = {}
        self.networks: dict[str, list[list[Any]]] = {}

    @property
    def parts(self) -> list[Drawn]:
        """All kinds of blocks and layers, by their number."""
        return list(self._parts)

    def add(self, digest: str, architecture: Architecture) -> None:
        """Add a network.

        A section of it is its name, the shape that leaves it (channels, size), FLOPs, parameters, activations and bytes
        of feature maps at once, and its parts: how many of which number, one after another.
        """
        steps = {name: list(group) for name, group in itertools.groupby(walk(architecture), key=_section)}
        self.networks[digest] = [
            [
                _words(cost.name),
                *cost.after,
                *(cost.flops, cost.params, cost.activations, cost.peak_memory),
                self._runs(steps.get(cost.name, [])),
            ]
            for cost in count_cost(architecture).sections
            if cost.name in steps or cost.name == "classifier"
        ]

    def _runs(self, steps: Sequence[Step]) -> list[list[int]]:
        numbers = [self._parts.setdefault(drawn(step.part, step.before), len(self._parts)) for step in steps]
        return [[number, len(list(same))] for number, same in itertools.groupby(numbers)]


@lru_cache(maxsize=1 << 14)
def drawn(part: Layer | Block, before: Shape) -> Drawn:
    """Return how a part is drawn, given the shape that enters it."""
    if not isinstance(part, Block):
        return Drawn(_layer(part, before.channels), (branch_shape((part,), before).channels,), False)
    branches = tuple(branch_shape(branch, before).channels for branch in part.branches)
    labels = [_sequence(branch, before) for branch in part.branches]
    label = labels[0] if len(labels) == 1 else f"{len(labels)} branches: {'; '.join(labels)}"
    return Drawn(label, branches, part.shortcut is not None)


def _sequence(parts: Sequence[Any], shape: Shape) -> str:
    words = list[str]()
    for part in parts:
        words.append(drawn(part, shape).label)
        shape = branch_shape((part,), shape)
    return " → ".join(words) or "as it is"


def _layer(layer: Layer, channels: int) -> str:
    """Return a layer in words, given the number of channels that enter it."""
    if isinstance(layer, SqueezeExcite):
        return "squeeze-excite"
    height, width = kernel_sides(layer.kernel)
    stride = f", stride {layer.stride}" if layer.stride > 1 else ""
    if not isinstance(layer, Conv):
        return f"{'max' if layer.kind == 'max_pool' else 'average'} pool {height}×{width}{stride}"
    groups = "depthwise " if layer.groups == channels > 1 else f"{layer.groups} groups " if layer.groups > 1 else ""
    return f"{groups}{height}×{width}{stride}"


def _section(step: Step) -> str:
    return step.where.partition(".")[0] if step.where.startswith("stages") else step.where.partition("[")[0]


def _words(name: str) -> str:
    """Return a section's name for people: ``stages[0]`` is ``stage 1``."""
    return f"stage {int(name[7:-1]) + 1}" if name.startswith("stages[") else name
