"""How far short trainings can be trusted: a sample of networks trained longer, and the orders compared."""

from __future__ import annotations

from collections.abc import Sequence

from nas.errors import StudyError
from nas.scaling.trust import FEWEST, Trust, trust
from nas.search.evidence import evidence_for
from nas.search.lab.shape import Run
from nas.search.lab.source import Source
from nas.search.lab.studies import planned_study, spread_points
from nas.search.study import Study

TIMES = (2, 4)
"""Multiples of the epochs that are tried."""


def longer_studies(source: Source, *, times: Sequence[int] = TIMES, networks: int = 16, seeds: int = 1) -> list[Study]:
    """Return the studies that train a sample of a study's networks for several times the epochs.

    Raises:
        StudyError: The recipe does not count in epochs, or too few networks were trained.
    """
    study = source.opened
    epochs = study.config.recipe.epochs
    if epochs is None:
        raise StudyError(f"study {study.name!r} does not count its trainings in epochs; trust compares numbers of them")
    family = source.largest()
    if len(family.networks) < FEWEST:
        raise StudyError(
            f"{source.name}: trust needs {FEWEST} trained networks of one family, but has {len(family.networks)}"
        )
    points = spread_points(source.points(family.networks), [n.flops for n in family.networks], networks)
    recipes = [study.config.recipe.model_copy(update={"epochs": epochs * factor}) for factor in times]
    return [
        planned_study(study, f"trust-{factor}x", points, seeds=seeds, recipe=recipe)
        for factor, recipe in zip(times, recipes, strict=True)
    ]


def ask_trust(
    source: Source, *, times: Sequence[int] = TIMES, networks: int = 16, seeds: int = 1, run: Run
) -> list[Trust]:
    """Train a sample longer, and return how the orders agree, one answer for each multiple of the epochs.

    Raises:
        StudyError: The recipe does not count in epochs, or too few networks were trained.
    """
    short = source.evidence()
    longer = [evidence_for(run(study)) for study in longer_studies(source, times=times, networks=networks, seeds=seeds)]
    return [trust(short, long) for long in longer]
