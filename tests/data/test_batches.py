from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from nas.data.batches import (
    DeviceImages,
    ImageBatches,
    Standardisation,
    StreamedImages,
    standardisation,
    to_device,
)
from nas.data.sources import Dataset
from nas.data.types import ImageSet, Space

CPU = torch.device("cpu")


def images_of(count: int = 50, size: int = 6, channels: int = 3) -> ImageSet:
    generator = np.random.default_rng(0)
    return ImageSet(
        generator.integers(0, 256, (count, size, size, channels), np.uint8), np.arange(count, dtype=np.int64)
    )


def plain(image_set: ImageSet) -> DeviceImages:
    """Return images whose standardisation is the identity on pixel values in 0 to 1."""
    channels = image_set.images.shape[-1]
    standard = Standardisation((0.0,) * channels, (1.0,) * channels)
    return to_device(image_set, resolution=image_set.images.shape[1], standard=standard, device=CPU)


def original(image_set: ImageSet, label: int) -> torch.Tensor:
    return torch.from_numpy(image_set.images[label]).permute(2, 0, 1).float() / 255


def test_an_epoch_holds_every_image_once_and_unchanged_without_augmentation() -> None:
    image_set = images_of()
    batches = list(plain(image_set).shuffled(10, padding=0, flip=False, generator=torch.Generator().manual_seed(0)))
    labels = torch.cat([batch.labels for batch in batches])
    assert labels.sort().values.tolist() == list(range(50))
    assert labels.tolist() != list(range(50))
    for image, label in zip(batches[0].images, batches[0].labels.tolist(), strict=True):
        torch.testing.assert_close(image, original(image_set, label))
    assert batches[0].images.is_contiguous(memory_format=torch.channels_last)


def test_crops_are_shifts_of_the_reflected_image_and_flips_mirror_half() -> None:
    image_set, padding = images_of(400), 2
    batches = plain(image_set).shuffled(100, padding=padding, flip=True, generator=torch.Generator().manual_seed(0))
    seen, mirrored = set(), 0
    for batch in batches:
        for image, label in zip(batch.images, batch.labels.tolist(), strict=True):
            padded = functional.pad(original(image_set, label)[None], [padding] * 4, mode="reflect")[0]
            shifts = [(y, x) for y in range(5) for x in range(5)]
            windows = {(y, x): padded[:, y : y + 6, x : x + 6] for y, x in shifts}
            match = [(s, False) for s, w in windows.items() if torch.allclose(w, image)]
            # mirroring happens in the shifted frame: column c shows what the window's mirror image shows
            match += [(s, True) for s, w in windows.items() if torch.allclose(_mirror(padded, s), image)]
            assert match, label
            seen.add(match[0][0])
            mirrored += match[0][1]
    assert len(seen) == 25
    assert 140 < mirrored < 260


def _mirror(padded: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
    return padded[:, shift[0] : shift[0] + 6, shift[1] : shift[1] + 6].flip(-1)


def test_the_rest_that_fills_no_batch_is_left_out_and_small_sets_are_one_batch() -> None:
    images = plain(images_of(50))
    generator = torch.Generator().manual_seed(0)
    assert [len(b.labels) for b in images.shuffled(20, padding=1, flip=False, generator=generator)] == [20, 20]
    assert [len(b.labels) for b in images.shuffled(200, padding=1, flip=False, generator=generator)] == [50]
    assert [len(b.labels) for b in images.in_order(20)] == [20, 20, 10]


def test_standardised_training_images_have_mean_zero_and_deviation_one() -> None:
    train = images_of(300)
    dataset = Dataset("random", ("a", "b"), False, train, train)
    standard = standardisation(dataset)
    device_images = to_device(train, resolution=6, standard=standard, device=CPU)
    pixels = torch.cat([batch.images for batch in device_images.in_order(64)])
    torch.testing.assert_close(pixels.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(pixels.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)
    reference = train.images.reshape(-1, 3) / 255
    assert standard.mean == pytest.approx(reference.mean(axis=0))
    assert standard.std == pytest.approx(reference.std(axis=0))


def test_constant_images_do_not_divide_by_zero() -> None:
    flat = ImageSet(np.full((4, 2, 2, 1), 9, np.uint8), np.zeros(4, np.int64))
    assert standardisation(Dataset("flat", ("a", "b"), False, flat, flat)).std == (1 / 255,)


def test_resizing_keeps_labels_and_means() -> None:
    image_set = images_of(30, size=16)
    half = to_device(image_set, resolution=8, standard=Standardisation((0.0,) * 3, (1.0,) * 3), device=CPU)
    assert half.images.shape == (30, 8, 8, 3) and half.images.dtype == torch.uint8
    assert half.labels.tolist() == image_set.labels.tolist()
    before, after = image_set.images.mean(axis=(1, 2, 3)), half.images.float().mean(dim=(1, 2, 3)).numpy()
    np.testing.assert_allclose(after, before, atol=4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_are_cut_on_the_gpu() -> None:
    device = torch.device("cuda:0")
    images = to_device(images_of(), resolution=6, standard=Standardisation((0.0,) * 3, (1.0,) * 3), device=device)
    generator = torch.Generator(device).manual_seed(0)
    batch = next(images.shuffled(10, padding=1, flip=True, generator=generator))
    assert batch.images.device == batch.labels.device == device


@pytest.mark.parametrize("size", [6, 4])
@pytest.mark.parametrize(("padding", "flip"), [(0, False), (1, True)])
def test_streamed_batches_are_those_of_resident_images(size: int, padding: int, flip: bool) -> None:
    stored = images_of(60)
    image_set = stored.take(np.arange(59, 9, -1))
    standard = standardisation(Dataset("random", ("a", "b"), False, image_set, image_set))

    def brought(room: int | None) -> ImageBatches:
        return to_device(image_set, resolution=size, standard=standard, device=CPU, room=room)

    resident, streamed = brought(50 * size * size * 3), brought(50 * size * size * 3 - 1)
    assert isinstance(resident, DeviceImages) and isinstance(streamed, StreamedImages)
    for skip in (0, 2):
        pairs = [
            list(images.shuffled(12, padding=padding, flip=flip, generator=torch.Generator().manual_seed(3), skip=skip))
            for images in (resident, streamed)
        ]
        assert len(pairs[0]) == len(pairs[1]) == 4 - skip
        for ours, theirs in zip(*pairs, strict=True):
            assert torch.equal(ours.images, theirs.images) and torch.equal(ours.labels, theirs.labels)
    for ours, theirs in zip(resident.in_order(20), streamed.in_order(20), strict=True):
        assert torch.equal(ours.images, theirs.images) and torch.equal(ours.labels, theirs.labels)


def test_a_streamed_epoch_that_is_left_early_leaves_no_thread() -> None:
    image_set = images_of(60)
    standard = Standardisation((0.0,) * 3, (1.0,) * 3)
    streamed = to_device(image_set, resolution=6, standard=standard, device=CPU, room=0)
    batches = streamed.shuffled(10, padding=1, flip=True, generator=torch.Generator().manual_seed(0))
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]


def test_a_choice_of_images_copies_none_until_they_are_wanted() -> None:
    stored = images_of(30)
    chosen = stored.take(np.array([5, 3, 9, 9])).take(np.array([2, 0]))
    assert chosen.stored is stored.stored and chosen.labels.tolist() == [9, 5]
    assert np.array_equal(chosen.images, stored.images[[9, 5]])
    assert np.array_equal(np.concatenate(list(chosen.chunks(1))), chosen.images)
    assert np.array_equal(chosen.pixels(np.array([1])), stored.images[[5]])


@pytest.mark.parametrize("space", ["hsv", "ycbcr"])
def test_colours_are_converted_as_pillow_does(space: Space) -> None:
    image_set = images_of(40)
    dataset = Dataset("random", ("a", "b"), False, image_set, image_set, space=space)
    standard = standardisation(dataset)
    batch = next(to_device(image_set, resolution=6, standard=standard, device=CPU).in_order(40))
    torch.testing.assert_close(batch.images.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(batch.images.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-3, rtol=0)
    pixels = batch.images.permute(0, 2, 3, 1).numpy() * standard.std + standard.mean
    mode = {"hsv": "HSV", "ycbcr": "YCbCr"}[space]
    expected = np.stack([np.asarray(Image.fromarray(image).convert(mode)) for image in image_set.images]) / 255
    away = np.abs(pixels - expected)
    assert np.minimum(away, 1 - away if space == "hsv" else away).max() < 0.011  # Pillow rounds to eight bits


def test_pixels_are_changed_before_they_are_standardised() -> None:
    image_set = images_of(20)
    standard = Standardisation((0.5,) * 3, (0.25,) * 3)
    images = to_device(image_set, resolution=6, standard=standard, device=CPU)

    def batch(**change: Any) -> torch.Tensor:
        return next(
            images.shuffled(20, padding=1, flip=True, generator=torch.Generator().manual_seed(0), **change)
        ).images

    torch.testing.assert_close(batch(change=lambda pixels: pixels), batch())
    torch.testing.assert_close(batch(change=lambda pixels: 1 - pixels), -batch())


@pytest.mark.parametrize("room", [None, 0])
def test_the_layout_of_batches_is_that_asked_for(room: int | None) -> None:
    standard = Standardisation((0.5,) * 3, (0.25,) * 3)
    for channels_last, layout in ((True, torch.channels_last), (False, torch.contiguous_format)):
        images = to_device(
            images_of(), resolution=6, standard=standard, device=CPU, room=room, channels_last=channels_last
        )
        assert next(images.in_order(10)).images.is_contiguous(memory_format=layout)


def test_colours_are_converted_after_the_change_and_white_is_white() -> None:
    white = ImageSet(np.full((4, 2, 2, 3), 255, np.uint8), np.zeros(4, np.int64))
    identity = Standardisation((0.0,) * 3, (1.0,) * 3, "hsv")
    images = to_device(white, resolution=2, standard=identity, device=CPU)
    generator = torch.Generator().manual_seed(0)
    (batch,) = images.shuffled(4, padding=0, flip=False, generator=generator)
    assert batch.images[0, :, 0, 0].tolist() == pytest.approx([0, 0, 1], abs=1e-6)
    only_red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    (batch,) = images.shuffled(4, padding=0, flip=False, generator=generator, change=lambda pixels: pixels * only_red)
    assert batch.images[0, :, 0, 0].tolist() == pytest.approx([0, 1, 1], abs=1e-6)
