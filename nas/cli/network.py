"""A network as the command line names it: a preset, a space at coefficients, or an architecture file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.errors import ConfigError

if TYPE_CHECKING:
    from nas.architecture.point import Point
    from nas.architecture.spec import Architecture

Width = Annotated[float | None, typer.Option(help="Width coefficient (search spaces only).")]
Depth = Annotated[float | None, typer.Option(help="Depth coefficient (search spaces only).")]
Resolution = Annotated[int | None, typer.Option(help="Resolution in pixels.")]
Classes = Annotated[int | None, typer.Option(help="Number of classes.  [default: 1000]")]
Channels = Annotated[int | None, typer.Option(help="Channels of the images.  [default: 3]")]
Kernel = Annotated[int | None, typer.Option(help="Size of the spatial kernels (search spaces only).")]
Expansion = Annotated[int | None, typer.Option(help="Expansion ratio (search spaces only).")]
Cardinality = Annotated[int | None, typer.Option(help="Groups in each bottleneck (search spaces only).")]
ActivationName = Annotated[
    str | None, typer.Option("--activation", help="Activation: relu, silu, gelu ... (search spaces only).")
]
SqueezeExcitation = Annotated[
    bool | None,
    typer.Option("--squeeze-excitation/--no-squeeze-excitation", help="Turn it on or off (search spaces only)."),
]

_CHOICES = ("kernel", "expansion", "cardinality", "activation", "squeeze-excitation")


def given_options(**values: Any) -> dict[str, Any]:
    """Return the options that were given, by their names on the command line."""
    return {key.replace("_", "-"): value for key, value in values.items() if value is not None}


def architecture_of(name: str, options: dict[str, Any]) -> Architecture:
    """Return the network that a name, a file and options mean."""
    from nas.architecture.serialization import load_architecture

    if Path(name).suffix == ".json":
        refuse_options(options, set(), f"{name} is an architecture file")
        return load_architecture(name)
    return point_of(name, options).architecture()


def point_of(name: str, options: dict[str, Any]) -> Point:
    """Return the space and the coefficients that a preset's or space's name and options mean."""
    from nas.architecture.presets import PRESETS, named_point

    for key in ("classes", "channels", "resolution"):
        if options.get(key, 1) < 1:
            raise ConfigError(f"--{key} must be at least 1, but is {options[key]}")
    if name in PRESETS:
        refuse_options(options, {"resolution", "classes", "channels"}, f"{name} is a preset")
    point = named_point(name)
    choices = {key.replace("-", "_"): options[key] for key in _CHOICES if key in options}
    keywords = {"classes": "num_classes", "channels": "in_channels"}
    given = {keywords.get(key, key): value for key, value in options.items() if key not in _CHOICES}
    return replace(point, space=point.space.choose(**choices) if choices else point.space, **given)


def refuse_options(options: dict[str, Any], allowed: set[str], reason: str) -> None:
    """Refuse options that do not apply to what was named."""
    for key in options:
        if key not in allowed:
            raise ConfigError(
                f"--{key} does not apply: {reason}; allowed: {', '.join(sorted(allowed)) or 'no options'}"
            )
