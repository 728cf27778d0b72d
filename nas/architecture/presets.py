"""Reference networks by name, as the papers and torchvision have them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from nas.architecture.space import SearchSpace, load_space
from nas.architecture.spec import Architecture
from nas.errors import ConfigError
from nas.files import did_you_mean, shipped


class _Compound(NamedTuple):
    """Coefficients of one EfficientNet, and the dropout its size asks for."""

    width: float
    depth: float
    resolution: int
    dropout: float


# Tan & Le 2019, reference implementation, efficientnet_builder.py: params_dict.
_EFFICIENTNETS = {
    "efficientnet_b0": _Compound(1.0, 1.0, 224, 0.2),
    "efficientnet_b1": _Compound(1.0, 1.1, 240, 0.2),
    "efficientnet_b2": _Compound(1.1, 1.2, 260, 0.3),
    "efficientnet_b3": _Compound(1.2, 1.4, 300, 0.3),
    "efficientnet_b4": _Compound(1.4, 1.8, 380, 0.4),
    "efficientnet_b5": _Compound(1.6, 2.2, 456, 0.4),
    "efficientnet_b6": _Compound(1.8, 2.6, 528, 0.5),
    "efficientnet_b7": _Compound(2.0, 3.1, 600, 0.5),
}

# He et al. 2016 (arXiv:1512.03385), table 1: block and its repeats in the four stages.
_RESNETS = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
}

PRESETS = (*_EFFICIENTNETS, *_RESNETS)
"""Names that ``preset`` knows."""


def preset(name: str, *, num_classes: int = 1000, in_channels: int = 3, resolution: int | None = None) -> Architecture:
    """Return a reference network.

    Args:
        name: One of ``PRESETS``.
        num_classes: Number of logits.
        in_channels: Channels of the images.
        resolution: In pixels; the network's native one where none is given.

    Raises:
        ConfigError: There is no such preset (the message lists those there are).
        ArchitectureError: The resolution is too small for the strides.
    """
    if name in _EFFICIENTNETS:
        width, depth, native, dropout = _EFFICIENTNETS[name]
        space = _shipped("efficientnet").model_copy(update={"dropout": dropout})
    elif name in _RESNETS:
        width, depth, native = 1.0, 1.0, 224
        space = _resnet(*_RESNETS[name])
    else:
        raise ConfigError(f"unknown preset {name!r}{did_you_mean(name, PRESETS)}")
    architecture = space.architecture(
        width=width,
        depth=depth,
        resolution=native if resolution is None else resolution,
        num_classes=num_classes,
        in_channels=in_channels,
    )
    return replace(architecture, name=name)


def _resnet(block: str, repeats: tuple[int, ...]) -> SearchSpace:
    space = _shipped("resnet")
    rows = [
        {"block": block, "stride": row.stride, "channels": row.channels, "repeats": n}
        for row, n in zip(space.stages, repeats, strict=True)
    ]
    return SearchSpace.model_validate({**space.model_dump(), "stages": rows})


def _shipped(name: str) -> SearchSpace:
    return load_space(shipped("search_spaces") / f"{name}.yaml")
