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
from functools import cache
from typing import Any, NamedTuple

from nas.architecture.layers import Block, Layer, Plain, Shape
from nas.architecture.shapes import LARGEST, branch_shape, layer_shape, require, shortened
from nas.errors import ArchitectureError


@dataclass(frozen=True, slots=True)
class Stage(Plain):
    """Blocks in sequence; by custom all but the first keep the shape."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Architecture(Plain):
    """A whole network, from image to logits.

    The classifier (global average pooling, dropout, one linear layer) always follows the head and is not described.

    Attributes:
        stem: Layers before the first stage.
        stages: Stages in sequence.
        head: Layers between the last stage and the classifier.
        resolution: Height and width of the input in pixels.
        num_classes: Number of logits.
        in_channels: Channels of the input: 3 for RGB (the default), 1 for grayscale.
        dropout: Probability of zeroing a feature before the linear layer.
        stochastic_depth: Largest drop rate of a residual block; block i of n has the rate ``stochastic_depth * i / n``
            (Huang et al. 2016, arXiv:1603.09382, as torchvision indexes it).
        norm_epsilon: Added to the variance in every batch norm.
        name: A name for people; equality and digest ignore it.

    Raises:
        ArchitectureError: On construction, if the network cannot exist; the message names the stage and block.
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
            value = getattr(self, field)
            if not 1 <= value <= LARGEST:
                raise ArchitectureError(
                    f"{field} must be at least 1 and at most {LARGEST:,}, but is {shortened(value)}"
                )
        for field in ("dropout", "stochastic_depth"):
            require(0 <= getattr(self, field) < 1, f"{field} must be in [0, 1), but is {getattr(self, field)}")
        require(0 < self.norm_epsilon < 1, f"norm_epsilon must be in (0, 1), but is {self.norm_epsilon}")
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
        """Sixteen hexadecimal digits. Networks with equal digests are equal, whatever their names."""
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


def to_document(value: Any) -> Any:
    """Return a value of this module as plain JSON data, without fields that hold their defaults.

    Leaving defaults out keeps digests stable when a later version adds a field.
    """
    if isinstance(value, tuple):
        return [to_document(item) for item in value]
    kind: Any = type(value)
    fields = _fields_of(kind)
    if fields is None:
        return value
    document = {}
    for name, default in fields:
        item = getattr(value, name)
        if name == "kind" or item != default:
            document[name] = to_document(item)
    return document


@cache
def _fields_of(kind: type) -> tuple[tuple[str, Any], ...] | None:
    """Return names and defaults of the fields that make a value of a type, or None where it has no fields."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple((field.name, field.default) for field in dataclasses.fields(kind) if field.init)
