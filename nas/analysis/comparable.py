"""Which studies may stand beside each other, and what they are called there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from nas.errors import StudyError
from nas.records import metric_name
from nas.search.study import Study


def require_comparable(studies: Sequence[Study]) -> None:
    """Refuse studies whose accuracies say nothing of each other.

    Raises:
        StudyError: Two have other images, as far as that is known, or another metric; it names them.
    """
    for first, second in combinations(studies, 2):
        both = f"studies {first.name!r} and {second.name!r} cannot be compared"
        if _others(first.fingerprint, second.fingerprint) or _others(
            first.image_digests().content, second.image_digests().content
        ):
            raise StudyError(f"{both}: they were run on other images")
        metrics = [metric_name(study.config.recipe.metric) for study in (first, second)]
        if metrics[0] != metrics[1]:
            raise StudyError(f"{both}: one goes by {metrics[0]}, the other by {metrics[1]}")


def require_different(studies: Sequence[Study]) -> None:
    """Refuse a study that is given twice.

    Raises:
        StudyError: One is; it names it.
    """
    for first, second in combinations(studies, 2):
        if (first.name, first.storage) == (second.name, second.storage):
            raise StudyError(f"study {first.name!r} was given twice; give another")


def told_apart(names: Sequence[str]) -> list[str]:
    """Return the names of studies; those that several have, in several databases, are numbered."""
    return [
        f"{name} ({names[: index + 1].count(name)})" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]


def _others(first: str | None, second: str | None) -> bool:
    """Tell whether two digests, where both are known, are of other images."""
    return bool(first and second and first != second)
