"""Commands of the scaling lab."""

from __future__ import annotations

import typer

from nas.cli.scale import compare, family, grow, law, shape

scale = typer.Typer(name="scale", help="How should a network grow when the budget grows?", no_args_is_help=True)

for command in (
    family.family,
    shape.shape,
    shape.search,
    compare.compare,
    law.law,
    grow.data,
    grow.grow,
    compare.trust,
):
    scale.command()(command)
