"""Reference networks by name, as the papers and torchvision have them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from nas.architecture.point import Point
from nas.architecture.space import SearchSpace, load_space
from nas.architecture.spec import Architecture
from nas.errors import ConfigError
from nas.schema import did_you_mean, names_of, shipped


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

# Tan & Le 2021 (arXiv:2104.00298): trained at 300 px, measured at 384.
_V2 = {"efficientnet_v2_s": ("efficientnet_v2", 384)}


class _ResNet(NamedTuple):
    """Block, its repeats in the four stages, inner channels of the first stage (they double), expansion, groups."""

    block: str
    repeats: tuple[int, ...]
    channels: int = 64
    expansion: int = 4
    cardinality: int = 1


# He et al. 2016 (arXiv:1512.03385), table 1; Xie et al. 2017 (arXiv:1611.05431); Zagoruyko & Komodakis 2016
# (arXiv:1605.07146), the last two with the figures of torchvision/models/resnet.py.
_RESNETS = {
    "resnet18": _ResNet("basic", (2, 2, 2, 2)),
    "resnet34": _ResNet("basic", (3, 4, 6, 3)),
    "resnet50": _ResNet("bottleneck", (3, 4, 6, 3)),
    "resnet101": _ResNet("bottleneck", (3, 4, 23, 3)),
    "resnet152": _ResNet("bottleneck", (3, 8, 36, 3)),
    "resnext50_32x4d": _ResNet("bottleneck", (3, 4, 6, 3), 128, 2, 32),
    "resnext101_32x8d": _ResNet("bottleneck", (3, 4, 23, 3), 256, 1, 32),
    "wide_resnet50_2": _ResNet("bottleneck", (3, 4, 6, 3), 128, 2),
}

# Szegedy et al. 2015 (arXiv:1409.4842) and 2016 (arXiv:1512.00567), both without auxiliary heads.
_INCEPTIONS = {"googlenet": ("inception_v1", 224), "inception_v3": ("inception", 299)}

PRESETS = (*_EFFICIENTNETS, *_V2, *_RESNETS, *_INCEPTIONS)
"""Names that ``preset`` knows."""


def preset(name: str, *, num_classes: int = 1000, in_channels: int = 3, resolution: int | None = None) -> Architecture:
    """Return a reference network.

    Args:
        name: One of ``PRESETS``, such as ``efficientnet_b0``.
        num_classes: Number of logits.
        in_channels: Number of channels of the images.
        resolution: Resolution in pixels; default: the network's native one.

    Raises:
        ConfigError: There is no such preset; the message lists all presets.
        ArchitectureError: The resolution is too small for the strides.
    """
    point = preset_point(name, num_classes=num_classes, in_channels=in_channels, resolution=resolution)
    return point.architecture()


def preset_point(name: str, *, num_classes: int = 1000, in_channels: int = 3, resolution: int | None = None) -> Point:
    """Return the point of its space at which a reference network lies.

    Args:
        name: One of ``PRESETS``, such as ``efficientnet_b0``.
        num_classes: Number of logits.
        in_channels: Number of channels of the images.
        resolution: Resolution in pixels; default: the network's native one.

    Raises:
        ConfigError: There is no such preset; the message lists all presets.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}{did_you_mean(name, PRESETS)}")
    native = _point(name)
    return replace(
        native,
        resolution=native.resolution if resolution is None else resolution,
        num_classes=num_classes,
        in_channels=in_channels,
    )


def named_point(name: str | Path, *, num_classes: int = 1000, in_channels: int = 3) -> Point:
    """Return the point that a preset means, or the coefficients (1, 1) of a space's table.

    Args:
        name: A preset, a shipped space, or the path of a space file.
        num_classes: Number of logits.
        in_channels: Number of channels of the images.

    Raises:
        ConfigError: There is no such preset or space, or the file is wrong.
    """
    if name in PRESETS:
        return preset_point(str(name), num_classes=num_classes, in_channels=in_channels)
    spaces = names_of("search_spaces")
    if str(name) not in spaces and Path(name).suffix not in {".yaml", ".yml"}:
        raise ConfigError(f"unknown preset or space {str(name)!r}{did_you_mean(str(name), [*PRESETS, *spaces])}")
    space = load_space(name)
    return Point(space, 1.0, 1.0, space.base_resolution, num_classes, in_channels)


@lru_cache(maxsize=len(PRESETS))
def _point(name: str) -> Point:
    if name in _EFFICIENTNETS:
        width, depth, resolution, dropout = _EFFICIENTNETS[name]
        # torchvision/models/efficientnet.py: the largest three keep the epsilon of the TensorFlow weights
        epsilon = 1e-3 if name[-2:] in {"b5", "b6", "b7"} else 1e-5
        space = _shipped("efficientnet").model_copy(update={"dropout": dropout, "norm_epsilon": epsilon})
        return Point(space, width, depth, resolution, name=name)
    if name in _RESNETS:
        return Point(_resnet(_RESNETS[name]), 1.0, 1.0, 224, name=name)
    space_name, resolution = {**_V2, **_INCEPTIONS}[name]
    return Point(_shipped(space_name), 1.0, 1.0, resolution, name=name)


def _resnet(network: _ResNet) -> SearchSpace:
    space = _shipped("resnet")
    bottleneck = {"expansion": network.expansion, "cardinality": network.cardinality}
    rows = [
        {
            "block": network.block,
            "stride": 1 if index == 0 else 2,
            "channels": network.channels * 2**index,
            "repeats": repeats,
            **(bottleneck if network.block == "bottleneck" else {}),
        }
        for index, repeats in enumerate(network.repeats)
    ]
    return SearchSpace.model_validate({**space.model_dump(), "stages": rows})


def _shipped(name: str) -> SearchSpace:
    return load_space(shipped("search_spaces") / f"{name}.yaml")
