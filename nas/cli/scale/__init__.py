"""Commands of the scaling lab."""

from __future__ import annotations

import typer

from nas.cli.scale import family, law

scale = typer.Typer(name="scale", help="How should a network grow when the budget grows?", no_args_is_help=True)

for command in (family.family, law.law):
    scale.command()(command)
