"""Families of networks by the names that people know them by."""

from __future__ import annotations

_NAMES = {
    "efficientnet": "EfficientNet",
    "efficientnet_v2": "EfficientNetV2",
    "inception": "Inception-v3",
    "inception_small": "Inception",
    "inception_v1": "Inception-v1",
    "resnet": "ResNet",
    "resnext": "ResNeXt",
}


def family_name(space: str) -> str:
    """Return the family of a shipped space as people name it; another space's own name."""
    return _NAMES.get(space) or _NAMES.get(space.removesuffix("_small"), space)
