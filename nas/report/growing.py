"""The report's section on growth: what the scaling studies of a study have told. It trains nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from nas import plots
from nas.analysis.law_sentences import crossing_text, law_text
from nas.analysis.laws import crossings, laws_of
from nas.errors import UserError
from nas.report.figures import Drawing, drawing
from nas.search.lab.source import Source
from nas.search.lab.stored import (
    scaling_studies,
    stored_comparison,
    stored_data,
    stored_doubling,
    stored_shape,
)
from nas.search.study import Study
from nas.units import sentence

if TYPE_CHECKING:
    from nas.search.lab.compare import Grown

KINDS = ("shape", "search", "compare", "data")
"""Scaling studies that the section tells of; trust stands beside the front."""


@dataclass(frozen=True, slots=True)
class Told:
    """One answer.

    Attributes:
        title: Above it.
        sentences: The answer, one paragraph each.
        figure: None where there is none.
        grown: Networks of rules, for a table.
    """

    title: str
    sentences: tuple[str, ...]
    figure: Drawing | None = None
    grown: tuple[Grown, ...] = ()


def told_growth(study: Study) -> list[Told]:
    """Return what is known of how the networks of a study should grow; nothing where it was never asked.

    What cannot be told says so, and why.
    """
    asked = {kind: list(scaling_studies(study, kind)) for kind in KINDS}
    if not any(asked.values()):
        return []
    source = Source(study, None, study.name)
    answers: list[tuple[str, Callable[[], Told]]] = []
    for kind, tell in (("shape", _shape), ("search", _shares), ("compare", _comparison)):
        for name, scaling in asked[kind]:
            answers.append((_titled(kind, name, scaling), partial(tell, source, scaling)))
    answers.append(("How accuracy follows cost", partial(_laws, source)))
    if asked["data"]:
        answers.append(("More images or a larger network?", partial(_images, source)))
    return [_answered(title, tell) for title, tell in answers]


_TITLES = {
    "shape": "The best shape at each cost",
    "search": "The shares of the first doubling",
    "compare": "Rules compared",
}


def _titled(kind: str, name: str, scaling: Study) -> str:
    """Return the title of an answer, with the family where several have one."""
    return _TITLES[kind] if name == kind else f"{_TITLES[kind]}: {scaling.config.search.spaces[0].name}"


def _answered(title: str, tell: Callable[[], Told]) -> Told:
    try:
        return replace(tell(), title=title)
    except UserError as error:
        return Told(title, (f"Cannot tell: {error}.",))


def _shape(source: Source, scaling: Study) -> Told:
    answer = stored_shape(source, scaling)
    networks, trainings = len(answer.evidence.networks), int(answer.evidence.trainings.sum())
    by = (
        f"It grows from {answer.baseline.architecture().name}. By {networks} networks and {trainings} trainings;"
        " intervals hold with a probability of 90 %."
    )
    evidence = replace(answer.evidence, source=source.name)
    return Told("", (sentence(answer.sentence), by), drawing(lambda: plots.shape(answer.best, evidence)))


def _shares(source: Source, scaling: Study) -> Told:
    from nas.search.lab.shape import known_rules

    answer = stored_doubling(source, scaling)
    return Told("", (sentence(answer.sentence),), drawing(lambda: plots.simplex(answer, known_rules())))


def _comparison(source: Source, scaling: Study) -> Told:
    found = stored_comparison(source, scaling)
    left_out = (f"Left out: {line}." for line in found.left_out)
    sentences = (*found.verdicts, *left_out, str(found.noise))
    return Told("", sentences, drawing(lambda: plots.comparison(found)), grown=found.rows)


def _laws(source: Source) -> Told:
    laws = laws_of(source.evidence())
    sentences = [law_text(law, "flops") for law in laws]
    sentences += [crossing_text(*pair, "flops") for pair in crossings(laws) if pair[2].answer != "cannot tell"]
    # the legend says what the points are, of one family too
    return Told("", tuple(sentences), drawing(lambda: plots.law(laws).update_layout(showlegend=True)))


def _images(source: Source) -> Told:
    answers = stored_data(source)
    named = {family: f"{family}: " if family else "" for family in answers}
    return Told("", tuple(f"{named[family]}{sentence(answer.sentence())}" for family, answer in answers.items()))
