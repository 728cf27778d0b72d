"""nas front: which network to take, and the front that it stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from nas.cli.options import AsJson, Storage, StudyArgument, parsed, print_json
from nas.cli.output import say
from nas.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from nas.analysis.costs import CostFront
    from nas.analysis.pareto import FrontPoint
    from nas.analysis.recommendation import Recommendation
    from nas.analysis.variants import Beside
    from nas.records import Metric, Reference
    from nas.search.study import Study


class SeenFront(NamedTuple):
    """What there is to see of a study's front.

    Attributes:
        study: Its name.
        metric: By which its networks were compared.
        front: Over the cost that was asked for.
        answer: Which network to take, by FLOPs; None where nothing is trained yet.
        knee: Of the front that is shown.
        findings: What to know of the result, each in one sentence.
        references: Networks that were trained on the same images.
        variants: What ``nas compress`` made, beside the searched networks of no more FLOPs.
    """

    study: str
    metric: Metric
    front: CostFront
    answer: Recommendation | None
    knee: FrontPoint | None
    findings: list[str]
    references: list[Reference]
    variants: list[Beside]


def front(
    study: StudyArgument,
    max_flops: Annotated[
        str | None, typer.Option(help="Only networks with at most this many FLOPs, such as 20M.")
    ] = None,
    knee: Annotated[
        bool, typer.Option("--knee", help="Only the knee of the front: from there on, more cost brings less.")
    ] = False,
    against: Annotated[
        str,
        typer.Option(
            metavar="COST",
            help="Cost that accuracy is held against: flops, params, activations, weight_bytes, peak_memory,"
            " latency_ms or train_seconds.",
        ),
    ] = "flops",
    variants: Annotated[
        bool, typer.Option("--variants", help="What nas compress made of the networks, in place of the front.")
    ] = False,
    storage: Storage = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the front as CSV.")] = False,
) -> None:
    """Say which network to take, and show the front.

    The Pareto front is that of accuracy against FLOPs, or another cost.
    """
    from nas.cli.progress import make_console
    from nas.search.opening import open_study
    from nas.units import parse_count

    if as_json and as_csv:
        raise ConfigError("--json and --csv cannot be used together")
    given = [("--max-flops", max_flops is not None), ("--knee", knee), ("--against", against != "flops")]
    if variants and (other := next((option for option, typed in given if typed), None)) is not None:
        raise ConfigError(f"{other} and --variants cannot be used together: it shows all variants at all their costs")
    limit = None if max_flops is None else parsed("--max-flops", max_flops, parse_count)
    with open_study(study, storage=storage) as opened:
        seen = seen_front(opened, max_flops=limit, against=against)
    if knee:
        seen = _knee_alone(seen)
    if as_json:
        print_json(front_document(seen))
    elif as_csv:
        say(_variants_csv(seen) if variants else _csv(seen), end="")
    elif variants:
        _show_variants(make_console(), seen)
    elif knee:
        say(_knee_line(seen))
    else:
        show_front(make_console(), seen)


def seen_front(study: Study, *, max_flops: int | None = None, against: str = "flops") -> SeenFront:
    """Return what there is to see of a study's front.

    Raises:
        ConfigError: Accuracy cannot be held against such a cost.
        StudyError: The cost was not measured, or no trained network has so few FLOPs.
    """
    from nas.analysis.costs import judged_against
    from nas.analysis.findings import findings
    from nas.analysis.pareto import front_of
    from nas.analysis.recommendation import knee, recommended
    from nas.analysis.variants import variants_beside

    judgement = study.judgement()
    asked = max_flops is not None or against != "flops"  # for what there is not, where nothing is trained
    answer = recommended(study, judgement, max_flops=max_flops) if judgement.networks or asked else None
    front = judged_against(study, judgement, against, max_flops=max_flops)
    return SeenFront(
        study.name,
        study.config.recipe.metric,
        front,
        answer,
        knee(front.points, [front.value(point.trial) for point in front.points]),
        findings(study, front_of(judgement)),
        study.references(),
        variants_beside(study),
    )


def show_front(console: Console, seen: SeenFront) -> None:
    """Print which network to take, a study's front, and what there is to say of both."""
    from nas.cli.tables.fronts import front_notes, front_table, marks_of, reference_lines
    from nas.records import metric_name

    marks, cost = marks_of(seen.answer, seen.knee), seen.front.costed.cost
    over = "" if cost.name == "flops" else f" over {cost.label}"
    title = f"Pareto front of {seen.study} by {metric_name(seen.metric)}{over}"
    if seen.answer is not None:
        console.print(seen.answer.sentence, soft_wrap=True)
        console.print()
    console.print(front_table(seen.front, title=title, width=console.width, marks=marks))
    notes = (*front_notes(seen.front, marks, cost=cost.label), *seen.front.costed.notes)
    doubts = () if seen.answer is None else seen.answer.doubts
    made = f"Variants that nas compress made: {len(seen.variants)}; nas front {seen.study} --variants shows them."
    beside = [*reference_lines(seen.references), *([made] if seen.variants else [])]
    for line in (*beside, *notes, *doubts, *seen.findings):
        console.print(line, soft_wrap=True)


def front_document(seen: SeenFront) -> dict[str, Any]:
    """Return a front as ``--json`` prints it."""
    from dataclasses import asdict

    costed = seen.front.costed

    def rows(points: tuple[FrontPoint, ...]) -> list[dict[str, Any]]:
        value = {point: {costed.cost.name: seen.front.value(point.trial)} for point in points}
        return [{**asdict(point.trial), **value[point], **point.facts()} for point in points]

    return {
        "study": seen.study,
        "recommendation": None if seen.answer is None else _answer_document(seen.answer),
        "noise": {**asdict(seen.front.noise), "assumed": seen.front.noise.assumed},
        "against": {"cost": costed.cost.name, "unit": costed.cost.unit, "notes": list(costed.notes)},
        "knee": None if seen.knee is None else seen.knee.trial.number,
        "front": rows(seen.front.points),
        "contenders": rows(seen.front.contenders),
        "references": [asdict(reference) for reference in seen.references],
        "variants": [
            {
                **asdict(one.variant),
                "searched": None if one.searched is None else one.searched.trial.number,
            }
            for one in seen.variants
        ],
        "findings": seen.findings,
    }


def _answer_document(answer: Recommendation) -> dict[str, Any]:
    from dataclasses import asdict

    def number(point: FrontPoint | None) -> int | None:
        return None if point is None else point.trial.number

    return {
        "sentence": answer.sentence,
        "max_flops": answer.max_flops,
        "best": number(answer.best),
        "cheapest": number(answer.cheapest),
        "knee": number(answer.knee),
        "reference": None if answer.reference is None else answer.reference.name,
        "growth": None if answer.growth is None else {**asdict(answer.growth), "stagnant": answer.growth.stagnant},
        "doubts": list(answer.doubts),
    }


def _csv(seen: SeenFront) -> str:
    from nas.analysis.frames import points_frame

    values = [seen.front.value(point.trial) for point in seen.front.points]
    frame = points_frame(seen.front.points)
    cost = seen.front.costed.cost.name
    text: str = (frame if cost in frame else frame.assign(**{cost: values})).to_csv(index=False)
    return text


def _show_variants(console: Console, seen: SeenFront) -> None:
    """Print what nas compress made, each beside what the search has for as many FLOPs."""
    from nas.cli.tables.variants import variant_notes, variants_table

    if not seen.variants:
        console.print(f"nas compress has made nothing of a network of {seen.study} yet.", soft_wrap=True)
        return
    searched = {one.variant.name: one.searched for one in seen.variants}
    made = [one.variant for one in seen.variants]
    title = f"Variants of {seen.study}"
    console.print(variants_table(made, title=title, width=console.width, searched=searched))
    for line in variant_notes(made, searched=True):
        console.print(line, soft_wrap=True)


def _variants_csv(seen: SeenFront) -> str:
    from nas.analysis.variants import frame_of

    frame = frame_of(one.variant for one in seen.variants)
    numbers = [None if one.searched is None else one.searched.trial.number for one in seen.variants]
    frame["searched"] = numbers
    text: str = frame.astype({"searched": "Int64"}).to_csv(index=False)
    return text


def _knee_alone(seen: SeenFront) -> SeenFront:
    """Return the knee as if it were the whole front.

    Raises:
        StudyError: There is none.
    """
    from dataclasses import replace

    from nas.analysis.recommendation import require_knee

    found = require_knee(seen.study, seen.knee, networks=len(seen.front.points))
    return seen._replace(front=replace(seen.front, points=(found,), others=()))


def _knee_line(seen: SeenFront) -> str:
    from nas.analysis.recommendation import network_words
    from nas.units import format_percent

    point, cost = seen.front.points[0], seen.front.costed.cost
    accuracy = format_percent(point.shrunk_accuracy, point.standard_error)
    at = cost.write(seen.front.value(point.trial))
    where = f"{at} {cost.label}" if not cost.unit else f"{cost.label} {at}"
    return (
        f"The knee is trial {point.trial.number} ({network_words(point.trial)}): {accuracy} at {where}. It is the"
        f" network farthest above the straight line from the cheapest to the most accurate (over log {cost.label})."
    )
