"""A study file: data, budget, search, recipe. The schema is public, so a notebook can build ``StudyConfig(...)``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from pydantic import Field, PositiveInt, model_validator

from nas.architecture.cost import Cost
from nas.architecture.space import Range, ResolutionRange, SearchSpace, load_space
from nas.data.sources import DataConfig
from nas.errors import ConfigError
from nas.files import Strict, find, read_yaml, validate
from nas.training.recipe import Recipe
from nas.units import Count, format_count

Metric: TypeAlias = Literal["flops", "params", "activations"]
COEFFICIENTS = ("width", "depth", "resolution")


class Limit(Strict):
    """Bounds of one cost, both included; counts may be written 400M."""

    min: Count = 0
    max: Count | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min {format_count(self.min)} is larger than max {format_count(self.max)}")
        return self


class Budget(Strict):
    """The ``budget`` section: what a network may cost for one image, checked before anything is trained.

    Attributes:
        flops: As fvcore counts them, one multiply-add as one.
        params: Trainable parameters.
        activations: Elements put out by convolutions and linear layers.
    """

    flops: Limit | None = None
    params: Limit | None = None
    activations: Limit | None = None

    def limits(self) -> dict[Metric, Limit]:
        """Return the limits that are set."""
        metrics: tuple[Metric, ...] = ("flops", "params", "activations")
        return {metric: limit for metric in metrics if (limit := getattr(self, metric)) is not None}

    def violations(self, cost: Cost) -> dict[str, float]:
        """Return by how much each bound is missed, as a share of the bound; a bound is met at 0 or less."""
        found = {}
        for metric, limit in self.limits().items():
            if limit.max is not None:
                found[f"{metric}_max"] = getattr(cost, metric) / max(1, limit.max) - 1
            if limit.min > 0:
                found[f"{metric}_min"] = 1 - getattr(cost, metric) / limit.min
        return found

    def allows(self, cost: Cost) -> bool:
        """Tell whether a cost meets every bound."""
        return all(violation <= 0 for violation in self.violations(cost).values())

    def __str__(self) -> str:
        """Write the bounds as people do."""
        parts = []
        for metric, limit in self.limits().items():
            low = f"{format_count(limit.min)} <= " if limit.min else ""
            high = f" <= {format_count(limit.max)}" if limit.max is not None else ""
            parts.append(f"{low}{metric}{high}")
        return ", ".join(parts) or "none"


class SearchConfig(Strict):
    """The ``search`` section: which networks are proposed, how, and how many.

    Attributes:
        spaces: Names of shipped search spaces or paths of YAML files; with several, the family is searched too.
        width: Coefficients to search; without it, all that every space allows.
        depth: Likewise.
        resolution: Likewise, in pixels.
        trials: Number of proposals; infeasible and repeated ones count.
        sampler: ``tpe`` (multivariate, learns from infeasible proposals too) or ``random``.
        startup_trials: Random proposals before ``tpe`` begins to learn.
        seed: Of the proposals and of every trial's training.
    """

    spaces: tuple[SearchSpace, ...] = Field(min_length=1)
    width: Range
    depth: Range
    resolution: ResolutionRange
    trials: PositiveInt = 50
    sampler: Literal["tpe", "random"] = "tpe"
    startup_trials: PositiveInt = 10
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _load_spaces(cls, given: Any) -> Any:
        """Load spaces given by name, and fill in the coefficients that all of them allow."""
        if not isinstance(given, dict) or not isinstance(given.get("spaces"), str | list | tuple):
            return given
        named = [given["spaces"]] if isinstance(given["spaces"], str) else given["spaces"]
        spaces = [load_space(item) if isinstance(item, str | Path) else item for item in named]
        spaces = [SearchSpace.model_validate(item) for item in spaces]
        common = {key: _common([getattr(space, key) for space in spaces], key) for key in COEFFICIENTS if spaces}
        return {**common, **given, "spaces": spaces}

    @model_validator(mode="after")
    def _ranges_allowed(self) -> Self:
        names = [space.name for space in self.spaces]
        if len(set(names)) < len(names):
            raise ValueError(f"a space is named twice: {', '.join(names)}")
        for space in self.spaces:
            for end in ("min", "max"):
                space.require_in_range(**{key: getattr(getattr(self, key), end) for key in COEFFICIENTS})
            if self.resolution.min < space.smallest_resolution():
                raise ValueError(
                    f"resolution {self.resolution.min} is too small for the strides of {space.name}, which needs at"
                    f" least {space.smallest_resolution()}"
                )
        return self

    def space(self, name: str) -> SearchSpace:
        """Return the space of that name."""
        return next(space for space in self.spaces if space.name == name)


class StudyConfig(Strict):
    """A whole study.

    Attributes:
        name: Letters, digits, ``_`` and ``-``; names the study's folder and its rows in a shared database.
        description: For people.
        data: Which images.
        budget: What a network may cost.
        search: Which networks are proposed.
        recipe: How each is trained.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    description: str = ""
    data: DataConfig
    budget: Budget = Budget()
    search: SearchConfig
    recipe: Recipe = Recipe()

    def definition(self) -> dict[str, Any]:
        """Return what decides a study's results: all but its length, its description and the place of its images."""
        return self.model_dump(
            mode="json", exclude={"description": True, "search": {"trials"}, "data": {"folder", "cifar"}}
        )

    def definition_digest(self) -> str:
        """Return sixteen hexadecimal digits of the definition."""
        canonical = json.dumps(self.definition(), sort_keys=True)
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def load_study_config(study: str | Path) -> tuple[StudyConfig, Path]:
    """Read a study.

    Args:
        study: The path of a study file, or the name of one in ``./studies`` or shipped with the package.

    Returns:
        The study, and the folder where its database and weights belong: beside a file, or ``./studies/NAME``.
        Relative paths to images are taken from the folder that holds it.

    Raises:
        ConfigError: There is no such study, or the file is wrong (it says where).
    """
    path = find("studies", study, what="study")
    home = path.parent if Path(study) == path else Path("studies")
    document = {"name": path.stem, **read_yaml(path)}
    _locate_spaces(document, path.parent)
    config = validate(StudyConfig, document, source=path)
    return config.model_copy(update={"data": config.data.relative_to(home)}), home / config.name


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return one phrase for each key that two definitions disagree on."""
    old, new = _flatten(before), _flatten(after)
    return [
        f"{key} was {old.get(key, 'absent')}, is {new.get(key, 'absent')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _locate_spaces(document: dict[str, Any], folder: Path) -> None:
    """Join paths of space files to the study's folder; names of shipped spaces stay."""
    search = document.get("search")
    if isinstance(search, dict) and isinstance(search.get("spaces"), str | list):
        named = [search["spaces"]] if isinstance(search["spaces"], str) else search["spaces"]
        document["search"] = {**search, "spaces": [folder / item if _is_file_name(item) else item for item in named]}


def _is_file_name(item: object) -> bool:
    return isinstance(item, str) and Path(item).suffix in {".yaml", ".yml"}


def _common(ranges: list[Range], key: str) -> Range:
    """Return the values that all ranges allow."""
    low, high = max(r.min for r in ranges), min(r.max for r in ranges)
    if low > high:
        raise ConfigError(f"the spaces share no {key}: {', '.join(map(str, ranges))}; name one space only")
    steps = [r.step for r in ranges if r.step is not None]
    return type(ranges[0])(min=low, max=high, **({"step": max(steps)} if steps else {}))


def _flatten(value: Any, key: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for name, item in value.items() for k, v in _flatten(item, f"{key}.{name}".lstrip(".")).items()}
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in _flatten(item, f"{key}[{i}]").items()}
    return {key: value}
