"""Augmentation of whole batches on their device: what mixes or erases pixels of standardised images.

Shifts and mirroring are done where a batch is cut (``nas/data/batches.py``). Labels become shares of the classes where
images are mixed. All randomness comes from the generator of the training, drawn on its device, so the host never waits.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from nas.data.batches import Batch


class Mixed(NamedTuple):
    """A batch whose labels are shares of the classes.

    Attributes:
        images: float32 of shape (count, channels, size, size).
        shares: float32 of shape (count, classes).
    """

    images: Tensor
    shares: Tensor


def cut_out(batch: Batch, *, share: float, generator: torch.Generator) -> Batch:
    """Set a random square of each image to the mean (DeVries & Taylor 2017, arXiv:1708.04552).

    Args:
        batch: Standardised, so that the mean is 0.
        share: Side of the square as a share of the image's; its centre may lie anywhere, so a part may fall outside.
        generator: On the device of the images.
    """
    count, _, size, _ = batch.images.shape
    side = max(1, round(share * size))
    centers = torch.randint(size, (count, 2), generator=generator, device=batch.images.device)
    inside = _box(centers, torch.full_like(centers[:, 0], side), size)
    return batch._replace(images=batch.images.masked_fill(inside[:, None], 0.0))


def mix_up(batch: Batch, *, alpha: float, num_classes: int, generator: torch.Generator) -> Mixed:
    """Blend each image and its label with another's (Zhang et al. 2018, arXiv:1710.09412).

    Args:
        batch: Standardised.
        alpha: Of the Beta distribution that the share of the first image is drawn from, once for the batch.
        num_classes: Of the labels.
        generator: On the device of the images.
    """
    share = _beta(alpha, generator, batch.images.device)
    partner = torch.randperm(len(batch.labels), generator=generator, device=batch.images.device)
    one_hot = functional.one_hot(batch.labels, num_classes).float()
    images = torch.lerp(batch.images[partner], batch.images, share)
    return Mixed(images, torch.lerp(one_hot[partner], one_hot, share))


def cut_mix(batch: Batch, *, alpha: float, num_classes: int, generator: torch.Generator) -> Mixed:
    """Replace a random box of each image by another's, and as much of its label (Yun et al. 2019, arXiv:1905.04899).

    Args:
        batch: Standardised.
        alpha: Of the Beta distribution that the share of the area kept is drawn from, once for the batch.
        num_classes: Of the labels.
        generator: On the device of the images.
    """
    count, _, size, _ = batch.images.shape
    device = batch.images.device
    side = (size * (1 - _beta(alpha, generator, device)).sqrt()).round().long()
    partner = torch.randperm(count, generator=generator, device=device)
    center = torch.randint(size, (1, 2), generator=generator, device=device)
    inside = _box(center, side.expand(1), size)
    kept = 1 - inside.float().mean()  # of the box that lies within the image
    one_hot = functional.one_hot(batch.labels, num_classes).float()
    images = torch.where(inside[:, None], batch.images[partner], batch.images)
    return Mixed(images, torch.lerp(one_hot[partner], one_hot, kept))


def _beta(alpha: float, generator: torch.Generator, device: torch.device) -> Tensor:
    """Draw from Beta(alpha, alpha) by two gamma variates; torch's own distribution takes no generator."""
    concentration = torch.full((2,), alpha, device=device)
    first, second = torch._standard_gamma(concentration, generator=generator).clamp_min(1e-20).unbind()
    share: Tensor = first / (first + second)
    return share


def _box(centers: Tensor, sides: Tensor, size: int) -> Tensor:
    """Return which pixels (count, size, size) lie in squares around centres (count, 2) with sides (count,)."""
    positions = torch.arange(size, device=centers.device)
    low = centers - (sides // 2)[:, None]
    inside = (positions >= low[..., None]) & (positions < (low + sides[:, None])[..., None])
    return inside[:, 0, :, None] & inside[:, 1, None, :]
