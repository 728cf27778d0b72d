"""The network that a family begins with, as the command line names it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cli.network import point_of, refuse_options
from nas.cli.options import refuse_typed
from nas.errors import ConfigError, UserError

if TYPE_CHECKING:
    from nas.architecture.point import Point
    from nas.architecture.spec import Architecture

_NAMED = re.compile(r"(?P<space>\S+)(?P<choices>.*) width (?P<width>\S+) depth (?P<depth>\S+) resolution \d+")
"""The name of a network of a space, which an architecture file keeps."""


def baseline_of(name: str, options: dict[str, Any], storage: str | None) -> Point:
    """Return the point that a preset, a space, an architecture file or a trial means.

    Raises:
        ConfigError: There is none of that name, or an option does not apply to it.
    """
    if "#" in name and not Path(name).exists():
        from nas.cli.trial import named_trial
        from nas.search.lab.studies import trial_point

        refuse_options(options, set(), f"{name} is a trial of a study")
        with named_trial(name, storage) as (study, trial):
            return trial_point(study, trial, name=name)
    refuse_typed("--storage", unless=False, reason=f"{name} is no trial of a study")
    if Path(name).suffix == ".json":
        from nas.architecture.serialization import load_architecture

        refuse_options(options, set(), f"{name} is an architecture file")
        return _point_behind(name, load_architecture(name))
    _refuse_study(name)
    return point_of(name, options)


def _refuse_study(name: str) -> None:
    """Say how to name a trial where a whole study is named."""
    from nas.architecture.presets import PRESETS
    from nas.schema import names_of, read_yaml, require_file

    is_file = Path(name).suffix in {".yaml", ".yml"}
    if is_file:
        require_file(Path(name))
        is_study = "search" in read_yaml(Path(name))
    else:
        is_study = name in names_of("studies") and name not in (*PRESETS, *names_of("search_spaces"))
    if is_study:
        raise ConfigError(f"{name} is a study: name one of its trials, for example {name}#3")


def _point_behind(path: str, network: Architecture) -> Point:
    """Return the point of a space whose network a file holds: its name says which, and the network must be the same.

    Raises:
        ConfigError: It is the network of no space that is here.
    """
    try:
        point = _named_point(network)
        if point is not None and point.architecture() == network:
            return point
    except UserError:
        pass
    raise ConfigError(
        f"{path}: only the network of a preset or of a space that is here can grow, and {network.name or 'this one'!r}"
        " is none; give a preset, a space, a space file or STUDY#N"
    )


def _named_point(network: Architecture) -> Point | None:
    """Return the point that the name of a network tells."""
    from nas.architecture.presets import PRESETS
    from nas.schema import parse_yaml

    images = {"classes": network.num_classes, "channels": network.in_channels, "resolution": network.resolution}
    if network.name in PRESETS:
        return point_of(network.name, images)
    if (named := _NAMED.fullmatch(network.name)) is None:
        return None
    words = named["choices"].split()
    choices = {
        key.replace("_", "-"): parse_yaml(value, source=network.name)
        for key, value in zip(words[::2], words[1::2], strict=True)
    }
    coefficients = {key: float(named[key]) for key in ("width", "depth")}
    return point_of(named["space"], {**images, **coefficients, **choices})
