"""nas scale family: the networks that a rule makes of a baseline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.network import (
    ActivationName,
    Cardinality,
    Channels,
    Classes,
    Depth,
    Expansion,
    Kernel,
    Resolution,
    SqueezeExcitation,
    Width,
    given_options,
)
from nas.cli.options import AsJson, Storage, parsed, print_json
from nas.cli.scale.baseline import baseline_of
from nas.errors import ConfigError

if TYPE_CHECKING:
    from nas.architecture.point import Point
    from nas.scaling.costs import CostKind
    from nas.scaling.family import Member
    from nas.scaling.rules import Rule
    from nas.scaling.seconds import SecondsModel

MOST_MEMBERS = 200
"""Networks of one family; more are a mistake."""


def family(
    baseline: Annotated[
        str,
        typer.Argument(
            metavar="SPACE|PRESET|FILE|STUDY#N", help="The network to begin with; a space begins at (1, 1)."
        ),
    ],
    rule: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="compound, width, depth, resolution, fast or efficientnet; a rule file (.json); or factors for each"
            " doubling, such as width=1.25,depth=1,resolution=1.13.",
        ),
    ] = "compound",
    phi: Annotated[
        str, typer.Option(metavar="FROM:TO[:STEP]|N,N...", help="Numbers of doublings, for example 0:7 or 0,0.5,1.")
    ] = "0:7",
    alpha: Annotated[
        float | None,
        typer.Option(help="Depth factor of compound (1.2), or the width's share of the growth in fast (0.8)."),
    ] = None,
    beta: Annotated[float | None, typer.Option(help="Width factor of compound.  [default: 1.1]")] = None,
    gamma: Annotated[float | None, typer.Option(help="Resolution factor of compound.  [default: 1.15]")] = None,
    cost: Annotated[
        str,
        typer.Option(
            help="What doubles: flops, multiply_adds, activations, params, peak_memory or train_seconds. The rule keeps"
            " its proportions."
        ),
    ] = "flops",
    exact: Annotated[
        bool, typer.Option("--exact", help="Take the networks of the rule that are nearest to the promised cost.")
    ] = False,
    multiple: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pixels that resolutions are a multiple of.  [default: 8; 4 for efficientnet; a small space's step]",
        ),
    ] = None,
    width: Width = None,
    depth: Depth = None,
    resolution: Resolution = None,
    classes: Classes = None,
    channels: Channels = None,
    kernel: Kernel = None,
    expansion: Expansion = None,
    cardinality: Cardinality = None,
    activation: ActivationName = None,
    squeeze_excitation: SqueezeExcitation = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Show the networks that a scaling rule makes, and how far their true cost is from the one it promises."""
    from nas.scaling.family import default_multiple, scale_family
    from nas.scaling.rules import scaling_rule

    options = given_options(
        width=width,
        depth=depth,
        resolution=resolution,
        classes=classes,
        channels=channels,
        kernel=kernel,
        expansion=expansion,
        cardinality=cardinality,
        activation=activation,
        squeeze_excitation=squeeze_excitation,
    )
    phis, law = parsed("--phi", phi, parse_phis), _seconds_law(baseline, storage)
    kind = _cost_kind(cost, law)
    grown = scaling_rule(rule, **given_options(alpha=alpha, beta=beta, gamma=gamma))
    start = baseline_of(baseline, options, storage)
    seconds = None if law is None else law.of
    members = scale_family(start, grown, phis, kind=kind, exact=exact, multiple=multiple, seconds=seconds)
    pixels = multiple or default_multiple(start, grown)
    if as_json:
        print_json(_document(start, grown.doubling(kind), kind, members, exact=exact, multiple=pixels))
    else:
        _print(start, grown.doubling(kind), kind, members, exact=exact)


def parse_phis(text: str) -> tuple[float, ...]:
    """Read numbers of doublings: a range with both ends such as ``0:7`` or ``0:2:0.5``, or a list such as ``0,1,2.5``.

    Raises:
        ValueError: The text is neither, or means too many numbers.
    """
    wrong = f"{text!r} is neither a range nor a list; write for example 0:7, 0:2:0.5 or 0,1,2.5"
    listed = ":" not in text
    try:
        numbers = [float(part) for part in text.split("," if listed else ":")]
    except ValueError:
        raise ValueError(wrong) from None
    if not all(map(math.isfinite, numbers)) or not (listed or len(numbers) in (2, 3)):
        raise ValueError(wrong)
    if listed:
        return tuple(dict.fromkeys(numbers))
    first, last, step = (*numbers, 1.0)[:3]
    if step <= 0 or last < first:
        raise ValueError(f"{text!r} holds no number: the range goes up, in steps above 0")
    if (last - first) / step > MOST_MEMBERS:
        raise ValueError(f"{text!r} means more than {MOST_MEMBERS} networks")
    return tuple(round(first + index * step, 9) for index in range(int((last - first) / step + 1e-9) + 1))


def _seconds_law(baseline: str, storage: str | None) -> SecondsModel | None:
    """Return how long networks train in the study whose trial a family begins with; None where nothing tells it."""
    if "#" not in baseline or Path(baseline).exists():
        return None
    from nas.cli.trial import named_trial
    from nas.search.seconds import seconds_law

    with named_trial(baseline, storage) as (study, _):
        return seconds_law(study)


def _cost_kind(name: str, law: SecondsModel | None) -> CostKind:
    from nas.scaling.costs import TRAIN_SECONDS, cost_kind, train_seconds

    if name != TRAIN_SECONDS:
        return cost_kind(name)
    if law is None:
        raise ConfigError(
            "--cost train_seconds: nothing tells how long networks train; begin with a trial of a study (STUDY#N) that"
            " has trained five networks, or that nas check has timed"
        )
    return train_seconds(law)


def _document(
    start: Point, rule: Rule, kind: CostKind, members: tuple[Member, ...], *, exact: bool, multiple: int
) -> dict[str, Any]:
    network = start.architecture()
    return {
        "baseline": {
            "name": network.name,
            "space": start.space.name,
            "width": start.width,
            "depth": start.depth,
            "resolution": start.resolution,
            "num_classes": start.num_classes,
            "in_channels": start.in_channels,
            "digest": network.digest,
        },
        "rule": {"name": rule.name, **rule.step(), "cost": rule.cost, "source": rule.source},
        "cost": kind.name,
        "exact": exact,
        "multiple": multiple,
        "members": [_row(member) for member in members],
    }


def _row(member: Member) -> dict[str, Any]:
    counted = ("flops", "multiply_adds", "params", "activations", "peak_memory")
    return {
        "phi": member.phi,
        "width": member.point.width,
        "depth": member.point.depth,
        "resolution": member.point.resolution,
        "channels": member.channels,
        "repeats": member.repeats,
        "digest": member.architecture.digest,
        **{name: getattr(member.cost, name) for name in counted},
        "train_seconds": member.train_seconds,
        "nominal_growth": 2**member.phi,
        "growth": member.growth,
        "drift_percent": member.drift,
        "multiply_adds_growth": member.multiply_adds_growth,
        "multiply_adds_drift_percent": member.multiply_adds_drift,
    }


def _print(start: Point, rule: Rule, kind: CostKind, members: tuple[Member, ...], *, exact: bool) -> None:
    """Print what the family is in two sentences, then network by network."""
    from nas.cli.progress import make_console
    from nas.cli.tables.families import drift_text, family_notes, family_table

    console = make_console()
    farthest = max(members, key=lambda member: abs(member.drift))
    how = ", the networks nearest to the promised cost" if exact else ""
    console.print(f"{start.architecture().name} by rule {rule}{how}", soft_wrap=True)
    drift = f"{drift_text(farthest.drift)} at phi {farthest.phi:g}"
    console.print(f"{kind.label}: farthest from the promised 2^phi by {drift}", soft_wrap=True)
    console.print(family_table(members, kind, width=console.width))
    for note in family_notes(members, exact=exact):
        console.print(note, soft_wrap=True)
