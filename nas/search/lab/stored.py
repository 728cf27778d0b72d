"""What the scaling studies of a study have told already: their questions answered again, without any training."""

from __future__ import annotations

from collections.abc import Iterator

from nas.architecture.point import Point
from nas.config.search import Asked
from nas.errors import StudyError
from nas.scaling.costs import cost_kind
from nas.scaling.evidence import Evidence
from nas.scaling.rules import rule_from_json
from nas.scaling.simplex import Simplex
from nas.scaling.trust import Trust, trust
from nas.search.evidence import evidence_for
from nas.search.lab.compare import Comparison, ask_comparison
from nas.search.lab.data import DataAnswer, law_of_parts
from nas.search.lab.shape import ShapeAnswer, ask_doubling, ask_shape
from nas.search.lab.source import Source
from nas.search.study import Study


def scaling_studies(study: Study, kind: str) -> Iterator[tuple[str, Study]]:
    """Yield the scaling studies of one kind, such as ``shape``, with their names; several families have one each."""
    for name in study.scaling_names():
        if name.split("-")[0] == kind:
            yield name, study.scaling(name)


def stored_shape(source: Source, scaling: Study) -> ShapeAnswer:
    """Return the best shapes by all that was trained about the costs that a star sweep asked for.

    Raises:
        UserError: What was trained does not tell.
    """
    asked = _asked(scaling)
    return ask_shape(source, _baseline(scaling, asked), levels=asked.levels, kind=cost_kind(asked.cost))


def stored_doubling(source: Source, scaling: Study) -> Simplex:
    """Return how error follows the shares of twice the FLOPs.

    Raises:
        UserError: What was trained does not tell.
    """
    return ask_doubling(source, _baseline(scaling, _asked(scaling)))


def stored_comparison(source: Source, scaling: Study) -> Comparison:
    """Return what the networks of the compared rules gave.

    Raises:
        UserError: Nothing was trained yet.
    """
    asked = _asked(scaling)
    rules = [rule_from_json(text, source=scaling.name) for text in asked.rules]
    return ask_comparison(source, _baseline(scaling, asked), rules, asked.phis, kind=cost_kind(asked.cost))


def stored_data(source: Source) -> dict[str, DataAnswer]:
    """Return what trainings on parts of the images tell, by family; of the only one the name is empty.

    Raises:
        UserError: They do not tell.
    """
    trained = dict[str, dict[int, Evidence]]()
    for name, study in scaling_studies(source.opened, "data"):
        _, count, *family = name.split("-", 2)
        trained.setdefault("".join(family), {})[int(count)] = evidence_for(study)
    return {family: _of_parts(dict(sorted(parts.items()))) for family, parts in trained.items()}


def _of_parts(trained: dict[int, Evidence]) -> DataAnswer:
    everywhere = set.intersection(*({n.digest for n in evidence.networks} for evidence in trained.values()))
    same = {count: each.only(n for n in each.networks if n.digest in everywhere) for count, each in trained.items()}
    flops = [network.flops for evidence in same.values() for network in evidence.networks]
    if not flops:
        raise StudyError("no network was trained on all parts of the images yet")
    return law_of_parts(same, images=max(same), flops=float(max(flops)))


def stored_trust(source: Source) -> list[Trust]:
    """Return what trainings that the database has tell of a study's short ones; empty where none are there.

    Raises:
        StudyError: Nothing was trained yet.
    """
    longer = [evidence_for(study) for _, study in scaling_studies(source.opened, "trust")]
    short = source.evidence() if longer else None
    return [trust(short, each) for each in longer if short is not None]


def _asked(scaling: Study) -> Asked:
    if scaling.config.search.asked is None:
        raise StudyError(
            "an earlier version has not kept what was asked; ask again, what is trained is not trained anew"
        )
    return scaling.config.search.asked


def _baseline(scaling: Study, asked: Asked) -> Point:
    """Return the network that grows; classes and channels are those of any network of the study."""
    trials = scaling.trials()
    if not trials:
        raise StudyError("nothing was trained yet")
    like, network = scaling.architecture(trials[0]), asked.baseline
    space = scaling.config.search.spaces[0]
    return Point(space, network.width, network.depth, network.resolution, like.num_classes, like.in_channels)
