"""All networks of a space at one cost, found by counting and not by making them.

Rounding makes most coefficients one network: hundreds of widths give tens of tuples of channels, hundreds of depths
tens of tuples of repeats. What a block costs follows from its channels and the feature map that enters it, so each is
counted once, and the cost of a network is the sum (peak memory: the maximum) over its parts. Only networks whose cost
is near enough are then made, and ``count_cost`` has the last word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from nas.architecture.cost import BYTES_PER_ELEMENT, Cost, Counts, count_classifier, count_cost, count_run
from nas.architecture.layers import Block, Layer, Shape
from nas.architecture.memory import peak_elements
from nas.architecture.point import Point
from nas.architecture.shapes import Run, layer_shape, runs
from nas.architecture.space import COEFFICIENTS, Range, SearchSpace
from nas.architecture.spec import Architecture, sections
from nas.errors import ArchitectureError, ConfigError
from nas.scaling.costs import FLOPS, CostKind

WITHOUT_STEPS = 100
"""Parts that a range without a step of its own is divided into."""


_NOISE = 1e-9
"""Share by which floating-point figures of arrays may differ from those of numbers."""


@dataclass(frozen=True, slots=True)
class Realised:
    """A network of a space at a wanted cost.

    Attributes:
        point: The coefficients that stand for all that give this network.
        architecture: The network.
        cost: What it costs.
        amount: The figure of its cost that was asked for.
    """

    point: Point
    architecture: Architecture
    cost: Cost
    amount: float

    @property
    def digest(self) -> str:
        """Of the network."""
        return self.architecture.digest


class Grid(NamedTuple):
    """Coefficients to look at: all triples of a width, a depth and a resolution."""

    widths: tuple[float, ...]
    depths: tuple[float, ...]
    resolutions: tuple[int, ...]


def grid_of(space: SearchSpace) -> Grid:
    """Return the coefficients of a space in the steps of its ranges; a range without steps is divided into 100."""
    widths, depths, pixels = (_values(getattr(space, key)) for key in COEFFICIENTS)
    return Grid(widths, depths, tuple(map(int, pixels)))


def _values(allowed: Range) -> tuple[float, ...]:
    step = allowed.step or (allowed.max - allowed.min) / WITHOUT_STEPS
    steps = int((allowed.max - allowed.min) / step + 1e-9) if step else 0
    return tuple(min(allowed.max, round(allowed.min + index * step, 9)) for index in range(steps + 1))


def realised_networks(
    near: Point,
    *,
    target: float,
    tolerance: float = 0.02,
    kind: CostKind = FLOPS,
    grid: Grid | None = None,
) -> list[Realised]:
    """Return all distinct networks of a space whose cost is near to a target.

    Args:
        near: Names the space, the classes and the channels of the images. Of the coefficients that give one network,
            those nearest to this point stand for it, by their ratio.
        target: Wanted cost.
        tolerance: Largest share of the target by which a cost may differ from it.
        kind: The figure of the cost that is meant.
        grid: Coefficients to look at; default: those of the space's ranges in their steps.

    Returns:
        The networks, cheapest first.

    Raises:
        ConfigError: The target or the tolerance is none, or a coefficient lies outside the space's ranges.
    """
    if not (0 < target < float("inf") and 0 <= tolerance < 1):
        raise ConfigError(
            f"a target above 0 and a tolerance in [0, 1) are needed, but {target:g} and {tolerance:g} were given"
        )
    grid = grid_of(near.space) if grid is None else grid
    for end in (min, max):
        near.space.require_in_range(width=end(grid.widths), depth=end(grid.depths), resolution=end(grid.resolutions))
    found = dict[Architecture, Realised]()
    for point in _points_near(near, grid, kind, target, tolerance + _NOISE):
        architecture = point.architecture()
        cost = count_cost(architecture)
        amount = kind.of(cost)
        if abs(amount - target) <= tolerance * target:
            found.setdefault(architecture, Realised(point, architecture, cost, amount))
    return sorted(found.values(), key=lambda one: (one.amount, one.point.resolution, one.point.width))


def _points_near(near: Point, grid: Grid, kind: CostKind, target: float, tolerance: float) -> Iterator[Point]:
    """Yield a point for each network of a grid whose cost is near to a target; a few may be one network."""
    largest = near.at(width=min(grid.widths), depth=min(grid.depths), resolution=max(grid.resolutions))
    depths = _classes(near.depth, grid.depths, lambda depth: _repeats(replace(largest, depth=depth)))
    # at depth 1 every module of a table stands in the network, so that all channels are seen
    table = replace(largest, space=near.space.model_copy(update={"depth": Range(min=1, max=1)}), depth=1.0)
    for width in _classes(near.width, grid.widths, lambda width: _parts(replace(table, width=width))):
        networks = _Networks.of([replace(largest, width=width, depth=depth).architecture() for depth in depths])
        for resolution in sorted(set(grid.resolutions)):
            try:
                amounts = np.broadcast_to(kind.of(networks.cost(resolution)), len(depths))
            except ArchitectureError:  # too small for the strides
                continue
            for index in np.flatnonzero(np.abs(amounts - target) <= tolerance * target):
                yield near.at(width=width, depth=depths[index], resolution=resolution)


def _classes(asked: float, values: Sequence[float], made: Callable[[float], object]) -> list[float]:
    """Return one value for each thing that values make: the one of smallest ratio to the one that was asked for."""
    nearest = dict[object, float]()
    for value in sorted(set(values), key=lambda value: (max(value / asked, asked / value), value)):
        nearest.setdefault(made(value), value)
    return sorted(nearest.values())


def _repeats(point: Point) -> tuple[int, ...]:
    return tuple(len(stage.blocks) for stage in point.architecture().stages)


def _parts(point: Point) -> tuple[tuple[Layer | Block, ...], ...]:
    return tuple(section.parts for section in sections(point.architecture()))


class _Atom(NamedTuple):
    """A layer or block, None for the classifier, with what enters and leaves it at the largest resolution."""

    part: Layer | Block | None
    before: Shape
    after: Shape


@dataclass(frozen=True, slots=True)
class _Networks:
    """Networks of one width, taken apart into the layers and blocks that they share.

    Feature maps never grow from the image to the logits, and a part that keeps their size does so at every resolution.
    So maps that are equally large at the largest resolution are so at all, and that size can stand for them.

    Attributes:
        atoms: The different parts, those of the first network first and in order: it meets all sizes of feature maps.
        repeats: How often each network has each part, of shape (networks, atoms).
        resolution: The largest one.
        num_classes: Number of logits.
    """

    atoms: tuple[_Atom, ...]
    repeats: npt.NDArray[np.int64]
    resolution: int
    num_classes: int

    @classmethod
    def of(cls, architectures: Sequence[Architecture]) -> _Networks:
        """Take networks apart, which are of the largest resolution."""
        listed = [_atoms(architecture) for architecture in architectures]
        atoms = tuple(dict.fromkeys(chain(*listed)))
        repeats = np.array([[counter[atom] for atom in atoms] for counter in listed])
        return cls(atoms, repeats, architectures[0].resolution, architectures[0].num_classes)

    def cost(self, resolution: int) -> Cost:
        """Return what the networks cost at a resolution; each figure is an array of shape (networks,).

        Raises:
            ArchitectureError: The resolution is too small for the strides.
        """
        sizes, counts, peaks = {self.resolution: resolution}, [], []
        for part, widest, after in self.atoms:
            shape = Shape(widest.channels, sizes[widest.size])
            if part is None:
                classifier = count_classifier(shape, self.num_classes)
                counts.append(classifier.counts)
                peaks.append(classifier.peak_memory)
                continue
            run = Run(part, shape, layer_shape(part, shape), 1)
            sizes[after.size] = run.after.size
            counts.append(count_run(run))
            peaks.append(BYTES_PER_ELEMENT * peak_elements(run))
        total = self.repeats @ np.array(counts, np.int64)
        largest = np.where(self.repeats > 0, np.array(peaks), 0).max(axis=1)
        return Cost(Counts._make(total.T), cast(int, largest))


def _atoms(architecture: Architecture) -> Counter[_Atom]:
    """Return the different parts of a network, and how often it has each."""
    atoms, shape = Counter[_Atom](), Shape(architecture.in_channels, architecture.resolution)
    for section in sections(architecture):
        for run in runs(section.parts, shape):
            atoms[_Atom(run.part, run.before, run.after)] += run.repeats
            shape = run.after
    atoms[_Atom(None, shape, Shape(architecture.num_classes, 1))] = 1
    return atoms
