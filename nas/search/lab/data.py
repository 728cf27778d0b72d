"""More images or a larger network? The same networks on nested parts of the training images, and one law of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nas.architecture.cost import count_cost
from nas.architecture.point import Point
from nas.errors import ConfigError
from nas.scaling.evidence import Evidence, TrainedNetwork
from nas.scaling.laws import JointLaw, fit_joint_law
from nas.search.evidence import evidence_for
from nas.search.lab.shape import Run
from nas.search.lab.source import Source
from nas.search.lab.studies import planned_study, spread_points
from nas.search.study import Study

PARTS = (0.125, 0.25, 0.5, 1.0)
"""Shares of the training images."""


class DataAnswer(NamedTuple):
    """What trainings on parts of the images tell.

    Attributes:
        law: Of error against FLOPs and images.
        images: Number of all training images.
        flops: Of the dearest network.
        trained: The networks by number of training images.
    """

    law: JointLaw
    images: int
    flops: float
    trained: dict[int, Evidence]

    def sentence(self, times: float = 10.0) -> str:
        """Return what so many times the images, and the FLOPs, would bring."""
        if not self.law.determined:
            return f"cannot tell whether more images or a larger network would bring more: {self.law.reason}"
        here = {"cost": self.flops, "images": float(self.images)}
        images, network = self.law.gain(**here, times_images=times), self.law.gain(**here, times_cost=times)
        brings = f"{times:g} times the images would bring {_points(images)} points"
        return f"{brings}, {times:g} times the FLOPs {_points(network)}"


def _points(gain: tuple[float, float, float]) -> str:
    mean, low, high = (100 * value for value in gain)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def part_studies(
    source: Source, points: Sequence[Point], *, parts: Sequence[float] = PARTS, seeds: int = 1
) -> dict[int, Study]:
    """Return the studies that train networks on parts of the images, by the number of those.

    Raises:
        ConfigError: A part is none, or so small that it has fewer images than there are classes.
    """
    study = source.opened
    everything, classes = len(study.dataset.train), len(study.dataset.classes)
    found = {}
    for part in sorted(set(parts)):
        number = round(part * everything)
        if not 0 < part <= 1 or number < classes:
            raise ConfigError(f"a part of the images is a share such as 0.25 that holds every class, but is {part:g}")
        part_of = {} if number == everything else {"train_images": number}
        data = study.config.data.model_copy(update=part_of)
        found[number] = planned_study(study, f"data-{number}", points, seeds=seeds, data=data)
    return found


def ask_data(
    source: Source,
    *,
    space: str | None = None,
    networks: int = 5,
    parts: Sequence[float] = PARTS,
    seeds: int = 1,
    run: Run,
) -> DataAnswer:
    """Train networks on parts of the images, and return the law of both.

    Args:
        source: A study.
        space: Family that is trained; default: that with most trained networks.
        networks: How many, spread over the cost, of those that are best for theirs.
        parts: Shares of the training images.
        seeds: Trainings of each.
        run: Trains.

    Raises:
        UserError: Too few networks were trained, or a part is none.
    """
    points = _best_points(source, space, networks)
    digests = {point.architecture().digest for point in points}
    trained = dict[int, Evidence]()
    for number, study in part_studies(source, points, parts=parts, seeds=seeds).items():
        evidence = evidence_for(run(study))
        trained[number] = evidence.only(n for n in evidence.networks if n.digest in digests)
    dearest = max(float(count_cost(point.architecture()).flops) for point in points)
    return law_of_parts(trained, images=len(source.opened.dataset.train), flops=dearest)


def law_of_parts(trained: dict[int, Evidence], *, images: int, flops: float) -> DataAnswer:
    """Return what trainings on parts of the images tell.

    Args:
        trained: By number of training images.
        images: Number of all training images.
        flops: Of the dearest network.
    """
    rows = [(network, number) for number, evidence in trained.items() for network in evidence.networks]
    law = fit_joint_law(
        np.array([network.flops for network, _ in rows], float),
        np.array([number for _, number in rows], float),
        np.array([network.error for network, _ in rows]),
        weights=np.array([len(network.accuracies) for network, _ in rows], float),
    )
    return DataAnswer(law, images, flops, trained)


def _best_points(source: Source, space: str | None, count: int) -> list[Point]:
    """Return networks spread over the cost, of each stretch of it the most accurate."""
    family = source.largest() if space is None else source.named(space)
    best = best_by_cost(family.networks, count)
    return spread_points(source.points(best), [network.flops for network in best], count)


def best_by_cost(networks: Sequence[TrainedNetwork], count: int) -> list[TrainedNetwork]:
    """Return the most accurate network of each of so many equal stretches of the logarithm of the cost."""
    logs = np.log([network.flops for network in networks])
    ends = np.linspace(logs.min(), logs.max() + 1e-9, count + 1)
    found = []
    for low, high in zip(ends, ends[1:], strict=False):
        here = [n for n, value in zip(networks, logs, strict=True) if low <= value < high]
        if here:
            found.append(max(here, key=lambda network: network.accuracy))
    return found
