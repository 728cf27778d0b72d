"""Rules by which a network grows: what its width, depth and resolution are multiplied by when a cost doubles.

EfficientNet's compound rule multiplies depth by alpha, width by beta and resolution by gamma for each step of phi,
found so that the FLOPs nearly double (Tan & Le 2019, arXiv:1905.11946, equation 3). Fast scaling gives the share alpha
of the FLOPs' growth to the width, and half of the rest each to depth and resolution (Dollar et al. 2021,
arXiv:2103.06877, table 4; pycls writes its alpha of 0.8 as ``d1_w8_g8_r1``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

from pydantic import ConfigDict, TypeAdapter

from nas.architecture.presets import preset_point
from nas.architecture.space import COEFFICIENTS
from nas.documents import parse_document, read_text
from nas.errors import ConfigError
from nas.scaling.costs import COSTS, FLOPS, TRAIN_SECONDS, CostKind
from nas.schema import did_you_mean

FORMAT_VERSION = 1
"""It is raised when readers of this version could misread a newer rule file."""

MOST_DOUBLINGS = 64
"""More, in either direction, are a mistake."""

_LARGEST = 1e4
"""A factor beyond it, or below its inverse, is a mistake."""


class Factors(NamedTuple):
    """What the coefficients of a network are multiplied by."""

    width: float
    depth: float
    resolution: float


@dataclass(frozen=True, slots=True)
class Rule:
    """How a network grows: factors for each step of phi, in which a cost is meant to double.

    Attributes:
        name: Of the rule.
        width: Factor of the width coefficient for each step.
        depth: Factor of the depth coefficient for each step.
        resolution: Factor of the resolution for each step.
        cost: Name of the cost that is meant to double.
        source: Where the rule comes from, for people.
        published: Factors at phi 0, 1, 2 ... as they were published, which then take the place of the formula.

    Raises:
        ConfigError: On construction: a factor is no positive number, or the rule makes no larger network.
    """

    name: str
    width: float
    depth: float
    resolution: float
    cost: str = FLOPS.name
    source: str = ""
    published: tuple[Factors, ...] = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        """Refuse what is no growth."""
        known = (*COSTS, TRAIN_SECONDS)
        if self.cost not in known:
            raise ConfigError(f"rule {self.name}: unknown cost {self.cost!r}{did_you_mean(self.cost, known)}")
        for key in COEFFICIENTS:
            if not 1 / _LARGEST <= (factor := getattr(self, key)) <= _LARGEST:  # neither is a number that is none
                raise ConfigError(
                    f"rule {self.name}: {key} must be a factor of {1 / _LARGEST:g} to {_LARGEST:g}, but is {factor:g}"
                )
        if FLOPS.log_growth(**self.step()) <= 0:
            raise ConfigError(
                f"rule {self.name}: makes no larger network: width {self.width:g}, depth {self.depth:g}, resolution"
                f" {self.resolution:g}; the factors are those of one doubling, so one of them must be above 1"
            )

    def step(self) -> dict[str, float]:
        """Return the factors of one step by dimension."""
        return {key: getattr(self, key) for key in COEFFICIENTS}

    def factors(self, phi: float) -> Factors:
        """Return what the coefficients are multiplied by at a phi.

        Raises:
            ConfigError: It is no number of doublings, or the rule is a published table, which has no such row.
        """
        if not abs(phi) <= MOST_DOUBLINGS:
            raise ConfigError(f"phi must be in -{MOST_DOUBLINGS} to {MOST_DOUBLINGS}, but is {phi:g}")
        if not self.published:
            return Factors(*(factor**phi for factor in self.step().values()))
        if phi not in range(len(self.published)):
            raise ConfigError(
                f"phi {phi:g} is not in the table of rule {self.name}: it has 0 to {len(self.published) - 1}, whole"
                " numbers; --rule compound is its formula"
            )
        return self.published[int(phi)]

    def doubling(self, kind: CostKind) -> Rule:
        """Return the rule with its proportions kept and its pace changed, so that another cost doubles on paper.

        Raises:
            ConfigError: The rule does not change that cost, or is a published table.
        """
        if kind.name == self.cost:
            return self
        if self.cost in COSTS and COSTS[self.cost].exponents == kind.exponents:
            return replace(self, cost=kind.name)
        if self.published:
            raise ConfigError(f"rule {self.name} is a published table for {self.cost}; {kind.name} cannot double by it")
        growth = kind.log_growth(**self.step())
        if growth <= 0:
            raise ConfigError(f"{kind.name} cannot double by rule {self.name}, under which it does not grow")
        return replace(self, **self.factors(math.log(2) / growth)._asdict(), cost=kind.name)

    def __str__(self) -> str:
        """Write the rule in one line."""
        if self.published:
            return f"{self.name} ({self.source})"
        factors = ", ".join(f"{key} × {factor:.4g}" for key, factor in self.step().items())
        return f"{self.name} ({factors} for each doubling)"


def compound(alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> Rule:
    """Return EfficientNet's rule.

    Args:
        alpha: Factor of the depth, at least 1.
        beta: Factor of the width, at least 1.
        gamma: Factor of the resolution, at least 1.

    Raises:
        ConfigError: A factor is below 1, or none is above it.
    """
    for name, factor in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        if not factor >= 1:
            raise ConfigError(f"{name} must be at least 1, but is {factor:g}")
    if alpha == beta == gamma == 1:
        raise ConfigError("alpha, beta and gamma are all 1, which makes no larger network: one must be above 1")
    return Rule("compound", beta, alpha, gamma, source="Tan & Le 2019, arXiv:1905.11946, equation 3")


def fast(alpha: float = 0.8) -> Rule:
    """Return fast scaling: FLOPs grow by s = 2 as width^2 = s^alpha, depth = resolution^2 = s^((1 - alpha) / 2).

    Activations then grow as s^(1 - alpha / 2) on paper: 0.83 at alpha 1/3, where all dimensions grow alike, 0.60 at
    0.8, 0.50 at 1, where the width grows alone.

    Args:
        alpha: Share of the logarithm of the FLOPs' growth that the width takes, in 0 to 1.

    Raises:
        ConfigError: The share is none.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha of rule fast is a share and must be in 0 to 1, but is {alpha:g}")
    width, depth, resolution = (2**exponent for exponent in (alpha / 2, (1 - alpha) / 2, (1 - alpha) / 4))
    return Rule("fast", width, depth, resolution, source="Dollar et al. 2021, arXiv:2103.06877, table 4")


def efficientnet() -> Rule:
    """Return B0 to B7 as published: their coefficients, relative to those of B0."""
    first, *others = (preset_point(f"efficientnet_b{index}") for index in range(8))
    points = (first, *others)
    table = tuple(Factors(point.width, point.depth, point.resolution / first.resolution) for point in points)
    width, depth, resolution = (factor ** (1 / len(others)) for factor in table[-1])
    source = "B0 to B7 as published: Tan & Le 2019, arXiv:1905.11946"
    return Rule("efficientnet", width, depth, resolution, source=source, published=table)


RULES: Mapping[str, Callable[..., Rule]] = {
    "compound": compound,
    "width": partial(Rule, "width", math.sqrt(2), 1.0, 1.0),
    "depth": partial(Rule, "depth", 1.0, 2.0, 1.0),
    "resolution": partial(Rule, "resolution", 1.0, 1.0, math.sqrt(2)),
    "fast": fast,
    "efficientnet": efficientnet,
}
"""The rules that have a name."""


def scaling_rule(rule: str | Path, **parameters: float) -> Rule:
    """Return the rule that a name, a file or factors mean.

    Args:
        rule: One of ``RULES``; a rule file (``.json``); or factors for each doubling, such as
            ``width=1.25,depth=1,resolution=1.13``, of which those left out are 1.
        **parameters: ``alpha``, ``beta`` and ``gamma`` of ``compound``, or ``alpha`` of ``fast``.

    Raises:
        ConfigError: There is no such rule, it does not have these parameters, or it makes no larger network.
    """
    text = str(rule)
    known = {"compound": ("alpha", "beta", "gamma"), "fast": ("alpha",)}.get(text, ())
    for name in parameters:
        if name not in known:
            allowed = ", ".join(known) or "no parameters"
            raise ConfigError(f"{name} does not apply to rule {text}; allowed: {allowed}")
    if text in RULES:
        return RULES[text](**parameters)
    if Path(text).suffix == ".json":
        return load_rule(text)
    if "=" in text:
        return _written_out(text)
    hint = "; or a rule file, or factors such as width=1.25,depth=1,resolution=1.13"
    raise ConfigError(f"unknown rule {text!r}{did_you_mean(text, RULES)}{hint}")


def _written_out(text: str) -> Rule:
    """Return the rule of factors that are written out."""
    factors = dict.fromkeys(COEFFICIENTS, 1.0)
    said = set[str]()
    for part in text.split(","):
        key, _, value = (word.strip() for word in part.partition("="))
        if key not in factors:
            raise ConfigError(f"rule {text}: unknown dimension {key!r}{did_you_mean(key, COEFFICIENTS)}")
        if key in said:
            raise ConfigError(f"rule {text}: {key} is given twice")
        said.add(key)
        try:
            factors[key] = float(value)
        except ValueError:
            raise ConfigError(f"rule {text}: {key} must be a factor, but is {value!r}") from None
    return Rule("found", factors["width"], factors["depth"], factors["resolution"])


def rule_to_json(rule: Rule) -> str:
    """Return a rule as indented JSON with its format version."""
    document = {key: value for key, value in asdict(rule).items() if key != "published" or value}
    return json.dumps({"format_version": FORMAT_VERSION, **document}, indent=1) + "\n"


def rule_from_json(text: str, *, source: str | Path = "rule") -> Rule:
    """Read what ``rule_to_json`` wrote.

    Args:
        text: One JSON document.
        source: Named in errors.

    Raises:
        ConfigError: Not JSON, of a later format version, a field that is missing, unknown or wrong, or no growth.
    """
    return parse_document(text, TypeAdapter(Rule), version=FORMAT_VERSION, source=source)


def load_rule(path: str | Path) -> Rule:
    """Read a rule file.

    Raises:
        ConfigError: The file cannot be read, or holds no rule.
    """
    return rule_from_json(read_text(path), source=path)
