"""Which channels of a network stand together, and the network that is left when some of them go.

A convolution makes new channels. Depthwise convolutions, pools and gates keep those that they are given, concatenation
lists those of its branches, and addition unites them one by one: what is added can only be removed on both sides. A
grouped convolution ties the channels that a group reads to those that it writes, so that whole groups are lost. What is
tied together is a unit, and units that stand for the same numbers of channels in the same layers are a group: however
many of them stay, and whichever, the network has the same shape. So the shape follows from the ``Architecture`` alone.

The image's channels and the classes stay, and so do the inner channels of a squeeze-and-excitation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nas.architecture.layers import Block, Conv, Layer, SqueezeExcite
from nas.architecture.spec import Architecture, Stage, sections
from nas.errors import ArchitectureError

Units: TypeAlias = NDArray[np.int64]
"""Of a feature map, of shape (channels,): the number of each channel's unit."""

_NOTHING: Units = np.empty(0, np.int64)


class Site(NamedTuple):
    """A layer with weights of its own for each channel.

    Attributes:
        path: As the built module names it, for example ``stages.0.1.branches.0.2``.
        layer: What it is; None for the classifier.
        reads: Units of the channels that enter.
        writes: Units of the channels that a convolution makes or keeps; of nothing for other layers.
    """

    path: str
    layer: Conv | SqueezeExcite | None
    reads: Units
    writes: Units


class Group(NamedTuple):
    """Units that may stand for each other.

    Attributes:
        units: Their numbers, rising.
        channels: How many channels one of them has in each convolution that writes it, by the convolution's path.
        fixed: Whether all of them stay, because the image's channels are among theirs.
    """

    units: Units
    channels: dict[str, int]
    fixed: bool

    def step(self, multiple: int) -> int:
        """Return how many units to remove at once so that all channels stay multiples of a number."""
        return math.lcm(*(multiple // math.gcd(multiple, count) for count in self.channels.values()))


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of a network.

    Attributes:
        architecture: Of the network.
        sites: Layers with weights, from image to classes.
        groups: All units, by group; numbered by the first layer that writes them.
    """

    architecture: Architecture
    sites: tuple[Site, ...]
    groups: tuple[Group, ...]

    @property
    def count(self) -> int:
        """Number of units."""
        return sum(len(group.units) for group in self.groups)

    def keeping(self, counts: Sequence[int]) -> Architecture:
        """Return the network in which each group keeps so many of its units.

        Args:
            counts: One for each group, from one to all of its units.

        Raises:
            ArchitectureError: A group would keep none, or more than it has, or lose what is fixed.
        """
        left = dict.fromkeys((site.path for site in self.sites if isinstance(site.layer, Conv)), 0)
        for group, count in zip(self.groups, counts, strict=True):
            most = len(group.units)
            if not (most if group.fixed else 1) <= count <= most:
                allowed = f"all {most}" if group.fixed else f"1 to {most}"
                first = next(iter(group.channels), "the image")
                raise ArchitectureError(f"the group of {first} can keep {allowed} units, but not {count}")
            for path, channels in group.channels.items():
                left[path] += count * channels
        return _with_channels(self.architecture, left)


def channels_of(architecture: Architecture) -> Channels:
    """Return which channels of a network stand together."""
    tracer = _Tracer()
    image = tracer.fresh(architecture.in_channels, "")
    before = image
    for section in sections(architecture):
        before = tracer.parts(section.parts, section.name.replace("[", ".").replace("]", ""), before)
    tracer.sites.append(Site("classifier", None, before, _NOTHING))
    unit_of = tracer.units()
    sites = tuple(site._replace(reads=unit_of[site.reads], writes=unit_of[site.writes]) for site in tracer.sites)
    return Channels(architecture, sites, _groups(unit_of, tracer.writers, fixed=set(unit_of[image].tolist())))


class _Tracer:
    """Follows channels from layer to layer; each that a convolution writes has a number of its own."""

    def __init__(self) -> None:
        self.sites: list[Site] = []
        self.writers: list[str] = []  # of each channel: path of the convolution that wrote it
        self._ties: list[tuple[Units, Units]] = []

    def fresh(self, count: int, path: str) -> Units:
        """Return the numbers of new channels."""
        first = len(self.writers)
        self.writers += [path] * count
        return np.arange(first, first + count)

    def units(self) -> Units:
        """Return the unit of each channel, numbered in the order of their first channels."""
        total = len(self.writers)
        ends = [np.concatenate(side) for side in zip((_NOTHING, _NOTHING), *self._ties, strict=True)]
        graph = coo_array((np.ones(len(ends[0]), bool), (ends[0], ends[1])), shape=(total, total))
        labels = connected_components(graph, directed=False)[1]
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[inverse].astype(np.int64)

    def parts(self, parts: Sequence[Layer | Block], path: str, before: Units) -> Units:
        """Return the channels after parts in sequence."""
        for index, part in enumerate(parts):
            before = self._part(part, f"{path}.{index}", before)
        return before

    def _part(self, part: Layer | Block, path: str, before: Units) -> Units:
        if isinstance(part, Block):
            return self._block(part, path, before)
        if isinstance(part, Conv):
            return self._conv(part, path, before)
        if isinstance(part, SqueezeExcite):
            self.sites.append(Site(path, part, before, _NOTHING))
        return before  # pools and gates

    def _conv(self, conv: Conv, path: str, before: Units) -> Units:
        after = self.fresh(conv.channels, path)
        self.sites.append(Site(path, conv, before, after))
        if conv.groups > 1:
            groups = np.concatenate([before.reshape(conv.groups, -1), after.reshape(conv.groups, -1)], axis=1)
            self._tie(np.broadcast_to(groups[:, :1], groups.shape).ravel(), groups.ravel())
        return after

    def _block(self, block: Block, path: str, before: Units) -> Units:
        ends = [self.parts(branch, f"{path}.branches.{i}", before) for i, branch in enumerate(block.branches)]
        if block.join == "add":
            for end in ends[1:]:
                self._tie(ends[0], end)
        joined = ends[0] if block.join == "add" else np.concatenate(ends)
        if block.shortcut is not None:
            self._tie(joined, self.parts(block.shortcut, f"{path}.shortcut", before))
        return joined

    def _tie(self, one: Units, other: Units) -> None:
        self._ties.append((one, other))


def _groups(unit_of: Units, writers: Sequence[str], *, fixed: set[int]) -> tuple[Group, ...]:
    """Return units that have the same numbers of channels in the same convolutions, together."""
    counts: list[dict[str, int]] = [{} for _ in range(int(unit_of.max()) + 1)]
    for unit, writer in zip(unit_of.tolist(), writers, strict=True):
        if writer:
            counts[unit][writer] = counts[unit].get(writer, 0) + 1
    alike: dict[tuple[bool, tuple[tuple[str, int], ...]], list[int]] = {}
    for unit, channels in enumerate(counts):
        alike.setdefault((unit in fixed, tuple(channels.items())), []).append(unit)
    return tuple(Group(np.array(units), dict(channels), stays) for (stays, channels), units in alike.items())


def _with_channels(architecture: Architecture, channels: Mapping[str, int]) -> Architecture:
    """Return a network whose convolutions have other numbers of channels, by path."""

    def conv(layer: Conv, path: str) -> Conv:
        wanted = channels[path]
        groups = layer.groups * wanted // layer.channels if layer.groups > 1 else 1
        return dataclasses.replace(layer, channels=wanted, groups=groups)

    return with_convs(architecture, conv)


def with_convs(architecture: Architecture, change: Callable[[Conv, str], Conv]) -> Architecture:
    """Return a network with each convolution changed; ``change`` is given it and its path, as in ``Site``.

    Raises:
        ArchitectureError: What comes of it cannot exist.
    """
    stages = enumerate(architecture.stages)
    return dataclasses.replace(
        architecture,
        stem=_changed(architecture.stem, "stem", change),
        stages=tuple(Stage(_changed(stage.blocks, f"stages.{i}", change)) for i, stage in stages),
        head=_changed(architecture.head, "head", change),
    )


def _changed(parts: Sequence[Layer | Block], path: str, conv: Callable[[Conv, str], Conv]) -> tuple[Any, ...]:
    """Return parts with their convolutions changed: as many, of the same kinds."""
    changed: list[Layer | Block] = []
    for index, part in enumerate(parts):
        where = f"{path}.{index}"
        if isinstance(part, Block):
            branches = tuple(_changed(b, f"{where}.branches.{i}", conv) for i, b in enumerate(part.branches))
            shortcut = None if part.shortcut is None else _changed(part.shortcut, f"{where}.shortcut", conv)
            changed.append(dataclasses.replace(part, branches=branches, shortcut=shortcut))
        else:
            changed.append(conv(part, where) if isinstance(part, Conv) else part)
    return tuple(changed)
