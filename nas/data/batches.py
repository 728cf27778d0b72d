"""Batches cut on the device, from uint8 images that live there or come there batch by batch."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nas.data.color import convert
from nas.data.sources import Dataset
from nas.data.types import ImageSet, Indices, Space

Change: TypeAlias = Callable[[Tensor], Tensor]
"""Augments pixels: float32 (batch, channels, size, size) in 0 to 1, before colours are converted and standardised."""

_CHUNK_BYTES = 8 * 2**20  # of uint8 images that are converted to float at a time


class Standardisation(NamedTuple):
    """Of the training images as networks see them.

    Attributes:
        mean: Of each channel, in units of the pixel value 0 to 1.
        std: Standard deviation of each channel, likewise.
        space: What images are converted to before they are standardised.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    space: Space = "stored"


class Batch(NamedTuple):
    """A standardised batch: images float32 (count, channels, size, size), labels int64 (count,).

    ``chosen``, int64 (count,), are the places of its images in the set that it was cut from.
    """

    images: Tensor
    labels: Tensor
    chosen: Tensor | None = None


class _Cut(NamedTuple):
    """What of a batch's images is shown, in this order; None for all as it is.

    Attributes:
        rows: int64 of shape (count, size), of the images' rows.
        values: int64 of shape (count, size * channels), of the values of a row.
    """

    rows: Tensor | None = None
    values: Tensor | None = None


class _Pixels(NamedTuple):
    """uint8 images (any count, size, size, channels) of which ``chosen``, or all in order, are a batch."""

    images: Tensor
    chosen: Tensor | None


class ImageBatches(ABC):
    """Images at one resolution that come in batches on one device."""

    def __init__(self, labels: Tensor, *, size: int, standard: Standardisation, channels_last: bool = True) -> None:
        """Keep what all ways of fetching pixels share.

        Args:
            labels: int64 of shape (count,), on the device.
            size: Height and width of the images in pixels.
            standard: Of the training images, whichever split this is.
            channels_last: Layout of the batches.
        """
        self.labels = labels
        self.size = size
        self._space = standard.space
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        std = torch.tensor(standard.std, device=labels.device)
        # a standardised pixel is pixel * scale + shift
        self._scale, self._shift = 1 / (255 * std), -torch.tensor(standard.mean, device=labels.device) / std
        self._line_scale, self._line_shift = self._scale.repeat(size), self._shift.repeat(size)

    @abstractmethod
    def _fetch(self, batches: Sequence[Tensor]) -> Iterator[_Pixels]:
        """Yield the pixels of each batch, given by indices on the device."""

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self.labels.device

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def shuffled(
        self,
        batch_size: int,
        *,
        padding: int,
        flip: bool,
        generator: torch.Generator,
        skip: int = 0,
        change: Change | None = None,
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
            change: Further augmentation of the pixels.
        """
        count, batch_size = len(self), min(batch_size, len(self))
        order = torch.randperm(count, generator=generator, device=self.device)
        batches = order[: count // batch_size * batch_size].view(-1, batch_size)
        draw = self._cuts(batch_size, padding=padding, flip=flip, generator=generator)
        cuts, left = (draw() for _ in batches), batches[skip:]
        for chosen, pixels, cut in zip(left, self._fetch(list(left)), itertools.islice(cuts, skip, None), strict=True):
            images = pixels.images
            if cut.rows is not None:
                images = _take_rows(images, pixels.chosen, cut.rows)
            elif pixels.chosen is not None:
                images = images.index_select(0, pixels.chosen)
            if cut.values is not None:
                images = _take_values(images, cut.values)
            yield Batch(self._standardised(images, change), self.labels.index_select(0, chosen), chosen)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Yield all images in order, the last batch possibly smaller."""
        batches = torch.split(torch.arange(len(self), device=self.device), batch_size)
        for chosen, pixels in zip(batches, self._fetch(batches), strict=True):
            images = pixels.images if pixels.chosen is None else pixels.images.index_select(0, chosen)
            yield Batch(self._standardised(images, None), self.labels[chosen], chosen)

    def _cuts(self, count: int, *, padding: int, flip: bool, generator: torch.Generator) -> Callable[[], _Cut]:
        """Return what draws shifts and mirroring of so many images; each draw looks them up in tables made here."""
        size, device, channels = self.size, self.device, len(self._scale)
        shifts = 2 * padding + 1
        rows = _reflect(
            torch.arange(size, device=device) + torch.arange(shifts, device=device)[:, None] - padding, size
        )
        columns = torch.cat([rows, size - 1 - rows])
        values = (columns[:, :, None] * channels + torch.arange(channels, device=device)).flatten(1)

        def draw() -> _Cut:
            down = across = None
            if padding:
                down, across = torch.randint(shifts, (2, count), generator=generator, device=device)
            if flip:
                mirrored = (torch.rand(count, generator=generator, device=device) < 0.5).long()
                across = mirrored if across is None else torch.add(across, mirrored, alpha=shifts)
            return _Cut(
                None if down is None else rows.index_select(0, down),
                None if across is None else values.index_select(0, across),
            )

        return draw

    def _standardised(self, pixels: Tensor, change: Change | None) -> Tensor:
        """Return float32 images in the layout; whole lines of pixels at a time are the fastest way there."""
        count, size, _, channels = pixels.shape
        if change is not None or self._space != "stored":
            images = pixels.permute(0, 3, 1, 2).float() / 255
            images = convert(images if change is None else change(images), self._space)
            images = images * (255 * self._scale).view(-1, 1, 1) + self._shift.view(-1, 1, 1)
            return images.contiguous(memory_format=self._layout)
        lines = pixels.reshape(count, size, size * channels)
        standard = torch.addcmul(self._line_shift, lines, self._line_scale)
        return standard.view(count, size, size, channels).permute(0, 3, 1, 2).contiguous(memory_format=self._layout)


class DeviceImages(ImageBatches):
    """Images that live on the device, uint8 of shape (count, size, size, channels)."""

    def __init__(
        self, images: Tensor, labels: Tensor, *, standard: Standardisation, channels_last: bool = True
    ) -> None:
        """Keep images and labels that are on the device."""
        super().__init__(labels, size=int(images.shape[1]), standard=standard, channels_last=channels_last)
        self.images = images

    def _fetch(self, batches: Sequence[Tensor]) -> Iterator[_Pixels]:
        return (_Pixels(self.images, chosen) for chosen in batches)


class StreamedImages(ImageBatches):
    """Images that stay where they are stored; while a batch is in use, a thread fetches and resizes the next."""

    def __init__(
        self,
        image_set: ImageSet,
        labels: Tensor,
        *,
        size: int,
        standard: Standardisation,
        channels_last: bool = True,
    ) -> None:
        """Keep images that are stored on the host, and labels that are on the device."""
        super().__init__(labels, size=size, standard=standard, channels_last=channels_last)
        self._images = image_set
        self._stream: torch.cuda.Stream | None = None
        if self.device.type == "cuda":
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def _fetch(self, batches: Sequence[Tensor]) -> Iterator[_Pixels]:
        with ThreadPoolExecutor(1, thread_name_prefix="images") as pool:
            coming = deque[Future[Tensor]]()
            indices = torch.cat(list(batches)).cpu().numpy() if len(batches) else np.empty(0, np.intp)
            for chosen in np.split(indices, np.cumsum([len(batch) for batch in batches])[:-1]):
                coming.append(pool.submit(self._load, chosen))
                if len(coming) > 1:
                    yield self._arrived(coming.popleft())
            if coming:
                yield self._arrived(coming.popleft())

    def _load(self, chosen: Indices) -> Tensor:
        """Bring images to the device; on a GPU beside what runs there, and only then is this done."""
        pixels = torch.from_numpy(self._images.pixels(chosen))
        if self._stream is None:
            return _resize(pixels, self.size)
        with torch.cuda.stream(self._stream):
            images = _resize(pixels.pin_memory().to(self.device, non_blocking=True), self.size)
        self._stream.synchronize()
        return images

    def _arrived(self, coming: Future[Tensor]) -> _Pixels:
        images = coming.result()
        if self._stream is not None:
            images.record_stream(torch.cuda.current_stream(self.device))
        return _Pixels(images, None)


@lru_cache(maxsize=2)  # every trial of a study asks again
def standardisation(dataset: Dataset) -> Standardisation:
    """Return mean and standard deviation of the training images, channel by channel; no channel has less than 1/255."""
    levels = 256 if dataset.space == "stored" else 2**16  # of converted colours, which are no whole numbers
    counts = torch.zeros(dataset.channels, levels, dtype=torch.float64)
    for chunk in dataset.train.chunks(_chunk(dataset.train, dataset.native_size)):
        pixels = torch.from_numpy(chunk)
        if dataset.space != "stored":
            converted = convert(pixels.permute(0, 3, 1, 2).float() / 255, dataset.space).permute(0, 2, 3, 1)
            pixels = (converted * (levels - 1)).round().int()
        for channel in range(dataset.channels):
            counts[channel] += torch.bincount(pixels[..., channel].flatten(), minlength=levels)
    values = torch.arange(levels, dtype=torch.float64) / (levels - 1)
    share = counts / counts.sum(dim=1, keepdim=True)
    mean = share @ values
    std = (share @ values**2 - mean**2).clamp(min=0).sqrt().clamp(min=1 / 255)
    return Standardisation(tuple(mean.tolist()), tuple(std.tolist()), dataset.space)


def to_device(
    image_set: ImageSet,
    *,
    resolution: int,
    standard: Standardisation,
    device: torch.device,
    room: int | None = None,
    channels_last: bool = True,
) -> ImageBatches:
    """Bring images to the device at the given resolution (antialiased bilinear), still as uint8.

    Args:
        image_set: Images of any size.
        resolution: Height and width in pixels afterwards.
        standard: Of the training images, whichever split this is.
        device: Where the batches shall be.
        room: Bytes of the device that the images may take; where they take more, they come batch by batch. Without it
            they are brought whole.
        channels_last: Layout of the batches.
    """
    labels = torch.from_numpy(image_set.labels).to(device)
    shape = (len(image_set), resolution, resolution, image_set.channels)
    if room is not None and np.prod(shape, dtype=np.int64) > room:
        return StreamedImages(image_set, labels, size=resolution, standard=standard, channels_last=channels_last)
    images = torch.empty(shape, dtype=torch.uint8, device=device)
    start = 0
    for chunk in image_set.chunks(_chunk(image_set, resolution)):
        images[start : start + len(chunk)] = _resize(torch.from_numpy(chunk).to(device), resolution)
        start += len(chunk)
    return DeviceImages(images, labels, standard=standard, channels_last=channels_last)


def _chunk(image_set: ImageSet, resolution: int) -> int:
    """Return how many images to convert at a time, as they are stored or at another resolution."""
    return max(1, _CHUNK_BYTES // (max(image_set.size, resolution) ** 2 * image_set.channels))


def _take_rows(images: Tensor, chosen: Tensor | None, rows: Tensor) -> Tensor:
    """Return images (count, size, size, channels) made of the given rows (count, size) of the chosen ones."""
    total, size, _, channels = images.shape
    first = torch.arange(total, device=images.device) if chosen is None else chosen
    lines = images.view(total * size, size * channels)
    return lines.index_select(0, torch.add(rows, first[:, None], alpha=size).flatten()).view(-1, size, size, channels)


def _take_values(images: Tensor, values: Tensor) -> Tensor:
    """Return images (count, size, size, channels) of whose rows the given values (count, size * channels) are shown."""
    lines = images.flatten(2)
    return lines.gather(2, values[:, None].expand_as(lines)).view_as(images)


def _resize(images: Tensor, size: int) -> Tensor:
    """Resize uint8 images (count, h, w, channels) to (count, size, size, channels)."""
    if images.shape[1] == size:
        return images
    planes = images.permute(0, 3, 1, 2).float()
    resized = functional.interpolate(planes, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return resized.round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).contiguous()


def _reflect(positions: Tensor, size: int) -> Tensor:
    """Fold positions outside 0 to size - 1 back at the border, as reflection padding does."""
    return (size - 1) - ((size - 1) - positions.abs()).abs()
