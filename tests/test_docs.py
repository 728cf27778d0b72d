"""README, CONTRIBUTING and docs/: links resolve, commands and options exist, YAML validates, Python compiles."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import typer
import yaml
from documents import COMMENT, FENCE, blocks, command_lines
from pydantic import BaseModel

import nas
from nas.cli import app

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
BASE: dict[str, Any] = yaml.safe_load((ROOT / "studies" / "digits.yaml").read_text(encoding="utf-8"))
"""A whole study, for snippets that are a part of one."""

_LINK = re.compile(r"\]\(([^)\s]+)\)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


class Command(NamedTuple):
    """A command of nas, and what follows its name."""

    name: str
    arguments: list[str]
    known: Any


def test_the_readme_is_a_front_door() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 175


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_a_page_says_its_question_and_where_to_read_on(page: Path) -> None:
    _, first, *_, last = page.read_text(encoding="utf-8").strip().split("\n\n")
    assert first.startswith("This page answers one question: ")
    assert last.startswith("Read on: ")
    assert _LINK.search(last)


def test_the_readme_links_every_page() -> None:
    assert {f"docs/{page.name}" for page in DOCS} <= set(_LINK.findall(_prose(ROOT / "README.md")))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_links_resolve(page: Path) -> None:
    for link in _LINK.findall(_prose(page)):
        path, _, anchor = link.partition("#")
        if path.startswith(("http://", "https://")):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert target.is_relative_to(ROOT), f"{link}: outside the repository"
        assert not anchor or anchor in _anchors(target), f"{link}: no such heading"


@each_page
def test_commands_and_options_exist(page: Path) -> None:
    for line in command_lines(page):
        command = _find(line)
        # parsing finds unknown options, missing arguments and values of the wrong type; nothing runs
        command.known.make_context(command.name, list(command.arguments))


@each_page
def test_commands_in_sentences_exist(page: Path) -> None:
    for code in re.findall(r"`(nas [^`]+)`", _prose(page)):
        command = _find(code)
        options = {option for parameter in command.known.params for option in parameter.opts}
        used = {word.partition("=")[0] for word in command.arguments if word.startswith("-")}
        assert used <= options | {"--help"}, code


@each_page
def test_studies_validate(page: Path) -> None:
    for text in blocks(page, "yaml"):
        document = yaml.safe_load(text)
        if "stages" in document:
            nas.SearchSpace.model_validate(document)
        elif {"data", "search"} <= document.keys():
            nas.StudyConfig.model_validate({"name": "documented", **document})
        else:
            nas.StudyConfig.model_validate({"name": "documented", **_merged(BASE, document)})


@each_page
def test_python_compiles_and_names_exist(page: Path) -> None:
    for text in blocks(page, "python"):
        compile(text, page.name, "exec")
        assert set(re.findall(r"\bnas\.(\w+)", text)) <= set(nas.__all__)


def test_every_key_of_a_study_is_explained() -> None:
    written = {code for page in DOCS for code in re.findall(r"`(\w+)", _prose(page))}
    assert set(_keys(nas.StudyConfig)) - written == set()


def test_every_preset_and_space_is_named() -> None:
    text = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    spaces = [path.stem for path in (ROOT / "search_spaces").glob("*.yaml")]
    assert [name for name in spaces if f"`{name}`" not in text] == []


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield the keys of a section and of those below it; spaces are files of their own."""
    for name, field in model.model_fields.items():
        yield name
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel) and inner is not nas.SearchSpace:
                yield from _keys(inner)


def _merged(base: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return a study with the keys of a part in place of its own."""
    inner = {key: {**base[key], **value} if isinstance(base.get(key), dict) else value for key, value in part.items()}
    return {**base, **inner}


def _find(line: str) -> Command:
    """Return the command that a line names."""
    words = shlex.split(COMMENT.sub("", line))
    known, name = _root(), words.pop(0)
    while commands := getattr(known, "commands", None):
        name = words.pop(0)
        assert name in commands, f"{line}: no command {name!r}"
        known = commands[name]
    return Command(name, words, known)


@cache
def _root() -> Any:
    return typer.main.get_command(app)


def _prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


@cache
def _anchors(page: Path) -> frozenset[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
