from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from nas.data import augment
from nas.data.augment import cut_mix, cut_out, make_color_jitter, make_rand_augment, mix_up, turn
from nas.data.batches import Batch, Change
from nas.errors import DataError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 64, size: int = 16) -> Batch:
    """Return images whose every pixel is 1 + their index, each of a class of its own."""
    values = torch.arange(1.0, count + 1).view(-1, 1, 1, 1)
    return Batch(values.expand(count, 3, size, size).contiguous(), torch.arange(count))


def test_cut_out_erases_a_square_of_each_image() -> None:
    given = batch()
    erased = cut_out(given, share=0.5, generator=seeded())
    holes = (erased.images == 0).all(1)
    assert torch.equal(
        erased.images[~holes[:, None].expand_as(erased.images)], given.images[~holes[:, None].expand_as(given.images)]
    )
    areas = holes.sum((1, 2))
    assert areas.max() == 64 and areas.min() >= 16  # 8x8, a quarter of it at a corner
    for hole in holes:
        rows, columns = hole.any(1).sum(), hole.any(0).sum()
        assert hole.sum() == rows * columns
    assert len({tuple(map(tuple, hole.nonzero().tolist())) for hole in holes}) > 20


def test_mix_up_blends_images_as_it_blends_labels() -> None:
    given = batch()
    mixed = mix_up(given, alpha=1.0, num_classes=64, generator=seeded())
    expected = mixed.shares @ torch.arange(1.0, 65)
    torch.testing.assert_close(mixed.images[:, 0, 0, 0], expected)
    torch.testing.assert_close(mixed.shares.sum(1), torch.ones(64))
    assert (mixed.shares > 0).sum(1).max() == 2


@pytest.mark.parametrize("seed", range(5))
def test_cut_mix_counts_the_area_that_it_replaced(seed: int) -> None:
    given = batch()
    mixed = cut_mix(given, alpha=1.0, num_classes=64, generator=seeded(seed))
    for index in range(64):
        values, counts = mixed.images[index, 0].unique(return_counts=True)
        for value, pixels in zip(values.tolist(), counts.tolist(), strict=True):
            assert mixed.shares[index, int(value) - 1] == pytest.approx(pixels / 256, abs=1e-5)


def test_the_shares_are_of_the_beta_distribution_and_follow_the_generator() -> None:
    drawn = [
        augment._beta(0.4, generator, torch.device("cpu")).item() for generator in [seeded(3)] for _ in range(4000)
    ]
    assert stats.kstest(np.array(drawn), stats.beta(0.4, 0.4).cdf).pvalue > 1e-3
    assert augment._beta(0.4, seeded(3), torch.device("cpu")).item() == pytest.approx(drawn[0])


def test_turning_turns_each_image_by_its_own_angle() -> None:
    pixels = torch.rand(32, 3, 17, 17, generator=seeded())
    turned = turn(pixels, degrees=30, generator=seeded())
    assert torch.equal(turned, turn(pixels, degrees=30, generator=seeded()))
    assert turned.shape == pixels.shape and turned.min() >= 0 and turned.max() <= 1
    assert not torch.allclose(turned, pixels)
    torch.testing.assert_close(turned[..., 8, 8], pixels[..., 8, 8], atol=1e-5, rtol=0)  # the centre stays
    same = torch.rand(1, 1, 17, 17, generator=seeded()).expand(8, 1, 17, 17)
    assert len(turn(same, degrees=30, generator=seeded()).flatten(1).sum(1).unique()) == 8


def test_a_turn_by_a_known_angle_is_what_pillow_turns() -> None:
    from PIL import Image

    ramp = torch.linspace(0, 1, 33).expand(33, 33)
    generator = seeded(1)
    angle = torch.empty(1).uniform_(-90, 90, generator=seeded(1)).item()
    turned = turn(ramp.view(1, 1, 33, 33), degrees=90, generator=generator)[0, 0]
    image = Image.fromarray(ramp.numpy()).rotate(angle, Image.Resampling.BILINEAR)
    inner = slice(12, 21)  # within the largest circle
    np.testing.assert_allclose(turned[inner, inner], np.asarray(image)[inner, inner], atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("make", [lambda: make_color_jitter(0.4), lambda: make_rand_augment(2, 9)])
def test_colours_change_image_by_image_within_their_range(make: Callable[[], Change], channels: int) -> None:
    pixels = torch.rand(64, channels, 16, 16, generator=seeded())
    augment = make()
    torch.manual_seed(0)
    changed = augment(pixels)
    assert changed.shape == pixels.shape and changed.min() >= 0 and changed.max() <= 1
    assert (changed != pixels).flatten(1).any(1).float().mean() > 0.5
    torch.manual_seed(0)
    assert torch.equal(changed, augment(pixels))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kornia", None)
    for what, make in (("jitter", lambda: make_color_jitter(0.4)), ("rand_augment", lambda: make_rand_augment(2, 9))):
        with pytest.raises(DataError, match=rf"recipe.{what} needs kornia, .*'nas-explorer\[augment\]'"):
            make()


def test_the_hue_turns_by_a_quarter_of_the_strength_at_most() -> None:
    from kornia.color import rgb_to_hsv

    red = torch.tensor([0.8, 0.2, 0.2]).view(1, 3, 1, 1).expand(500, 3, 2, 2)
    torch.manual_seed(0)
    hues = rgb_to_hsv(make_color_jitter(0.4)(red))[:, 0, 0, 0] / (2 * torch.pi)
    away = torch.minimum(hues, 1 - hues)
    assert 0.08 < away.max() <= 0.1 + 1e-4


def test_operations_differ_within_a_batch() -> None:
    same = torch.rand(1, 3, 16, 16, generator=seeded()).expand(64, 3, 16, 16)
    torch.manual_seed(0)
    changed = make_rand_augment(1, 9)(same)
    assert len({tuple(part.flatten(1).sum(1).round(decimals=2).tolist()) for part in changed.tensor_split(8)}) > 4
