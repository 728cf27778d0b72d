"""What several commands share: options, JSON, complaints."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from nas.errors import ConfigError

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a shipped study.")]
Storage = Annotated[
    str | None, typer.Option(envvar="NAS_STORAGE", show_envvar=True, help="Database URL; else SQLite by the study.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Of the CPU within one operator; else as torch chooses.")]


def print_json(document: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(document, indent=1))


def complain(message: str, code: int) -> int:
    """Print one line on stderr and return the exit code."""
    typer.echo(f"nas: {message}", err=True)
    return code


def split(option: str, text: str) -> list[str]:
    """Return the values of an option that are divided by commas.

    Raises:
        ConfigError: One of them is empty.
    """
    values = [value.strip() for value in text.split(",")]
    if not all(values):
        raise ConfigError(f"{option}: {text!r} must be values divided by commas")
    return values


def split_integers(option: str, text: str) -> list[int]:
    """Return the whole numbers of an option that are divided by commas.

    Raises:
        ConfigError: One of them is none, or is below one.
    """
    values = split(option, text)
    for value in values:
        if not value.isdecimal() or int(value) < 1:
            raise ConfigError(f"{option}: {value!r} is not a whole number above zero; write for example 1,8,32")
    return [int(value) for value in values]
