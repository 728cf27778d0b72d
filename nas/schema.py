"""YAML files become validated values, and every mistake in them becomes one line.

The only reader of user-written files: search spaces (``architecture/space.py``) and studies (``config/``) share it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from yaml.constructor import ConstructorError

from nas.errors import ConfigError

ModelT = TypeVar("ModelT", bound=BaseModel)
Shelf = Literal["search_spaces", "studies"]


class Strict(BaseModel):
    """A frozen model that knows all of its keys and names the nearest one when it meets a stranger."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, given: Any) -> Any:
        for key in given if isinstance(given, dict) else ():
            if key not in cls.model_fields:
                raise ValueError(f"unknown key {key!r}{did_you_mean(str(key), cls.model_fields)}")
        return given


class _OnceLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, of which the last would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        given = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in given:
                raise ConstructorError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            given.add(str(key.value))
        return super().construct_mapping(node, deep)


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest known name, and all of them."""
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    return (f"; did you mean {near[0]!r}?" if near else ";") + f" known: {', '.join(names) or 'none'}"


def shipped(shelf: Shelf) -> Path:
    """Return the folder of shipped files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / shelf
    return inside if inside.is_dir() else package.parent / shelf


def find(shelf: Shelf, given: str | Path, *, what: str) -> Path:
    """Return the path that ``given`` names: a file, or the name of a shipped one.

    Raises:
        ConfigError: There is no such file, or no shipped file of that name (the message lists them).
    """
    path = Path(given)
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        if not path.is_file():
            raise ConfigError(f"{path}: no such file" if not path.is_dir() else f"{path}: is a folder, not a file")
        return path
    local = Path(shelf) / f"{given}.yaml"
    candidate = local if local.is_file() else shipped(shelf) / f"{given}.yaml"
    if not candidate.is_file():
        raise ConfigError(f"unknown {what} {str(given)!r}{did_you_mean(str(given), names_of(shelf))}")
    return candidate


def names_of(shelf: Shelf) -> list[str]:
    """Return the names of the files of a shelf: in the working directory and shipped."""
    return sorted({path.stem for folder in (Path(shelf), shipped(shelf)) for path in folder.glob("*.yaml")})


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises:
        ConfigError: The file is missing, unreadable, empty, not YAML or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a UTF-8 text file"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    try:
        document = yaml.load(text, Loader=_OnceLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if document is None:
        raise ConfigError(f"{path}: the file is empty")
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, but is a {type(document).__name__}")
    return document


def validate(model: type[ModelT], document: Any, *, source: str | Path) -> ModelT:
    """Validate a document, or say in one line what is wrong with it and at which key.

    Raises:
        ConfigError: Names the source, the key, what was given and what is allowed.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """Return the first problem of a validation error in one line: key, what is allowed, what was given."""
    first = error.errors(include_url=False)[0]
    # pydantic names the alternatives of a union too, such as constrained-int
    parts = [part for part in first["loc"] if isinstance(part, int) or not re.search(r"[-\[\](]", part)]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in {"model_type", "model_attributes_type", "dataclass_type"}:
        message = "must be a mapping of keys to values"
    if first["type"] == "missing":
        message = "is missing"
    elif first["type"] != "value_error":
        message = f"{message[:1].lower()}{message[1:]}, but {first['input']!r:.80} was given"
    return " ".join(f"{key}: {message}".removeprefix(": ").split())
