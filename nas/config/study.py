"""A study file: data, budget, search, recipe. The schema is public, so a notebook can build ``StudyConfig(...)``."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from pathlib import Path
from typing import Any, Self

from pydantic import field_validator, model_validator

from nas.architecture.space import COEFFICIENTS, Range, SearchSpace
from nas.config.budget import Budget
from nas.config.prior import Prior
from nas.config.search import SearchConfig, common_range
from nas.data.sources import PATHS, DataConfig
from nas.documents import flatten
from nas.errors import ConfigError
from nas.files import is_table
from nas.schema import Name, Strict, find, read_yaml, validate
from nas.training.distillation import Distillation
from nas.training.recipe import NEEDS, OPEN, Recipe, without_effect

SETTLED: dict[str, tuple[str, ...]] = {
    "data": ("every_class",),
    "search": ("sampler", "sampler_version", "prior", "startup_trials", "repeat_by"),
    "recipe": (*OPEN, "flip", "norm_statistics", "ema_warm_up"),
}
"""Keys that, where a study file leaves them out, stay what they were at the study's first run."""

EARLIER: dict[str, dict[str, Any]] = {
    "data": {"every_class": False},
    "search": {"sampler_version": 1, "repeat_by": "raw"},
    "recipe": {"norm_statistics": "running", "ema_warm_up": False},
}
"""What versions did that had no such key."""

WIDENED = {"efficientnet": {"depth": 3.5}}
"""Largest coefficients that shipped spaces allowed before later versions widened them."""


def idle_keys(config: StudyConfig) -> list[str]:
    """Return one line for each key of a study's recipe that another one makes meaningless, but for settled ones.

    Where all keys are set a program has written them, and nobody meant anything by it.
    """
    said = config.recipe.model_fields_set
    return [] if said >= set(NEEDS) else without_effect(config.recipe, said - set(SETTLED["recipe"]))


class StudyConfig(Strict):
    """A whole study: the content of a study file.

    Attributes:
        name: Name of the study, of its folder, and of its rows in a shared database. It may contain letters, digits,
            ``_`` and ``-``, 200 at most. In a study file, the default is the name of the file.
        description: One line for people, shown in the report.
        data: Which images to train and validate on.
        budget: What a network may cost; no limits by default.
        search: Which networks are proposed.
        recipe: How each network is trained.
    """

    name: Name
    description: str = ""
    data: DataConfig
    budget: Budget = Budget()
    search: SearchConfig
    recipe: Recipe = Recipe()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if re.fullmatch(r"[A-Za-z0-9_-]+", name) is None:
            raise ValueError(f"may contain letters, digits, _ and - only, but is {name!r}{_plain(name)}")
        return name

    @model_validator(mode="after")
    def _rungs_within_training(self) -> Self:
        if self.search.halving is not None and self.recipe.epochs is not None:
            self.search.halving.require(epochs=self.recipe.epochs, trials=self.search.trials)
        return self

    def definition(self) -> dict[str, Any]:
        """Return what decides a study's results: all but its length, its description and the path of its images."""
        return definition_of(self.model_dump(mode="json"))


def config_from_json(text: str) -> StudyConfig:
    """Return a study that was written as JSON, perhaps by an earlier version: what that one did is filled in."""
    document = json.loads(text)
    for section, values in EARLIER.items():
        known = document.setdefault(section, {})
        if section == "recipe" and values.keys() - known.keys() and known.get("flip") is None:
            known["flip"] = True if document["data"].get("npz") else None  # npz is no longer taken for photographs
        document[section] = {**values, **known}
    return StudyConfig.model_validate_json(json.dumps(document))


def settled(config: StudyConfig, stored: StudyConfig) -> StudyConfig:
    """Return a definition in which what it leaves out is as at the study's first run: ``SETTLED`` and ``WIDENED``."""
    for section, keys in SETTLED.items():
        given, known = getattr(config, section), getattr(stored, section)
        unsaid = [key for key in keys if key not in given.model_fields_set or getattr(given, key) is None]
        if section == "recipe" and _names_the_same(config.recipe.distillation, stored.recipe.distillation):
            unsaid.append("distillation")
        if section == "search" and _is_of(stored.search.prior, given):
            unsaid.append("prior")
        changed = given.model_copy(update={key: getattr(known, key) for key in unsaid})
        config = config.model_copy(update={section: changed})
    return config.model_copy(update={"search": _as_wide_as_then(config.search, stored.search)})


def _as_wide_as_then(search: SearchConfig, stored: SearchConfig) -> SearchConfig:
    """Return a search whose spaces are as at the study's first run where a later version has only widened them."""
    then = {space.name: space for space in stored.spaces}
    spaces = tuple(_narrowed(space, then[space.name]) if space.name in then else space for space in search.spaces)
    if spaces == search.spaces:
        return search
    unsaid = [key for key in COEFFICIENTS if all(getattr(one, key) == _all_of(one, key) for one in (search, stored))]
    return search.model_copy(update={"spaces": spaces, **{key: getattr(stored, key) for key in unsaid}})


def _narrowed(space: SearchSpace, then: SearchSpace) -> SearchSpace:
    """Return a space with those of its ranges as they were that have been widened since."""
    widened = WIDENED.get(space.name, {})
    ranges = {key: getattr(then, key) for key, most in widened.items() if getattr(then, key).max == most}
    return space.model_copy(update=ranges)


def _all_of(search: SearchConfig, key: str) -> Range:
    """Return what a search does with a coefficient that is left out."""
    return common_range([getattr(space, key) for space in search.spaces], key)


def _is_of(prior: Prior | str | None, given: SearchConfig) -> bool:
    """Tell whether a prior was read where a search names it: it is not read again."""
    return isinstance(prior, Prior) and isinstance(given.prior, str) and prior.source == Path(given.prior).name


def _names_the_same(given: Distillation | None, stored: Distillation | None) -> bool:
    """Tell whether a recipe has the stored one's teachers by name: they are not read again."""
    if given is None or stored is None or given.digests:
        return False
    return stored.model_copy(update={"digests": (), "folders": ()}) == given


def earlier_ways(config: StudyConfig, stored: StudyConfig) -> list[str]:
    """Return one phrase for each key in which a study goes on as it began though a new one would not."""
    goes_on = settled(config, stored)
    ranges = [(key, getattr(goes_on.search, key), getattr(config.search, key)) for key in COEFFICIENTS]
    return [f"search.{key} is {then}, in a new study {now}" for key, then, now in ranges if then != now] + [
        f"{section}.{key} is {_word(getattr(getattr(goes_on, section), key))}, in a new study"
        f" {_word(getattr(getattr(config, section), key))}"
        for section, values in EARLIER.items()
        for key in values
        if getattr(getattr(goes_on, section), key) != getattr(getattr(config, section), key)
    ]


def _word(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _plain(name: str) -> str:
    """Return a name that is allowed and close to one that is not, as the tail of a message."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return f"; write for example name: {re.sub('[^A-Za-z0-9_-]+', '-', letters).strip('-') or 'my-study'}"


def definition_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the definition within a study that was written as JSON, perhaps by an earlier version."""
    left_out = {"search": {"trials", "plan", "asked", "replicates"}, "data": set(PATHS)}
    sections = {
        section: {key: value for key, value in document[section].items() if key not in keys}
        for section, keys in left_out.items()
    }
    if isinstance(prior := sections["search"].get("prior"), dict):
        sections["search"]["prior"] = Prior.model_validate(prior).digest  # wherever it was read
    if (taught := document["recipe"].get("distillation")) and taught["digests"]:
        taught = {key: value for key, value in taught.items() if key not in ("teacher", "folders")}
        sections["recipe"] = {**document["recipe"], "distillation": taught}  # wherever the teachers lie
    return {**{key: value for key, value in document.items() if key != "description"}, **sections}


def definition_digest(document: dict[str, Any]) -> str:
    """Return sixteen hexadecimal digits of the definition within a study that was written as JSON."""
    canonical = json.dumps(definition_of(document), sort_keys=True)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def load_study_config(study: str | Path) -> tuple[StudyConfig, Path]:
    """Read a study.

    Args:
        study: The path of a study file, or the name of a study in ``./studies`` or shipped with the package.

    Returns:
        The study, and the folder for its database and weights: next to the file, or ``./studies/NAME``. Relative paths
        of images start from the parent of that folder.

    Raises:
        ConfigError: There is no such study, or the file is wrong; the message says where.
    """
    path = find("studies", study, what="study")
    home = path.parent if Path(study) == path else Path("studies")
    given = read_yaml(path)
    document = {"name": path.stem, **{key: value for key, value in given.items() if value is not None}}  # empty section
    _locate_spaces(document, path.parent)
    _locate_prior(document, path.parent)
    _locate_teachers(document, path.parent)
    _require_name(document, path)
    config = validate(StudyConfig, document, source=path)
    return config.model_copy(update={"data": config.data.relative_to(home)}), home / config.name


def _require_name(document: dict[str, Any], path: Path) -> None:
    """Say what to do where a study has only the name of its file, of which none can be made."""
    if document["name"] == path.stem and re.fullmatch(r"[A-Za-z0-9_-]{1,200}", path.stem) is None:
        raise ConfigError(
            f"{path}: name is missing, and the file's own may contain letters, digits, _ and - only, 200 at most, to be"
            f" that of a study{_plain(path.stem)[:220]}"
        )


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return one phrase for each key that two definitions disagree on."""
    old, new = flatten(before), flatten(after)
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


def _locate_prior(document: dict[str, Any], folder: Path) -> None:
    """Join the path of a prior's table or study file to the study's folder; names of studies stay."""
    search = document.get("search")
    if (
        isinstance(search, dict)
        and isinstance(named := search.get("prior"), str)
        and (_is_file_name(named) or is_table(named))
    ):
        document["search"] = {**search, "prior": str(folder / named)}


def _locate_teachers(document: dict[str, Any], folder: Path) -> None:
    """Join paths of teachers to the study's folder; trials of studies stay."""
    recipe = document.get("recipe")
    section = recipe.get("distillation") if isinstance(recipe, dict) else None
    if isinstance(recipe, dict) and isinstance(section, dict) and isinstance(section.get("teacher"), str | list):
        named = [section["teacher"]] if isinstance(section["teacher"], str) else section["teacher"]
        joined = [str(folder / item) if isinstance(item, str) and "#" not in item else item for item in named]
        document["recipe"] = {**recipe, "distillation": {**section, "teacher": joined}}


def _is_file_name(item: object) -> bool:
    return isinstance(item, str) and Path(item).suffix in {".yaml", ".yml"}
