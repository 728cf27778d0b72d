"""Colour spaces of images on the device, through kornia."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nas.data.types import Space


def convert(images: Tensor, space: Space) -> Tensor:
    """Convert RGB images.

    Args:
        images: float32 of shape (batch, 3, height, width), in 0 to 1.
        space: ``hsv`` (hue in 0 to 1 for the whole circle, saturation, value) or ``ycbcr`` (ITU-R BT.601, full range).

    Returns:
        As many channels, in 0 to 1.
    """
    if space == "stored":
        return images
    import kornia.color

    if space == "ycbcr":
        ycbcr: Tensor = kornia.color.rgb_to_ycbcr(images)
        return ycbcr
    hue, saturation, value = kornia.color.rgb_to_hsv(images).unbind(dim=1)
    return torch.stack([hue / (2 * math.pi), saturation, value], dim=1)
