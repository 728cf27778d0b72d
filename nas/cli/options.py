"""What several commands share: options, JSON, complaints."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from nas.cli.output import say
from nas.errors import ConfigError, Interrupted

if TYPE_CHECKING:
    from rich.console import Console

    from nas.models.backends import Backend, Latency
    from nas.search.run.events import Event
    from nas.search.study import Study

ValueT = TypeVar("ValueT")

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a shipped study.")]
Storage = Annotated[
    str | None,
    typer.Option(envvar="NAS_STORAGE", show_envvar=True, help="Database URL.  [default: SQLite in the study's folder]"),
]
Device = Annotated[str, typer.Option(help="Device to use: auto, cpu, cuda or cuda:N.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads within one operator.")]


def print_json(document: Any) -> None:
    """Print one JSON document."""
    say(json.dumps(document, indent=1))


def latency_document(latency: Latency) -> dict[str, Any]:
    """Return a measurement as plain JSON data."""
    from dataclasses import asdict

    return {**asdict(latency), "images_per_second": latency.images_per_second}


def refuse_typed(*options: str, unless: bool, reason: str) -> None:
    """Refuse options that were typed and would do nothing; defaults and what the environment says do no harm.

    Raises:
        ConfigError: One was typed, and ``unless`` does not hold.
    """
    for option in () if unless else options:
        if any(word.partition("=")[0] == option for word in sys.argv[1:]):
            raise ConfigError(f"{option} does not apply: {reason}")


def command_line(*words: object) -> str:
    """Return a command of nas as one types it in a shell."""
    return shlex.join(["nas", *map(str, words)])


def complain(message: str, code: int) -> int:
    """Print one line on stderr and return the exit code."""
    say(f"nas: {' '.join(message.splitlines())}", err=True)
    return code


def known_backends(text: str) -> list[Backend]:
    """Return the backends that ``--backend`` names, separated by commas.

    Raises:
        ConfigError: One of them is unknown.
    """
    from nas.models.backends import BACKENDS

    known = {str(name): name for name in BACKENDS}
    return [known[name] for name in split_names("--backend", text, known, what="backend")]


def parsed(option: str, text: str, parse: Callable[[str], ValueT]) -> ValueT:
    """Return what an option's text says.

    Raises:
        ConfigError: It is none of that kind.
    """
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def split_names(option: str, text: str, known: Iterable[str] | None, *, what: str = "name") -> list[str]:
    """Return the names that an option lists, separated by commas.

    Raises:
        ConfigError: A name is not among the known ones, if those are given.
    """
    names, listed = _split(option, text), None if known is None else list(known)
    for name in names:
        if listed is not None and name not in listed:
            raise ConfigError(f"{option}: unknown {what} {name!r}; known: {', '.join(listed)}")
    return names


@contextmanager
def shown_search(
    console: Console, study: Study, *, planned: int | None, command: str, quiet: bool = False
) -> Iterator[Callable[[Event], None]]:
    """Show a search while it runs: yield a function to call with each of its events.

    Args:
        console: Where to print: on a terminal a view that changes, else a line for each trial.
        study: That is searched.
        planned: Number of trials to come; None if it is not known.
        command: The command that continues the search.
        quiet: Print what went wrong, and no more.

    Raises:
        Interrupted: Ctrl-C was pressed; the message says how to continue.
    """
    from nas.cli.live.search import LiveSearch, OnlyWhatMatters, SearchLines, is_live
    from nas.cli.live.tally import Tally
    from nas.records import metric_name

    metric = metric_name(study.config.recipe.metric)
    try:
        if quiet:
            yield SearchLines(console, metric, wanted=OnlyWhatMatters())
        elif not is_live(console):
            yield SearchLines(console, metric)
        else:
            with LiveSearch(console, Tally(study, planned=planned)) as shown:
                yield shown
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; finished trials are kept. Continue with: {command}") from None


@contextmanager
def tracked(study: Study, trackers: Sequence[str]) -> Iterator[Callable[[Event], None]]:
    """Tell experiment trackers of a search: yield a function to call with each of its events."""
    if not trackers:
        yield lambda event: None
        return
    from nas.trackers.tracking import track

    with track(study, *trackers, note=lambda line: say(line, err=True)) as tell:
        yield tell


def both(first: Callable[[Event], None], second: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return a function that calls two with each event."""

    def listen(event: Event) -> None:
        first(event)
        second(event)

    return listen


def split_integers(option: str, text: str) -> list[int]:
    """Return the whole numbers that an option lists, separated by commas.

    Raises:
        ConfigError: A value is not a whole number, or is below 1.
    """
    values = _split(option, text)
    for value in values:
        if not value.isdecimal() or int(value) < 1:
            raise ConfigError(f"{option}: {value!r} is not a whole number above zero; write for example 1,8,32")
    return [int(value) for value in values]


def _split(option: str, text: str) -> list[str]:
    values = [value.strip() for value in text.split(",")]
    if not all(values):
        raise ConfigError(f"{option}: {text!r} must be values separated by commas")
    if len(set(values)) < len(values):
        raise ConfigError(f"{option}: a value is given twice: {text}")
    return values
