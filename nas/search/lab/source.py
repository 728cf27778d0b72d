"""What the lab asks: a study, to which trainings can be added, or a table of trainings, which stays as it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.architecture.point import Point
from nas.architecture.spec import Architecture
from nas.errors import StudyError
from nas.files import is_table
from nas.scaling.effective import Ruler, effective
from nas.scaling.evidence import Evidence, TrainedNetwork
from nas.search.evidence import evidence_for, evidence_of
from nas.search.lab.studies import made_point
from nas.search.opening import find_study
from nas.search.proposals import architecture_of
from nas.search.study import Study
from nas.tables import Table, read_table


@dataclass(frozen=True)
class Source:
    """A study or a table, as the lab sees it.

    Attributes:
        study: To which trainings can be added; None for a table.
        table: Which has what it has; None for a study.
        name: For people.
    """

    study: Study | None
    table: Table | None
    name: str

    def evidence(self) -> Evidence:
        """Return what was trained: of a study and of its like in the same database, or of a table.

        Raises:
            StudyError: Nothing was trained yet.
        """
        if self.table is not None:
            return evidence_of(self.table, source=self.name)
        return evidence_for(self.opened)

    @property
    def opened(self) -> Study:
        """The study.

        Raises:
            StudyError: It is a table.
        """
        if self.study is None:
            raise StudyError(f"{self.name} is a table, to which no training can be added; name a study")
        return self.study

    def made(self, network: TrainedNetwork) -> Architecture:
        """Return the architecture of a trained network."""
        if self.study is not None:
            return self.study.stored_architecture(network.digest)
        assert self.table is not None
        parameters = {"space": network.space, "width": network.width, "depth": network.depth}
        given = {**parameters, "resolution": network.resolution, **network.choices}
        return architecture_of(self.table.study.search, given, self.table.kind)

    def point(self, network: TrainedNetwork) -> Point:
        """Return the coefficients of a trained network, from which others can grow."""
        architecture = self.made(network)
        config = self.table.study if self.table is not None else self.opened.config
        return made_point(config.search, network, architecture)

    def named(self, family: str) -> Evidence:
        """Return the trainings of a family.

        Raises:
            StudyError: There are none.
        """
        families = self.evidence().families
        if family not in families:
            raise StudyError(f"{self.name} has no trained network of {family!r}; it has {', '.join(families)}")
        return families[family]

    def family(self, point: Point) -> Evidence:
        """Return the trainings of the networks that differ from one in width, depth and resolution alone.

        Their width and depth are those that they really have after rounding (``nas/scaling/effective.py``).

        Raises:
            StudyError: There are none.
        """
        return self.measured(self.named(point.space.name), point)

    def measured(self, family: Evidence, point: Point) -> Evidence:
        """Return the trainings of a family by the width and depth that its networks really have, beside one of it."""
        return effective(family, self.made, ruler=Ruler(point.width, point.depth, point.architecture()))

    def nearest(self, *, space: str | None, width: float | None, depth: float | None, resolution: int | None) -> Point:
        """Return the trained network that is nearest to some coefficients.

        Of those left out, the space is that with most networks, and the others have its median. So without any it is
        a network from the middle, and a larger family has more to say.

        Raises:
            StudyError: No network of that space was trained.
        """
        family = self.largest() if space is None else self.named(space)
        given = {"width": width, "depth": depth, "resolution": resolution}
        places = np.log(np.column_stack([family.column(key) for key in given]))
        wanted = [
            np.median(places[:, i]) if value is None else math.log(value) for i, value in enumerate(given.values())
        ]
        return self.point(family.networks[int(np.abs(places - wanted).sum(axis=1).argmin())])

    def largest(self) -> Evidence:
        """Return the trainings of the family that has most networks."""
        return max(self.evidence().families.values(), key=lambda family: len(family.networks))

    def points(self, networks: Sequence[TrainedNetwork]) -> list[Point]:
        """Return the coefficients of trained networks."""
        return [self.point(network) for network in networks]


@contextmanager
def open_source(source: str, *, storage: str | None = None) -> Iterator[Source]:
    """Open a table's file (``.csv``, ``.csv.gz``) or a study, which need not have been run.

    Raises:
        StudyError: There is no such table, or ``storage`` does not apply to it.
        ConfigError: There is no such study.
    """
    path = Path(source)
    if is_table(path):
        if storage is not None:
            raise StudyError(f"storage does not apply: {source} is a table")
        yield Source(None, read_table(path), path.name)
        return
    with find_study(source, storage=storage) as found:
        study = found.as_begun()
        yield Source(study, None, study.name)
