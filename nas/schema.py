"""YAML files become validated values, and every mistake in them becomes one line.

The only reader of user-written files: search spaces (``architecture/space.py``) and studies (``config/``) share it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from stat import S_ISDIR
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from yaml.constructor import ConstructorError

from nas.errors import ConfigError

ModelT = TypeVar("ModelT", bound=BaseModel)
Shelf = Literal["search_spaces", "studies"]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
"""A name of which a file, a folder and a column of the database can be made."""

LARGEST = 10**18
"""A number beyond it, in either direction, is a mistake."""

_ABBREVIATIONS = {
    "act": "activation",
    "batch": "batch_size",
    "bs": "batch_size",
    "dataset": "data",
    "drop_path": "stochastic_depth",
    "groups": "cardinality",
    "image_size": "resolution",
    "latency": "latency_ms",
    "lr": "learning_rate",
    "macs": "flops",
    "memory": "peak_memory",
    "n_trials": "trials",
    "opt": "optimizer",
    "px": "resolution",
    "res": "resolution",
    "se": "squeeze_excitation",
    "smoothing": "label_smoothing",
    "wd": "weight_decay",
}
"""What people call our keys elsewhere, where the spelling does not tell."""


class Strict(BaseModel):
    """A frozen model that knows all of its keys and names the nearest one when it meets a stranger.

    No truth value is a number, no number is beyond ``LARGEST``, and no text holds what a file's name cannot.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, given: Any) -> Any:
        for key in given if isinstance(given, dict) else ():
            if key not in cls.model_fields:
                raise ValueError(f"unknown key {key!r}{did_you_mean(str(key), cls.model_fields)}")
        return given

    @model_validator(mode="before")
    @classmethod
    def _refuse_other_kinds(cls, given: Any) -> Any:
        for key, value in _each_value(given if isinstance(given, dict) else {}):
            if isinstance(value, bool) and _is_number_only(cls, key):
                raise wrong_value(key, f"must be a number, but {str(value).lower()} was given")
            if isinstance(value, str) and "\0" in value:
                raise wrong_value(key, "contains a NUL character, which no text here may")
        return given

    @model_validator(mode="after")
    def _refuse_too_large(self) -> Self:
        for key, value in _each_value(self.__dict__):
            if isinstance(value, int | float) and abs(value) > LARGEST:
                raise wrong_value(key, f"{value:.6g} is too large a number: at most {LARGEST:g}")
        return self


def _each_value(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each field's value, or those that a list holds; what lies deeper is checked where it is a field."""
    for key, given in fields.items():
        for value in given if isinstance(given, list | tuple) else (given,):
            yield key, value


def wrong_value(key: str, reason: str) -> PydanticCustomError:
    """Return what a validator of a whole model raises about one of its keys, which ``explain`` then names."""
    return PydanticCustomError("wrong_value", "{reason}", {"key": key, "reason": reason})


@cache
def _is_number_only(model: type[BaseModel], field: str) -> bool:
    """Tell whether a field holds numbers and no truth values."""

    def mentions(annotation: Any, kind: type) -> bool:
        return annotation is kind or any(mentions(inner, kind) for inner in get_args(annotation))

    annotation = model.model_fields[field].annotation
    return (mentions(annotation, int) or mentions(annotation, float)) and not mentions(annotation, bool)


class _Loader(yaml.SafeLoader):
    """A safe loader without YAML 1.1's surprises, all of them silent.

    A key given twice is refused, of which the last would win. ``1e-5`` is a number, ``010`` is ten and not eight, and
    ``1:30`` and dates are text, as in YAML 1.2.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        return super().construct_object(node, deep=True)  # which refuses a list that holds itself

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        given = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in given:
                raise ConstructorError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            given.add(str(key.value))
        return super().construct_mapping(node, deep)


_SURPRISES = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _SURPRISES]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def parse_yaml(text: str, *, source: str | Path) -> Any:
    """Return what a text in YAML says: a document, or a single value.

    Raises:
        ConfigError: It is not YAML, or no value can be made of it; the message names the source and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise ConfigError(f"{source}: is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
    except (ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
        # of a value with a tag that does not fit it, or a number of more digits than Python reads
        where, problem = "", error
    raise ConfigError(f"{source}{where}: not valid YAML: {' '.join(str(problem).split())}") from None


def shortened(given: object) -> str:
    """Return a value as Python writes it, of which the middle is left out where it is long."""
    text = repr(given)
    return text if len(text) <= 80 else f"{text[:50]}...{text[-20:]}"


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest known name, and all of them."""
    names = list(known)
    meant = _ABBREVIATIONS.get(given.lower().replace("-", "_"))
    near = [meant] if meant in names else difflib.get_close_matches(given, names, n=1, cutoff=0.5)
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
        require_file(path)
        return path
    names = names_of(shelf)
    if str(given) not in names:
        raise ConfigError(f"unknown {what} {shortened(str(given))}{did_you_mean(str(given), names)}")
    local = Path(shelf) / f"{given}.yaml"
    return local if local.is_file() else shipped(shelf) / f"{given}.yaml"


def require_file(path: Path) -> None:
    """Make sure that a path is that of a file.

    Raises:
        ConfigError: There is none, it is a folder, its name cannot be one, or nobody may look.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # a ValueError of a NUL
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if S_ISDIR(mode):
        raise ConfigError(f"{path}: is a folder, not a file")


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
    document = parse_yaml(text, source=path)
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
    location = (*first["loc"], *([first["ctx"]["key"]] if first["type"] == "wrong_value" else []))
    # pydantic names the alternatives of a union too, such as constrained-int
    parts = [part for part in location if isinstance(part, int) or not re.search(r"[-\[\](]|^(int|float)$", part)]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in {"model_type", "model_attributes_type", "dataclass_type"}:
        message = "must be a mapping of keys to values"
    if first["type"] == "missing":
        message = "is missing"
    elif first["type"] in {"union_tag_invalid", "literal_error"}:
        message = _unknown_word(first)
    elif first["type"] == "union_tag_not_found":
        message = f"{first['ctx']['discriminator']} is missing".replace("'", "")
    elif first["type"] == "unexpected_keyword_argument":
        message = "unknown key"
    elif first["type"] not in {"value_error", "wrong_value"}:
        message = f"{message[:1].lower()}{message[1:]}, but {shortened(first['input'])} was given"
    return " ".join(f"{key}: {message}".removeprefix(": ").split())


def _unknown_word(problem: Any) -> str:
    """Return the message of a word that is none of those allowed."""
    context = problem["ctx"]
    what = str(context.get("discriminator", "value")).strip("'")
    given = context["tag"] if "tag" in context else problem["input"]
    known = re.findall(r"'([^']*)'", str(context.get("expected_tags") or context.get("expected")))
    return f"unknown {what} {shortened(given)}{did_you_mean(str(given), known)}"
