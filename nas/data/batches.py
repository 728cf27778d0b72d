"""Batches cut on the device from uint8 images that live there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from nas.data.sources import Dataset
from nas.data.types import ImageSet

_CHUNK = 4096  # images converted to float at a time


class Standardisation(NamedTuple):
    """Mean and standard deviation of each channel of the training images, in units of the pixel value 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Batch(NamedTuple):
    """A standardised batch: images float32 (count, channels, size, size) channels-last, labels int64 (count,)."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True)
class DeviceImages:
    """Images at one resolution on one device.

    Attributes:
        images: uint8 of shape (count, size, size, channels).
        labels: int64 of shape (count,).
        scale: float32 of shape (channels,); a standardised pixel is ``pixel * scale + shift``.
        shift: float32 of shape (channels,).
    """

    images: Tensor
    labels: Tensor
    scale: Tensor
    shift: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return int(self.images.shape[1])

    def shuffled(
        self, batch_size: int, *, padding: int, flip: bool, generator: torch.Generator, skip: int = 0
    ) -> Iterator[Batch]:
        """Yield one epoch of whole batches in random order, cropped and mirrored at random.

        A crop is a shift by up to ``padding`` pixels with reflection at the border. Rows of pixels are copied whole,
        which does shuffling and the vertical shift; one gather within them does the horizontal shift and the mirroring.
        So there is no padded copy, and all but one copy move long runs of bytes.

        Args:
            batch_size: Images in a batch; the rest of the epoch that fills no batch is left out.
            padding: Largest shift in pixels; 0 does not crop.
            flip: Whether to mirror left and right, with probability one half.
            generator: Source of the randomness, on the device of the images.
            skip: Batches to leave out from the beginning; the others are what they would have been.
        """
        count, size = self.images.shape[:2]
        batch_size = min(batch_size, count)
        device = self.images.device
        order = torch.randperm(count, generator=generator, device=device)
        positions = torch.arange(size, device=device)
        for index, chosen in enumerate(order[: count // batch_size * batch_size].view(-1, batch_size)):
            rows = columns = positions.expand(batch_size, size)
            if padding:
                shifts = torch.randint(-padding, padding + 1, (2, batch_size, 1), generator=generator, device=device)
                rows, columns = _reflect(positions + shifts[0], size), _reflect(positions + shifts[1], size)
            if flip:
                mirrored = torch.rand((batch_size, 1), generator=generator, device=device) < 0.5
                columns = torch.where(mirrored, size - 1 - columns, columns)
            if index < skip:
                continue
            images = self._rows(chosen, rows) if padding else self.images.index_select(0, chosen)
            if padding or flip:
                images = _take_columns(images, columns)
            yield self._standardise(images, self.labels[chosen])

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Yield all images in order, the last batch possibly smaller."""
        for start in range(0, len(self), batch_size):
            stop = start + batch_size
            yield self._standardise(self.images[start:stop], self.labels[start:stop])

    def _rows(self, chosen: Tensor, rows: Tensor) -> Tensor:
        """Return images (count, size, size, channels) made of the given rows (count, size) of the chosen ones."""
        count, size, _, channels = self.images.shape
        lines = self.images.view(count * size, size * channels)
        return lines.index_select(0, (chosen[:, None] * size + rows).flatten()).view(-1, size, size, channels)

    def _standardise(self, images: Tensor, labels: Tensor) -> Batch:
        """Return float32 images in channels-last layout; whole lines of pixels at a time are the fastest way there."""
        count, size, _, channels = images.shape
        lines = images.reshape(count, size, size * channels).float()
        standard = torch.addcmul(self.shift.repeat(size), lines, self.scale.repeat(size))
        return Batch(standard.view(count, size, size, channels).permute(0, 3, 1, 2), labels)


def standardisation(dataset: Dataset) -> Standardisation:
    """Return mean and standard deviation of the training images, channel by channel; no channel has less than 1/255."""
    counts = torch.zeros(dataset.channels, 256, dtype=torch.float64)
    for chunk in torch.split(torch.from_numpy(dataset.train.images), _CHUNK):
        for channel in range(dataset.channels):
            counts[channel] += torch.bincount(chunk[..., channel].flatten(), minlength=256)
    levels = torch.arange(256, dtype=torch.float64) / 255
    share = counts / counts.sum(dim=1, keepdim=True)
    mean = share @ levels
    std = (share @ levels**2 - mean**2).clamp(min=0).sqrt().clamp(min=1 / 255)
    return Standardisation(tuple(mean.tolist()), tuple(std.tolist()))


def to_device(image_set: ImageSet, *, resolution: int, standard: Standardisation, device: torch.device) -> DeviceImages:
    """Move images to the device at the given resolution (antialiased bilinear), still as uint8.

    Args:
        image_set: Images of any size.
        resolution: Height and width in pixels afterwards.
        standard: Of the training images, whichever split this is.
        device: Where they shall live.
    """
    images = torch.from_numpy(image_set.images)
    if images.shape[1] == resolution:
        images = images.to(device)
    else:
        chunks = [_resize(chunk.to(device), resolution) for chunk in torch.split(images, _CHUNK)]
        images = torch.cat(chunks)
    std = torch.tensor(standard.std, device=device)
    shift = -torch.tensor(standard.mean, device=device) / std
    return DeviceImages(images, torch.from_numpy(image_set.labels).to(device), 1 / (255 * std), shift)


def _take_columns(images: Tensor, columns: Tensor) -> Tensor:
    """Return images (count, size, size, channels) whose columns are the given ones (count, size)."""
    count, size, _, channels = images.shape
    within = columns[:, :, None] * channels + torch.arange(channels, device=images.device)
    lines = images.view(count, size, size * channels)
    return lines.gather(2, within.view(count, 1, -1).expand_as(lines)).view_as(images)


def _resize(images: Tensor, size: int) -> Tensor:
    """Resize uint8 images (count, h, w, channels) to (count, size, size, channels)."""
    planes = images.permute(0, 3, 1, 2).float()
    resized = functional.interpolate(planes, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return resized.round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).contiguous()


def _reflect(positions: Tensor, size: int) -> Tensor:
    """Fold positions outside 0 to size - 1 back at the border, as reflection padding does."""
    return (size - 1) - ((size - 1) - positions.abs()).abs()
