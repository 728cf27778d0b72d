"""What several commands share: options, JSON, complaints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.errors import ConfigError, Interrupted
from nas.processes.interrupts import interruptible

if TYPE_CHECKING:
    from rich.console import Console

    from nas.models.backends import Backend, Latency
    from nas.search.run.events import Event

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a shipped study.")]
Storage = Annotated[
    str | None, typer.Option(envvar="NAS_STORAGE", show_envvar=True, help="Database URL; else SQLite by the study.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Threads = Annotated[int, typer.Option(min=1, help="Of the CPU within one operator.")]


def print_json(document: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(document, indent=1))


def latency_document(latency: Latency) -> dict[str, Any]:
    """Return a measurement as plain JSON data."""
    from dataclasses import asdict

    return {**asdict(latency), "images_per_second": latency.images_per_second}


def complain(message: str, code: int) -> int:
    """Print one line on stderr and return the exit code."""
    typer.echo(f"nas: {message}", err=True)
    return code


def known_backends(text: str) -> list[Backend]:
    """Return the backends that ``--backend`` names, divided by commas.

    Raises:
        ConfigError: One of them is unknown.
    """
    from nas.models.backends import BACKENDS

    known = {str(name): name for name in BACKENDS}
    return [known[name] for name in split_names("--backend", text, known, what="backend")]


def split_names(option: str, text: str, known: Iterable[str] | None, *, what: str = "name") -> list[str]:
    """Return the names of an option that are divided by commas.

    Raises:
        ConfigError: One of them is unknown, where there is a list of those known.
    """
    names, listed = _split(option, text), None if known is None else list(known)
    for name in names:
        if listed is not None and name not in listed:
            raise ConfigError(f"{option}: unknown {what} {name!r}; known: {', '.join(listed)}")
    return names


@contextmanager
def shown_search(
    console: Console, *, epochs: int | None, planned: int | None, command: str
) -> Iterator[Callable[[Event], None]]:
    """Show a search while it runs: give what to call with its events.

    Args:
        console: Where.
        epochs: Of a training, where the recipe counts it in epochs.
        planned: Trials to come; None where nobody knows.
        command: That continues the search.

    Raises:
        Interrupted: By Ctrl-C; it says how to continue.
    """
    from nas.cli.progress import SearchProgress

    try:
        with interruptible() as check, SearchProgress(console, total=planned, epochs=epochs) as progress:

            def show(event: Event) -> None:
                check()
                progress(event)

            yield show
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; finished trials are kept, and {command} continues") from None


def split_integers(option: str, text: str) -> list[int]:
    """Return the whole numbers of an option that are divided by commas.

    Raises:
        ConfigError: One of them is none, or is below one.
    """
    values = _split(option, text)
    for value in values:
        if not value.isdecimal() or int(value) < 1:
            raise ConfigError(f"{option}: {value!r} is not a whole number above zero; write for example 1,8,32")
    return [int(value) for value in values]


def _split(option: str, text: str) -> list[str]:
    values = [value.strip() for value in text.split(",")]
    if not all(values):
        raise ConfigError(f"{option}: {text!r} must be values divided by commas")
    if len(set(values)) < len(values):
        raise ConfigError(f"{option}: a value is named twice: {text}")
    return values
