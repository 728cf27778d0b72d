"""The command line. It parses, calls the library and prints; torch, Optuna and plotly load inside the commands.

Exit codes: 0 done, 2 the user's mistake (one line on stderr), 1 a failure of ours, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nas.cli import (
    compare,
    compress,
    cost,
    dashboard,
    export,
    front,
    latency,
    predict,
    search,
    study,
    table,
    train,
    verify,
)
from nas.cli.options import complain
from nas.cli.output import Output, say
from nas.cli.scale import scale
from nas.errors import Interrupted, NasError, UserError

app = typer.Typer(
    name="nas",
    help="Which network should I use, given my data and my compute budget, and how should it grow?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

for command in (
    cost.cost,
    search.check,
    search.search,
    study.status,
    front.front,
    study.prune,
    latency.latency,
    study.report,
    dashboard.dashboard,
    compare.compare,
    train.train,
    compress.compress,
    export.export,
    predict.predict,
    verify.verify,
):
    app.command()(command)
app.add_typer(table.table)
app.add_typer(scale)


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        code = app(standalone_mode=False) or 0
        if code == 130:  # typer turns Ctrl-C into an exit code, without a word
            complain("interrupted", 130)
    except Interrupted as error:
        code = complain(str(error), 130)
    except UserError as error:
        code = complain(str(error), 2)
    except NasError as error:
        code = complain(str(error), 1)
    except OSError as error:
        if error.filename is None:  # nothing that a user could look at
            raise
        code = complain(f"{error.filename}: {error.strerror}", 2)
    except (KeyboardInterrupt, typer.Abort):
        code = complain("interrupted", 130)
    except Exception as error:
        # usage errors of typer, whose classes moved between its versions; anything else keeps its traceback
        if not hasattr(error, "format_message"):
            raise
        code = complain(f"{error.format_message()}{_given(error)}", 2)
    for stderr in (False, True):
        Output(stderr=stderr).flush()  # here, lest Python complain at its end that nobody reads
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from importlib.metadata import version as installed

        say(f"nas {installed('nas-explorer')}")
        raise typer.Exit


def _given(error: Exception) -> str:
    """Return the tail of a usage error that says what was given for the option it names, where it names one."""
    options = getattr(getattr(error, "param", None), "opts", ())
    pairs = zip(sys.argv, sys.argv[1:], strict=False)
    values = [value for option, value in pairs if option in options and error.__class__.__name__ == "BadParameter"]
    return f", but {values[0]!r} was given" if values else ""
