"""Blocks of a network as classes: those of one skeleton are one class, which takes as parameters what differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nas.architecture.layers import Activation, AvgPool, Block, Conv, Layer, MaxPool, Shape, SqueezeExcite
from nas.architecture.shapes import kernel_padding, layer_shape
from nas.architecture.spec import Architecture, walk
from nas.export.code.terms import Argument, Call, Parameter, Term, Value, generalised, skeleton, values

DEFAULTS = {"stride": "1", "residual": "True"}
"""Of parameters of blocks."""

_POSITIONAL = ("channels", "in_channels", "inner")
_ROLES = (*_POSITIONAL, "kernel", "groups", "squeezed", "padding", *DEFAULTS)
_MODULES: dict[Activation, str] = {
    "identity": "None",
    "relu": "nn.ReLU",
    "prelu": "nn.PReLU",
    "leaky_relu": "nn.LeakyReLU",
    "elu": "nn.ELU",
    "silu": "nn.SiLU",
    "gelu": "nn.GELU",
    "hardswish": "nn.Hardswish",
}


class Body(NamedTuple):
    """What a class of blocks consists of.

    Attributes:
        branches: Layers, branch by branch.
        shortcut: Layers of a shortcut that is not the identity.
        residual: Whether the input is added.
        join: How branches meet.
        activation: The class of the last activation, or None.
    """

    branches: tuple[tuple[Term, ...], ...]
    shortcut: tuple[Term, ...]
    residual: Term
    join: str
    activation: str


class BlockClass(NamedTuple):
    """A class of blocks: its name, its body with names in the place of what differs, and those names."""

    name: str
    body: Body
    parameters: tuple[Parameter, ...]


class Met(NamedTuple):
    """A block and the channels that reach it."""

    block: Block
    channels: int


class Blocks:
    """The classes of a network's blocks.

    Attributes:
        classes: In the order in which they are defined: a block within a block comes before it.
    """

    def __init__(self, architecture: Architecture) -> None:
        """Find the classes."""
        self.classes: list[BlockClass] = []
        self._calls: dict[Met, Call] = {}
        by_height = dict[int, dict[Met, Shape]]()
        for step in walk(architecture):
            for block, shape in _blocks_in(step.part, step.before):
                by_height.setdefault(_height(block), {}).setdefault(Met(block, shape.channels), shape)
        for _, met in sorted(by_height.items()):
            self._add_classes(met)

    def term(self, part: Layer | Block, shape: Shape, role: str = "inner", given: str = "inner") -> Term:
        """Return the expression that makes a layer or block.

        Args:
            part: What to make.
            shape: That reaches it.
            role: Of the channels after it.
            given: Of the channels before it.
        """
        if isinstance(part, Block):
            return self._calls[Met(part, shape.channels)]
        return _layer_term(part, shape, role, given)

    def _add_classes(self, met: dict[Met, Shape]) -> None:
        groups = dict[object, dict[Met, Body]]()
        for key, shape in met.items():
            body = self._body(key.block, shape)
            groups.setdefault(skeleton(body), {})[key] = body
        for bodies in groups.values():
            general, parameters = generalised(list(bodies.values()), roles=_ROLES, positional=_POSITIONAL)
            name = f"Block{len(self.classes) + 1}"
            self.classes.append(BlockClass(name, general, parameters))
            for key, body in bodies.items():
                own = [value.value for value in values(body)]
                self._calls[key] = Call(name, tuple(_argument(parameter, own) for parameter in parameters))

    def _body(self, block: Block, shape: Shape) -> Body:
        single = len(block.branches) == 1 or block.join == "add"
        last = "channels" if single else "inner"
        branches = tuple(self._sequence(branch, shape, last=last) for branch in block.branches)
        shortcut = self._sequence(block.shortcut or (), shape, last="channels")
        residual: Term = "False" if shortcut else Value("residual", block.shortcut is not None)
        return Body(branches, shortcut, residual, block.join, _MODULES[block.activation])

    def _sequence(self, parts: tuple[Layer | Block, ...], shape: Shape, *, last: str) -> tuple[Term, ...]:
        last_conv = max((index for index, part in enumerate(parts) if isinstance(part, Conv)), default=-1)
        terms, role = list[Term](), "in_channels"
        for index, part in enumerate(parts):
            after = last if index == last_conv else "inner"
            terms.append(self.term(part, shape, after, role))
            role = role if isinstance(part, MaxPool | AvgPool | SqueezeExcite) else after
            shape = layer_shape(part, shape)
        return tuple(terms)


def _argument(parameter: Parameter, own: list[object]) -> Term | Argument:
    value = Value(parameter.role, own[parameter.places[0]])
    if parameter.role in _POSITIONAL:
        return value
    return Argument(parameter.name, value, DEFAULTS.get(parameter.role, ""))


def _layer_term(layer: Layer, shape: Shape, role: str, given: str) -> Call:
    before = Value(given, shape.channels)
    if isinstance(layer, SqueezeExcite):
        activation = _MODULES[layer.activation].replace("None", "nn.Identity")
        return Call("Gate", (before, Value("squeezed", layer.channels), activation))
    if isinstance(layer, Conv):
        return Call(
            "conv",
            (
                before,
                Value(role, layer.channels),
                Value("kernel", layer.kernel),
                Argument("stride", Value("stride", layer.stride), "1"),
                Argument("groups", Value("groups", layer.groups), "1"),
                Argument("padding", "None" if layer.padding == "same" else "0", "None"),
                Argument("norm", str(layer.norm), "True"),
                Argument("activation", _MODULES[layer.activation], "None"),
            ),
        )
    numbers = (Value("kernel", layer.kernel), Value("stride", layer.stride))
    padding = Argument("padding", Value("padding", kernel_padding(layer)[0]), "0")
    ceil = Argument("ceil_mode", str(layer.padding == "ceil"), "False")
    return Call("nn.MaxPool2d" if isinstance(layer, MaxPool) else "nn.AvgPool2d", (*numbers, padding, ceil))


def _blocks_in(part: Layer | Block, shape: Shape) -> Iterator[tuple[Block, Shape]]:
    """Yield a block and all within it, with the shapes that reach them."""
    if not isinstance(part, Block):
        return
    yield part, shape
    for branch in part.branches:
        inside = shape
        for layer in branch:
            yield from _blocks_in(layer, inside)
            inside = layer_shape(layer, inside)


def _height(part: Layer | Block) -> int:
    if not isinstance(part, Block):
        return 0
    return 1 + max((_height(layer) for branch in part.branches for layer in branch), default=0)
