"""A point of a search space: what one network of it is made from, so that others can be made beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nas.architecture.space import SearchSpace
from nas.architecture.spec import Architecture


@dataclass(frozen=True, slots=True)
class Point:
    """A space and the coefficients of one network in it.

    Attributes:
        space: The space, its choices made.
        width: Factor on all channels.
        depth: Factor on the repeats of each stage.
        resolution: Height and width of the input in pixels.
        num_classes: Number of logits.
        in_channels: Number of channels of the images.
        name: A name for people; default: the space and the coefficients.
    """

    space: SearchSpace
    width: float
    depth: float
    resolution: int
    num_classes: int = 1000
    in_channels: int = 3
    name: str = ""

    def architecture(self) -> Architecture:
        """Return the network.

        Raises:
            ConfigError: A coefficient lies outside the space's range.
            ArchitectureError: The resolution is too small for the strides.
        """
        made = self.space.architecture(
            width=self.width,
            depth=self.depth,
            resolution=self.resolution,
            num_classes=self.num_classes,
            in_channels=self.in_channels,
        )
        return replace(made, name=self.name) if self.name else made

    def at(self, *, width: float, depth: float, resolution: int) -> Point:
        """Return another point of the space, for the same images and classes; it has no name."""
        return replace(self, width=width, depth=depth, resolution=resolution, name="")
