"""Laws of error against cost for tables, studies and files of points, family by family."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.analysis.given_points import GivenPoints, read_given
from nas.errors import DataError, UserError
from nas.files import is_table
from nas.fronts.geometry import Array
from nas.scaling.bands import told_by
from nas.scaling.crossing import Crossing, crossing
from nas.scaling.evidence import Evidence
from nas.scaling.laws import JointLaw, Law, fit_joint_law, fit_law


@dataclass(frozen=True, slots=True)
class FamilyLaw:
    """The law of a family.

    Attributes:
        source: What it comes from, in a word.
        family: Of the networks; empty where a source does not say.
        law: Of cost; where numbers of images differ, of cost and images.
        networks: Of the family.
        bands: Whether the points are the best of so many bands of cost, and not all networks.
        with_source: Whether its name begins with the source.
    """

    source: str
    family: str
    law: Law | JointLaw
    networks: int
    bands: bool
    with_source: bool = True

    @property
    def name(self) -> str:
        """The family, with its source unless all come from one."""
        return ": ".join(word for word in (self.source if self.with_source else "", self.family) if word) or self.source

    @property
    def cost(self) -> Array:
        """Costs of the points, rising, of shape (points,)."""
        costs: Array = self.law.points.causes[0]
        return costs


def family_laws(
    sources: Sequence[str | Path],
    *,
    cost: str = "flops",
    storage: str | None = None,
    chance: float | None = None,
    seed: int = 0,
) -> list[FamilyLaw]:
    """Return the law of each family of each source.

    Args:
        sources: Tables of trainings, studies, or CSV files of points.
        cost: ``flops``, ``params``, ``activations`` or ``seconds``.
        storage: URL of the studies' database where it is not in their folders.
        chance: Error of guessing; where it is given, the law M4 is tried too.
        seed: Of the draws that intervals are made of.

    Raises:
        UserError: A source cannot be read, or does not tell what is needed.
    """
    names = _names([str(source) for source in sources])
    return [law for given, name in names.items() for law in _of_source(given, name, cost, storage, chance, seed)]


def _names(sources: Sequence[str]) -> dict[str, str]:
    """Return a name for each source: its last part or, where several end alike, all of it.

    Raises:
        DataError: A source is given twice.
    """
    if twice := next((source for source in sources if sources.count(source) > 1), None):
        raise DataError(f"{twice}: is given twice")
    stems = [Path(source).name.removesuffix(".gz").removesuffix(".csv").removesuffix(".yaml") for source in sources]
    return {source: stem if stems.count(stem) == 1 else source for source, stem in zip(sources, stems, strict=True)}


def laws_of(evidence: Evidence, *, cost: str = "flops", chance: float | None = None, seed: int = 0) -> list[FamilyLaw]:
    """Return the law of each family of some trainings; the arguments are those of ``family_laws``."""
    found = []
    for name, family in evidence.families.items():
        told = told_by(family, cost=cost)
        law = fit_law(told.cost, told.error, weights=told.weights, seed=seed, chance=chance)
        found.append(FamilyLaw("", name, law, len(family.networks), told.best))
    return found


def crossings(laws: Sequence[FamilyLaw]) -> list[tuple[FamilyLaw, FamilyLaw, Crossing]]:
    """Return for each two laws of cost whether and where one overtakes the other.

    Asked for is the range up to ten times the dearest network and, where that cannot be told, that of the networks.
    """
    pairs = itertools.combinations(laws, 2)
    return [
        (first, second, _crossing(first.law, second.law))
        for first, second in pairs
        if isinstance(first.law, Law) and isinstance(second.law, Law)
    ]


def _crossing(first: Law, second: Law) -> Crossing:
    found = crossing(first, second)
    if found.answer != "cannot tell" or not (first.determined and second.determined):
        return found
    costs = np.concatenate([first.points.causes[0], second.points.causes[0]])
    near = crossing(first, second, within=(float(costs.min()), float(costs.max())))
    return found if near.answer == "cannot tell" else near


def is_given(source: str) -> bool:
    """Tell whether a source is a file of points: a CSV file that does not begin with the study of a table."""
    path = Path(source)
    if path.suffix != ".csv":
        return False
    try:
        with path.open("rb") as file:
            return not file.read(1).startswith(b"#")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _of_source(
    source: str, name: str, cost: str, storage: str | None, chance: float | None, seed: int
) -> list[FamilyLaw]:
    if is_given(source):
        try:
            return [_of_points(given, name, chance, seed) for given in read_given(Path(source), cost=cost)]
        except DataError:
            raise
        except UserError as error:
            raise DataError(f"{source}: {error}") from None
    from nas.search.evidence import gather  # loads pandas and Optuna

    evidence = gather(source, storage=None if is_table(source) else storage)
    laws = laws_of(evidence, cost=cost, chance=chance, seed=seed)
    return [replace(law, source=name) for law in laws]


def _of_points(given: GivenPoints, source: str, chance: float | None, seed: int) -> FamilyLaw:
    if given.images is None or len(np.unique(given.images)) == 1:
        law: Law | JointLaw = fit_law(given.cost, given.error, weights=given.weights, seed=seed, chance=chance)
    else:
        law = fit_joint_law(given.cost, given.images, given.error, weights=given.weights, seed=seed)
    return FamilyLaw(source, given.family or "", law, len(given.cost), bands=False)


def short_names(laws: Sequence[FamilyLaw]) -> list[FamilyLaw]:
    """Return the laws by the names of their families alone where all come from one source."""
    several = len({law.source for law in laws}) > 1
    return [replace(law, with_source=several) for law in laws]
