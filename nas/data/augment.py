"""Augmentation of whole batches on their device: what turns and colours pixels, what mixes or erases images.

Shifts and mirroring are done where a batch is cut (``nas/data/batches.py``). Labels become shares of the classes where
images are mixed. Randomness comes from the generator of the training, drawn on its device, so the host never waits.
Colour jitter and RandAugment are kornia's: they draw from torch's global state on the host, which a training has of its
own too, and copy what they drew to the device.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from nas.data.batches import Batch
from nas.data.extras import require_extra

_RAND_AUGMENT_PARTS = 8  # of a batch: kornia draws the operations once for all images that it is given


def turn(images: Tensor, *, degrees: float, generator: torch.Generator) -> Tensor:
    """Turn each image about its centre by a random angle, bilinearly, with reflection at the border.

    Args:
        images: float32 of shape (batch, channels, size, size).
        degrees: Largest angle, either way.
        generator: On the device of the images.
    """
    count = len(images)
    angles = torch.empty(count, device=images.device).uniform_(-degrees, degrees, generator=generator)
    cosine, sine = torch.cos(angles * (math.pi / 180)), torch.sin(angles * (math.pi / 180))
    zero = torch.zeros_like(cosine)
    matrices = torch.stack([cosine, -sine, zero, sine, cosine, zero], dim=1).view(count, 2, 3)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def make_color_jitter(strength: float) -> Callable[[Tensor], Tensor]:
    """Return a function that changes brightness, contrast, saturation and hue of each image by a random amount.

    Args:
        strength: Largest share by which the first three change; the hue changes by a quarter of it, of the circle, as
            in SimCLR (Chen et al. 2020, arXiv:2002.05709, appendix A).

    Raises:
        DataError: kornia is not installed.
    """
    require_extra("kornia", extra="augment", what="recipe.jitter")
    import kornia.augmentation

    return _of_gray_too(kornia.augmentation.ColorJiggle(strength, strength, strength, strength / 4, p=1.0))


def make_rand_augment(operations: int, magnitude: int) -> Callable[[Tensor], Tensor]:
    """Return RandAugment (Cubuk et al. 2020, arXiv:1909.13719): random operations, all of one magnitude.

    The operations are drawn for each eighth of a batch, their directions for each image.

    Args:
        operations: Number of operations one after the other.
        magnitude: Above 0 and below 30.

    Raises:
        DataError: kornia is not installed.
    """
    require_extra("kornia", extra="augment", what="recipe.rand_augment")
    from kornia.augmentation.auto import RandAugment

    apply = _of_gray_too(RandAugment(n=operations, m=magnitude))

    def augment(images: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kornia's, of what it will change
            return torch.cat([apply(part) for part in images.tensor_split(_RAND_AUGMENT_PARTS) if len(part)])

    return augment


def _of_gray_too(augment: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return an augmentation of RGB images that takes grayscale ones as well."""

    def apply(images: Tensor) -> Tensor:
        return augment(images) if images.shape[1] == 3 else augment(images.expand(-1, 3, -1, -1))[:, :1]

    return apply


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
