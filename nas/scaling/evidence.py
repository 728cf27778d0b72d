"""What trainings tell: networks, what they cost, and how accurate they were from which seeds, whoever trained them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nas.documents import flatten
from nas.errors import StudyError
from nas.fronts.geometry import Array
from nas.fronts.judged import guess_noise
from nas.fronts.noise import Noise, seed_noise
from nas.fronts.posterior import Trainings
from nas.fronts.shrinkage import expected

COSTS = {"flops": "FLOPs", "params": "parameters", "activations": "activations", "seconds": "training time"}
"""What trainings tell of a network's cost, and what people call it."""


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network and all its whole trainings.

    Attributes:
        digest: Of the network.
        space: Name of the search space.
        width: Width coefficient.
        depth: Depth coefficient.
        resolution: In pixels.
        flops: FLOPs of one image, as fvcore counts them.
        params: Number of trainable parameters.
        activations: Number of output elements of all convolutions and linear layers for one image.
        accuracies: On the validation images after the last epoch, in 0 to 1, by the seed of the training.
        seconds: Mean duration of a training; None where it is not known.
        choices: Values of the other dimensions, in the order of ``nas.architecture.space.DIMENSIONS``.
    """

    digest: str
    space: str
    width: float
    depth: float
    resolution: int
    flops: int
    params: int
    activations: int
    accuracies: Mapping[int, float] = field(hash=False)
    seconds: float | None = None
    choices: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def accuracy(self) -> float:
        """Mean over the seeds."""
        return math.fsum(self.accuracies.values()) / len(self.accuracies)

    @property
    def error(self) -> float:
        """Share of the validation images that are wrong, mean over the seeds."""
        return 1 - self.accuracy

    @property
    def family(self) -> str:
        """Space and choices: networks of one family differ in width, depth and resolution alone."""
        return " ".join((self.space, *(f"{key} {value}" for key, value in self.choices.items())))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Trainings that may be compared: of the same images, split and recipe.

    Attributes:
        source: Where they come from, in a few words.
        networks: By FLOPs.
        circumstances: What all have in common, as plain data: recipe, images and their split.
        train_images: Number of training images; None where it is not known.
        val_images: Number of validation images.
        epochs: Of each training; None where the recipe counts otherwise.
    """

    source: str
    networks: tuple[TrainedNetwork, ...]
    circumstances: Mapping[str, Any] = field(hash=False)
    train_images: int | None
    val_images: int
    epochs: int | None = None

    @property
    def noise(self) -> Noise:
        """How far one training moves with its seed."""
        several = [tuple(network.accuracies.values()) for network in self.networks]
        return seed_noise(several, val_images=self.val_images)

    @property
    def families(self) -> dict[str, Evidence]:
        """The same by family."""
        names = dict.fromkeys(network.family for network in self.networks)
        return {name: self.only(n for n in self.networks if n.family == name) for name in names}

    def only(self, networks: Iterable[TrainedNetwork]) -> Evidence:
        """Return the same of some networks."""
        return replace(self, networks=tuple(sorted(networks, key=lambda n: (n.flops, n.digest))))

    def column(self, name: str) -> Array:
        """Return a number of all networks, such as ``flops`` or ``error``, as float64 of shape (networks,)."""
        return np.array([getattr(network, name) for network in self.networks], dtype=float)

    @property
    def errors(self) -> Array:
        """Of all networks, above zero: half an image stands for none; as float64 of shape (networks,)."""
        return np.maximum(self.column("error"), 0.5 / self.val_images)

    def expected(self, networks: Sequence[TrainedNetwork]) -> Array:
        """Return the accuracies to expect of some of the networks, without the luck of their seeds.

        Args:
            networks: By FLOPs.
        """
        guess = guess_noise([tuple(n.accuracies.values()) for n in self.networks], {}, val_images=self.val_images)
        return expected([Trainings(n.flops, n.family, tuple(n.accuracies.values())) for n in networks], guess)

    @property
    def trainings(self) -> Array:
        """Number of trainings of each network, as float64 of shape (networks,)."""
        return np.array([len(network.accuracies) for network in self.networks], dtype=float)


def pooled(evidence: Sequence[Evidence]) -> Evidence:
    """Return the trainings of several sources as one; a training that two of them have counts once.

    Raises:
        StudyError: They are of different recipes, images or splits; the message names the keys.
    """
    first = evidence[0]
    for other in evidence[1:]:
        if differing := _differences(first.circumstances, other.circumstances):
            names = f"{first.source} and {other.source}"
            raise StudyError(f"{names} cannot be taken together, they differ in {', '.join(differing)}")
    networks = dict[str, TrainedNetwork]()
    for network in (network for each in evidence for network in each.networks):
        known = networks.get(network.digest, network)
        networks[network.digest] = replace(known, accuracies={**network.accuracies, **known.accuracies})
    return replace(first, source=", ".join(each.source for each in evidence)).only(networks.values())


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the keys on which two documents disagree, as paths with both values."""
    ours, theirs = flatten(one), flatten(other)
    keys = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    return [f"{key} ({ours.get(key)} and {theirs.get(key)})" for key in keys]
