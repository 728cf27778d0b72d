"""What a chain of compression is made of: its plan, what its steps need, and what they make."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nas.architecture.cost import count_cost
from nas.architecture.spec import Architecture
from nas.compress.finetune import Watch
from nas.compress.importance import Criterion
from nas.compress.parent import Images, Parent
from nas.compress.prune import Scope
from nas.compress.scoring import onnx_score, weight_bytes
from nas.compress.speed import ROUNDS, Speed
from nas.data.batches import ImageBatches, standardisation
from nas.data.types import ImageSet
from nas.errors import ConfigError
from nas.export.trained import Shown
from nas.models.build import Network
from nas.models.onnx import export_onnx
from nas.records import Figures
from nas.training.preparing import bring
from nas.training.recipe import Recipe


class Plan(NamedTuple):
    """What a chain does.

    Attributes:
        prune: Share of the FLOPs to remove; None for none.
        criterion: As for ``prune_network``, likewise the next two.
        scope: Where channels are removed.
        multiple: Of the channels.
        recipe: How the network is trained on; None where it is not.
        seeds: Number of trainings, of which the best on the validation images is taken.
        int8: Whether weights and feature maps become int8.
        weight_bits: Bits of the weights alone; None where they stay.
        max_drop: Most points of validation accuracy that may be lost, in percent.
        keep: Whether a variant goes on although it loses more, or is no faster.
    """

    prune: float | None = None
    criterion: Criterion = "l2"
    scope: Scope = "uniform"
    multiple: int = 8
    recipe: Recipe | None = None
    seeds: int = 1
    int8: bool = False
    weight_bits: Literal[8, 4] | None = None
    max_drop: float = 1.0
    keep: bool = False

    @property
    def changed(self) -> list[str]:
        """Names of the numbers and words that are not as by default."""
        names = ("criterion", "scope", "multiple", "seeds", "max_drop")
        return [name for name in names if getattr(self, name) != self._field_defaults[name]]


@dataclass(frozen=True, slots=True)
class Link:
    """A network of the chain as a file.

    Attributes:
        name: For people.
        step: That made it; empty for the first.
        precision: Of its weights.
        file: An ONNX file.
        architecture: What it is.
        network: With its weights, on the CPU: of int8 files, the one in float32 that they were made of.
        val_accuracy: On the validation images, in 0 to 1; None where there are none.
        refused: Why it would be refused; empty where it would not.
        facts: How it was made: plain JSON data.
    """

    name: str
    step: str
    precision: str
    file: Path
    architecture: Architecture
    network: Network
    val_accuracy: float | None
    refused: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def figures(self, speed: Speed) -> Figures:
        """Return what was measured of it."""
        cost, size = count_cost(self.architecture), self.file.stat().st_size
        latency = speed.median_ms(self.name) if self.name in speed.times else None
        return Figures(cost.flops, cost.params, weight_bytes(self.file), size, self.val_accuracy, latency)


class Done(NamedTuple):
    """A chain that has ended.

    Attributes:
        links: The network that it began with, then one for each step.
        speed: Of all of them, measured by turns.
        tested: Accuracy on the test images of the last link, and of the last one in float32; None without images.
        tests: Number of test images.
        shown: Images to compare formats on.
    """

    links: tuple[Link, ...]
    speed: Speed
    tested: tuple[float, float] | None
    tests: int
    shown: Shown


class Workshop(NamedTuple):
    """What all steps need.

    Attributes:
        parent: The network that the chain begins with.
        images: To train, calibrate and judge on; None where there are none.
        plan: What to do.
        folder: For files on the way.
        device: That trains.
        watch: Is told how far it is.
        rounds: Of each measurement of time.
    """

    parent: Parent
    images: Images | None
    plan: Plan
    folder: Path
    device: torch.device
    watch: Watch
    rounds: int = ROUNDS

    def score(self, file: Path, part: ImageSet | None = None) -> float | None:
        """Return how good a file is on some images, or the validation images; None where there are none."""
        if self.images is None:
            return None
        metric, dataset = self.images.recipe.metric, self.images.dataset
        brought = self.brought(dataset.validation if part is None else part)
        return onnx_score(file, brought, classes=len(dataset.classes), metric=metric if part is None else "accuracy")

    def brought(self, part: ImageSet) -> ImageBatches:
        """Return images as inputs of the network, on the CPU."""
        assert self.images is not None
        return bring(
            part,
            resolution=self.parent.architecture.resolution,
            standard=standardisation(self.images.dataset),
            recipe=Recipe(),
            device=torch.device("cpu"),
        )

    def inputs(self, part: ImageSet) -> NDArray[np.float32]:
        """Return images as one array, float32 of shape (images, channels, side, side)."""
        batches = self.brought(part).in_order(len(part))
        return np.ascontiguousarray(next(batches).images.numpy())

    def exported(self, network: Network, name: str) -> Path:
        """Write a network as ONNX."""
        path = self.folder / name
        one = self.parent.architecture
        export_onnx(network, torch.zeros(2, one.in_channels, one.resolution, one.resolution), path)
        return path


def require_steps(plan: Plan) -> None:
    """Refuse a plan that does nothing, or cannot be meant.

    Raises:
        ConfigError: It does.
    """
    if plan.prune is None and plan.recipe is None and not plan.int8 and plan.weight_bits is None:
        raise ConfigError("nothing to do: give --prune, --teacher, --int8 or --weight-bits")
    if plan.prune is not None and not 0 < plan.prune < 1:
        raise ConfigError(f"--prune must be a share of the FLOPs above 0 and below 1, but is {plan.prune:g}")
    if plan.int8 and plan.weight_bits is not None:
        raise ConfigError("--int8 and --weight-bits cannot be used together: int8 makes the weights small too")
    if not 0 <= plan.max_drop <= 100:
        raise ConfigError(f"--max-drop must be points of accuracy from 0 to 100, but is {plan.max_drop:g}")
